"""`Ensemble`: networks that are trained together and decide together."""

import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from phc_snn.models import PHCSSM
from phc_snn.outputs import ParameterCount, PHCSSMOutput, PHCSSMState
from phc_snn.padding import Across
from phc_snn.solvers import Solver

EnsembleState = tuple[PHCSSMState, ...]
"""State of each member."""


class EnsembleOutput(NamedTuple):
    """What an `Ensemble` returns.

    Attributes:
        logits: (B, C), logarithms of the mean probabilities.
        members: What each member returned.
        state: To carry into the next chunk.
    """

    logits: Tensor
    members: tuple[PHCSSMOutput, ...]
    state: EnsembleState


class Ensemble(nn.Module):
    """Several `PHCSSM` that decide together: the mean of the probabilities that they give a class.

    Each is trained by its own loss, as it would be alone on the same batches: networks that were
    trained to one joint decision would differ less, and it is their differences that the mean
    takes away.

    Args:
        members: One network at least, of the same input and the same classes; they may differ in
            all else.

    Raises:
        TypeError: A member that is no `PHCSSM`.
        ValueError: No member, or members of different input or classes.

    Example:
        >>> import torch, phc_snn as phc
        >>> ensemble = phc.Ensemble(phc.PHCSSM(6, 4, neurons=16) for _ in range(3))
        >>> x, labels = torch.randn(100, 20, 6), torch.randint(4, (20,))  # time first
        >>> output = ensemble(x)
        >>> loss = ensemble.loss(output, labels)
        >>> logits, state = ensemble.step(x[0])
    """

    def __init__(self, members: Iterable[PHCSSM]) -> None:
        super().__init__()
        found = list(members)
        if not found:
            raise ValueError("members: got none, expected at least one PHCSSM")
        for member in found:
            if not isinstance(member, PHCSSM):
                raise TypeError(f"members: got a {type(member).__name__}, expected PHCSSMs")
        sizes = [(member.in_features, member.num_classes) for member in found]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"members: got (in_features, num_classes) of {sizes}, expected the same of all"
            )
        self.in_features, self.num_classes = sizes[0]
        self.networks = nn.ModuleList(found)

    @property
    def members(self) -> tuple[PHCSSM, ...]:
        """The networks."""
        return tuple(cast(PHCSSM, network) for network in self.networks)

    def initial_state(
        self,
        batch_size: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> EnsembleState:
        """Each member's, as `PHCSSM.initial_state`."""
        where: dict[str, Any] = {"generator": generator, "device": device, "dtype": dtype}
        return tuple(m.initial_state(batch_size, **where) for m in self.members)

    def forward(
        self,
        x_seq: Tensor,
        state: EnsembleState | None = None,
        *,
        solver: Solver | Literal["auto"] | None = None,
        lengths: Tensor | None = None,
    ) -> EnsembleOutput:
        """Classify sequences, or go on with them; arguments and errors as `PHCSSM.forward`.

        Raises:
            ValueError: A state of another number of members.
        """
        outputs = tuple(
            member(x_seq, before, solver=solver, lengths=lengths)
            for member, before in zip(self.members, self._states(state), strict=True)
        )
        logits = _vote([output.logits for output in outputs])
        return EnsembleOutput(logits, outputs, tuple(output.state for output in outputs))

    def step(self, x_t: Tensor, state: EnsembleState | None = None) -> tuple[Tensor, EnsembleState]:
        """One sample in, ``x_t`` (B, D_in), one decision out, as `PHCSSM.step`."""
        found = [
            member.step(x_t, before)
            for member, before in zip(self.members, self._states(state), strict=True)
        ]
        return _vote([logits for logits, _ in found]), tuple(after for _, after in found)

    def _states(self, state: EnsembleState | None) -> tuple[PHCSSMState | None, ...]:
        if state is None:
            return (None,) * len(self.networks)
        if len(state) != len(self.networks):
            raise ValueError(
                f"state: got that of {len(state)} members, expected {len(self.networks)}"
            )
        return state

    def loss(
        self, output: EnsembleOutput, labels: Tensor, *, across: Across | None = None
    ) -> Tensor:
        """The sum of the members' losses, arguments and errors as `PHCSSM.loss`; a scalar.

        The gradient of each member is that of its own loss.
        """
        losses = [
            member.loss(found, labels, across=across)
            for member, found in zip(self.members, output.members, strict=True)
        ]
        return torch.stack(losses).sum()

    def count_parameters(self) -> ParameterCount:
        """Those of all members together."""
        counts = [member.count_parameters() for member in self.members]
        return ParameterCount(sum(c.trainable for c in counts), sum(c.effective for c in counts))

    def config(self) -> dict[str, Any]:
        """All that `from_config` needs to build an ensemble of this structure, as JSON values."""
        return {"members": [member.config() for member in self.members]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Ensemble":
        """Build untrained networks from what `config` returned.

        Raises:
            ValueError: As `PHCSSM.from_config`.
        """
        return cls(PHCSSM.from_config(member) for member in config["members"])


def _vote(logits: list[Tensor]) -> Tensor:
    """Logarithm of the mean of the probabilities."""
    probable = torch.stack([x.log_softmax(-1) for x in logits]).logsumexp(0)
    return probable - math.log(len(logits))
