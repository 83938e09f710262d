"""SpikingSSM: a spiking membrane with hard reset behind a diagonal state-space model."""

from typing import Any, ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor

from phc_snn.axes import TimeAxis, WholeSequence
from phc_snn.emit import Emit
from phc_snn.kernels import Stage
from phc_snn.neurons.base import NeuronOptions
from phc_snn.neurons.resetting import Resetting
from phc_snn.neurons.s4d import Diagonal, Filter, filtered
from phc_snn.neurons.statespace import wide
from phc_snn.parameters import Constrained, Value
from phc_snn.process import run_stages
from phc_snn.scan import affine_scan
from phc_snn.surrogate import Triangle, heaviside


class SpikingSSMState(NamedTuple):
    """State of `SpikingSSM`: modes (B, modes, N), and the membrane after its reset (B, N)."""

    imaginary: Tensor
    real: Tensor
    membrane: Tensor


class SpikingSSMParameters(NamedTuple):
    """What `SpikingSSM.dynamics` reads; ``filter`` has been divided by the threshold's scale."""

    filter: Filter
    membrane_decay: float
    threshold: Tensor
    emit: Emit


class _Membrane(NamedTuple):
    membrane: Tensor


class _Firing(NamedTuple):
    membrane_decay: float
    threshold: Tensor
    emit: Emit


def _fire(
    current: Tensor, state: _Membrane, c: _Firing, time: TimeAxis
) -> tuple[tuple[Tensor, Tensor], _Membrane]:
    """The membrane under a current: spikes and voltage. A kernel of its own over a sequence."""

    def step(current: Tensor, before: _Membrane) -> tuple[tuple[Tensor], _Membrane]:
        voltage = c.membrane_decay * before.membrane + current
        return (voltage,), _Membrane(_reset(voltage, c.threshold))

    (voltage,), state = time.walk(step, current, state)
    return (c.emit(voltage - c.threshold), voltage), state


def _reset(voltage: Tensor, threshold: Tensor) -> Tensor:
    """Zero where the neuron fired; where it did passes no gradient."""
    return torch.where(voltage - threshold > 0.0, 0.0, voltage)


class SpikingSSM(Diagonal, Resetting):
    """Spiking state-space model with hard reset (Shen et al. 2024).

    ::

        I[t] = y[t] / threshold_scale                           y as in `S4D`
        v[t] = membrane_decay u[t-1] + I[t]
        s[t] = H(v[t] - threshold)
        u[t] = (1 - s[t]) v[t]

    The state-space model is one scan. The reset feeds back, and takes no gradient: over a sequence
    it is one compiled loop, lanes in parallel, and with ``backend="associative"`` refused;
    `by_sweeps` is the form that scans. Published is ``v >= threshold``; here a neuron fires where
    ``v > threshold``, as all of this package, so only exact equality differs.

    Args:
        features, modes, time_step: As `S4D`.
        threshold_scale: What the published program calls the threshold of each neuron: it divides
            the current. Above 0, learned as its logarithm; one value or N. Default 1.
        membrane_decay: Factor per step, in [0, 1], the published tau; not learned. Default 0.125.
        generator: Source of what is drawn; torch's default one if None.
        options: As `Neuron`. The surrogate derivative is that of `Triangle`.

    Example:
        >>> import torch, phc_snn as phc
        >>> spikes, voltage, state = phc.SpikingSSM(3).scan(torch.randn(100, 2, 3))
        >>> state.membrane.shape
        torch.Size([2, 3])
    """

    RESETS = ("zero",)
    SURROGATE = Triangle()
    THRESHOLD = 1.0
    NETWORK: ClassVar[dict[str, Any]] = {"threshold_scale": 0.7}
    threshold_scale = Constrained(0.0, exponential=True)

    def __init__(
        self,
        features: int,
        *,
        modes: int = 32,
        time_step: Value | None = None,
        threshold_scale: Value = 1.0,
        membrane_decay: float = 0.125,
        generator: torch.Generator | None = None,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, modes=modes, time_step=time_step, generator=generator, **options)
        if not 0.0 <= membrane_decay <= 1.0:
            raise ValueError(
                f"membrane_decay: got {membrane_decay}, expected 0 <= membrane_decay <= 1"
            )
        self.membrane_decay = float(membrane_decay)
        type(self).threshold_scale.create(self, features, threshold_scale)

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> SpikingSSMState:
        """All modes zero, no membrane potential."""
        membrane = torch.zeros(batch_size, self.features, device=device, dtype=dtype)
        return SpikingSSMState(*self.resting_modes(batch_size, device, dtype), membrane)

    def coefficients(self, dtype: torch.dtype) -> SpikingSSMParameters:
        divided = self.filter(dtype, self.threshold_scale.double())
        threshold = self.threshold.to(wide(dtype))
        return SpikingSSMParameters(divided, self.membrane_decay, threshold, self.emit)

    @staticmethod
    def dynamics(
        x: Tensor, state: SpikingSSMState, c: SpikingSSMParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], SpikingSSMState]:
        current, (real, imaginary) = filtered(x, state, c.filter, time)
        firing = _Firing(c.membrane_decay, c.threshold, c.emit)
        stage = Stage(_fire, firing, _Membrane(state.membrane.to(current.dtype)))
        _, (spikes, voltage), (after,) = run_stages([stage], current, time)
        membrane = after.membrane.to(x.dtype)
        return (spikes.to(x.dtype), voltage.to(x.dtype)), SpikingSSMState(imaginary, real, membrane)

    @staticmethod
    def driving(
        x: Tensor, state: SpikingSSMState, c: SpikingSSMParameters
    ) -> tuple[Tensor, dict[str, Any]]:
        current, (real, imaginary) = filtered(x, state, c.filter, WholeSequence("associative"))
        return current.to(x.dtype), {"real": real, "imaginary": imaginary}

    @staticmethod
    def acting(excess: Tensor, emit: Emit) -> Tensor:
        return heaviside(excess)  # a hard reset, whatever the spike function sends

    @staticmethod
    def frozen(
        x: Tensor, before: Tensor, state: SpikingSSMState, c: SpikingSSMParameters
    ) -> tuple[Tensor, dict[str, Any]]:
        # Before the first step the membrane has been reset already.
        held = c.membrane_decay * (1.0 - before)
        voltage = affine_scan(held, x, state.membrane, backend="associative")
        return voltage, {"membrane": _reset(voltage[-1], c.threshold)}
