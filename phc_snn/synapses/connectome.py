"""Transmission between neurons: one masked, sign-constrained product (Chiang 2026, Eqs. 9-10)."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from phc_snn import numerics
from phc_snn.synapses.topology import Topology
from phc_snn.synapses.transmission import Connectome

Dale = Literal["construction", "projection"]


class HierarchicalConnectome(Connectome):
    """``I_syn = W_struct out`` with ``W_struct = W_syn * M_topo`` under Dale's law.

    Columns are presynaptic: excitatory columns are never negative, inhibitory ones never positive,
    and what the topology masks is zero, the diagonal included.

    Args:
        topology: Connections, signs and regions.
        gain: Total excitatory weight onto each neuron at the start; each weight is drawn uniformly
            from half to one and a half times its mean. Default 8.
        recurrence: Total weight from excitatory onto excitatory neurons of the same or a later
            region, relative to ``gain``: the loops that excite themselves. Default 0.1.
        inhibition: Total inhibitory weight onto each neuron, relative to ``gain``. Default 0.25.
        dale: ``"construction"`` (default): the weight is the sign times the magnitude of a free
            parameter, so every value of the parameter obeys the law; a weight that reaches zero is
            reflected and never dead. ``"projection"``: the parameter is the weight, and `project`
            clamps it after each update (`project_after` arranges that). None: no law, signs start
            as the topology has them and are then free.
        generator: Source of the initial weights; torch's default one if None.

    Attributes:
        raw_weight: The parameter (N, N), dense; masked entries play no part.

    Example:
        >>> import torch, phc_snn as phc
        >>> connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(8))
        >>> connectome(torch.zeros(5, 2, 8)).shape
        torch.Size([5, 2, 8])
    """

    mask: Tensor
    excitatory: Tensor

    def __init__(
        self,
        topology: Topology,
        *,
        gain: float = 8.0,
        recurrence: float = 0.1,
        inhibition: float = 0.25,
        dale: Dale | None = "construction",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(topology, Topology):
            raise TypeError(
                f"topology: got {type(topology).__name__}, expected a Topology, for example "
                "Topology.bidirectional(64)"
            )
        if dale is not None and dale not in get_args(Dale):
            raise ValueError(f"dale: got {dale!r}, expected one of {get_args(Dale)} or None")
        for name, value in (
            ("gain", gain),
            ("recurrence", recurrence),
            ("inhibition", inhibition),
        ):
            if not 0 <= value < torch.inf:
                raise ValueError(f"{name}: got {value}, expected a finite number of at least 0")
        self.topology = topology
        self.features = topology.features
        self.dale = dale
        self.register_buffer("mask", topology.mask.clone())
        self.register_buffer("excitatory", topology.excitatory.clone())
        magnitude = _initial_magnitude(
            topology, gain, gain * recurrence, gain * inhibition, generator
        )
        signed = dale != "construction"
        self.raw_weight = nn.Parameter(magnitude * self.sign if signed else magnitude)

    @property
    def sign(self) -> Tensor:
        """(N,): +1 for excitatory, -1 for inhibitory presynaptic neurons."""
        return torch.where(self.excitatory, 1.0, -1.0)

    @property
    def weight(self) -> Tensor:
        """``W_struct`` (N, N), row post, column pre."""
        raw: Tensor = self.raw_weight
        if self.dale == "construction":
            # Not abs, whose gradient at zero is zero: there the weight would stay for ever.
            raw = torch.where(raw >= 0, raw, -raw) * self.sign.to(raw.dtype)
        return torch.where(self.mask, raw, raw.new_zeros(()))

    @property
    def effective_weights(self) -> int:
        """The number of connections that the topology has."""
        return int(self.mask.sum())

    @torch.no_grad()
    def project(self) -> None:
        """Clamp the parameter to Dale's law; needed after each update if ``dale="projection"``."""
        if self.dale == "projection":
            sign = self.sign.to(self.raw_weight.dtype)
            self.raw_weight.copy_(torch.relu(self.raw_weight * sign) * sign)

    @torch.no_grad()
    def add(self, change: Tensor) -> None:
        """Add ``change`` (N, N) to `weight` in place, as far as the topology and the law allow.

        A weight that would change its sign stops at zero, with either ``dale`` that keeps a law:
        reflected, it would grow where ``change`` says that it should shrink. It is not dead there:
        a later change can raise it, and so can its gradient, which is not zero. The parameter stays
        as it is where ``change`` is zero and where the topology has no connection; only `project`,
        which is part of it if ``dale="projection"``, clamps whatever breaks the law.

        Raises:
            ValueError: A change of another shape than (N, N).
        """
        raw = self.raw_weight
        if change.shape != raw.shape:
            raise ValueError(
                f"change: got shape {tuple(change.shape)}, expected {tuple(raw.shape)}"
            )
        change = torch.where(self.mask, change, 0.0).to(raw.dtype)
        if self.dale == "construction":
            magnitude = torch.relu(raw.abs() + change * self.sign.to(raw.dtype))
            # On the side of zero where it was, which is the one that an optimiser's momentum knows.
            raw.copy_(torch.copysign(magnitude, raw))
            return
        raw.add_(change)
        self.project()

    def project_after(self, optimizer: torch.optim.Optimizer) -> Any:
        """Have `project` run after every step of ``optimizer``; returns the hook's handle."""
        return optimizer.register_step_post_hook(lambda *_: self.project())

    def coefficients(self, dtype: torch.dtype) -> Tensor:
        return self.weight.to(dtype)

    @staticmethod
    def transmit(signal: Tensor, coefficients: Tensor) -> Tensor:
        return numerics.linear(signal, coefficients)

    @torch.no_grad()
    def scale(self, gain: float) -> None:
        self.raw_weight.mul_(gain)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        other = []
        for name in ("mask", "excitatory"):
            saved = state_dict.get(prefix + name)
            current = getattr(self, name)
            if saved is not None and not torch.equal(saved.to(current.device), current):
                other.append(f"{prefix}{name}")
        if other:
            args[-1].append(
                f"{', '.join(other)}: the saved network has another topology than this one; build "
                "the module with the topology it was saved with"
            )
            return  # leave this one as it is
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        return (
            f"{self.features}, regions={self.topology.regions}, "
            f"connections={self.effective_weights}, dale={self.dale!r}"
        )


def _initial_magnitude(
    topology: Topology,
    gain: float,
    recurrent: float,
    inhibitory: float,
    generator: torch.Generator | None,
) -> Tensor:
    """(N, N) uniform magnitudes whose expected sums over each kind of input are the given totals.

    Excitation is strong forward and onto inhibitory neurons, and weak in its loops: so activity
    reaches every region, and a loop does not run away with it.
    """
    pre, post = topology.excitatory[None, :], topology.excitatory[:, None]
    forward = topology.region[None, :] < topology.region[:, None]
    loops = pre & post & ~forward
    magnitude = torch.rand(topology.mask.shape, generator=generator) + 0.5
    scale = torch.zeros_like(magnitude)
    # Excitatory neurons get forward excitation and loops on top of each other, each with its total.
    for kind, total in (
        (pre & ~loops, gain),
        (loops, recurrent),
        (~pre.expand_as(loops), inhibitory),
    ):
        present = topology.mask & kind
        count = present.sum(dim=1, keepdim=True).clamp(min=1)
        scale = torch.where(present, total / count, scale)
    return magnitude * scale
