"""Neurons whose own spikes feed back: a sequence is exact as one loop over time, or by sweeps.

Given the spikes the recurrence is affine, and one scan; but the spikes follow from it. `by_sweeps`
guesses them, scans, and reads the spikes of the result, until they repeat. Each sweep makes at
least one more step right, so it ends; how late, it reports.
"""

import abc
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from phc_snn.checks import check_positive
from phc_snn.emit import Emit
from phc_snn.neurons.base import Neuron
from phc_snn.scan.reference import Number
from phc_snn.state import map_state
from phc_snn.surrogate import Boxcar


class Swept(NamedTuple):
    """What `Resetting.by_sweeps` returns.

    Attributes:
        spikes: (T, B, N).
        voltage: (T, B, N), compared with the threshold.
        state: After the last step.
        sweeps: How many were done, one scan each.
        certified: (B,), whether the spikes are those of their own voltages. False where
            ``max_sweeps`` ended it.
    """

    spikes: Tensor
    voltage: Tensor
    state: Any
    sweeps: int
    certified: Tensor


class Resetting(Neuron):
    """Base of the neurons whose equations have a reset, by default that of the SiLIF work.

    A subclass gives `frozen` beside what a `Neuron` needs. Where a reset acts in the next step, the
    state has a field ``spikes``.
    """

    RESETS: ClassVar[tuple[str, ...]] = ("subtract",)
    SURROGATE: ClassVar[Any] = Boxcar()

    @staticmethod
    def driving(x: Tensor, state: Any, c: Any) -> tuple[Tensor, dict[str, Any]]:
        """What no spike acts on, once for all sweeps.

        Returns:
            What drives `frozen` (T, B, N), by default the input, and parts of the last state.
        """
        return x, {}

    @staticmethod
    @abc.abstractmethod
    def frozen(x: Tensor, before: Tensor, state: Any, c: Any) -> tuple[Tensor, Any]:
        """The voltages if the neurons had fired ``before`` (T, B, N), one step ago; affine in both.

        Returns:
            The voltage that is compared with the threshold (T, B, N), and the parts of the state
            after the last step, by name, but the spikes.
        """

    @staticmethod
    def acting(excess: Tensor, emit: Emit) -> Tensor:
        """What of the voltage above the threshold feeds back: by default what the neuron sends."""
        return emit.own(excess)

    @torch.no_grad()
    def by_sweeps(
        self, x_seq: Tensor, state: Any = None, *, max_sweeps: int | None = None
    ) -> Swept:
        """`scan` as a fixed point: spikes frozen, one scan that is parallel over time, again.

        Equal to `scan` to rounding where ``certified``: a voltage nearer to the threshold than
        rounding can fall on the other side, and a neuron that drives itself (see
        `AdLIF`) makes much of little. Random input takes tens of sweeps for tens of steps and
        some 200 for 1000, so `scan` does not take this way by itself. No gradient.

        Args:
            x_seq: (T, B, N).
            state: As `scan`.
            max_sweeps: None (default) for as many as it takes, T + 1 at most.

        Raises:
            TypeError, ValueError: As `scan`; a number of sweeps below 1.

        Example:
            >>> import torch, phc_snn as phc
            >>> neuron, x = phc.NormalizedLIF(3), 3.0 * torch.rand(50, 2, 3)
            >>> swept = neuron.by_sweeps(x)
            >>> bool(swept.certified.all()), torch.equal(swept.spikes, neuron.scan(x)[0])
            (True, True)
        """
        if max_sweeps is not None:
            check_positive("max_sweeps", max_sweeps)
        self.scan(x_seq[:0], state)  # the checks at the door
        resting = self.initial_state(x_seq.shape[-2], device=x_seq.device, dtype=x_seq.dtype)
        state = resting if state is None else state
        if not len(x_seq):
            nothing = torch.ones(x_seq.shape[1], dtype=torch.bool, device=x_seq.device)
            return Swept(x_seq, x_seq, state, 0, nothing)
        # Half precision is computed in float32, as a scan does.
        dtype, kept = torch.promote_types(x_seq.dtype, torch.float32), x_seq.dtype
        x_seq, state = x_seq.to(dtype), map_state(lambda part: part.to(dtype), state)
        c = self.coefficients(dtype)
        driven, fixed = self.driving(x_seq, state, c)
        spikes, sweeps = torch.zeros_like(x_seq), 0
        first = getattr(state, "spikes", spikes[0])
        while True:
            before = torch.cat([first[None], spikes[:-1]])
            voltage, parts = self.frozen(driven, before, state, c)
            found = self.acting(voltage - c.threshold, c.emit)
            certified = (found == spikes).all(-1).all(0)
            spikes, sweeps = found, sweeps + 1
            if bool(certified.all()) or sweeps == max_sweeps:
                if "spikes" in state._fields:
                    parts["spikes"] = spikes[-1].clone()
                end = map_state(lambda part: part.to(kept), type(state)(**fixed, **parts))
                sent = c.emit(voltage - c.threshold).to(kept)
                return Swept(sent, voltage.to(kept), end, sweeps, certified)

    def random_state(
        self,
        batch_size: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Any:
        """A state drawn from 0 to 1, each tensor: what the published programs start from.

        They do so at evaluation too, so that their results are draws; `initial_state` is zero.
        """
        resting = self.initial_state(batch_size, device=device, dtype=dtype)
        return map_state(lambda part: part.uniform_(generator=generator), resting)


def mixed(decay: Number, held: Tensor, current: Tensor) -> Tensor:
    """The leaky mean of this family, ``decay held + (1 - decay) current``."""
    return decay * held + (1.0 - decay) * current
