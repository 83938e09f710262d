"""C-SiLIF: a complex membrane, as of a diagonal state-space model, with a reset."""

import math
from typing import Any, ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor, nn

from phc_snn.axes import TimeAxis
from phc_snn.emit import Emit
from phc_snn.neurons.base import NeuronOptions
from phc_snn.neurons.resetting import Resetting
from phc_snn.numerics import special
from phc_snn.parameters import Constrained, Value, log_uniform, per_neuron, uniform
from phc_snn.scan import affine_scan
from phc_snn.scan.reference import Number
from phc_snn.surrogate import Boxcar


class CSiLIFState(NamedTuple):
    """State of `CSiLIF`; each (B, N)."""

    spikes: Tensor
    imaginary: Tensor
    membrane: Tensor


class CSiLIFParameters(NamedTuple):
    """What `CSiLIF.dynamics` reads; numbers, or tensors that broadcast to (B, N)."""

    real: Number = 0.9
    imaginary: Number = 0.1
    b: Number = 1.0
    threshold: Number = 1.0
    emit: Emit = Emit(Boxcar())


class CSiLIF(Resetting):
    """Complex state-space inspired LIF neuron (C-SiLIF): a resonator with reset.

    ::

        A = exp((-decay_rate + i frequency) time_step)
        u[t] = A (u[t-1] - threshold s[t-1] / 2) + b I[t]
        s[t] = H(2 Re u[t] - threshold)

    Decay rate and time step are learned as their logarithms; both rates are in units of one over
    that of the time step. The state's ``membrane`` is Re u.

    Args:
        features: N, the number of neurons.
        decay_rate: Above 0; one value or N. Default 1/2.
        frequency: In radians. Default pi.
        time_step: Above 0. None (default) draws its logarithm evenly from 0.01 to ``longest``.
        b: Gain of the input. None (default) draws it from [0, 1].
        longest: See ``time_step``. Default 0.5, as published for SHD; 5 for SSC.
        generator: Source of what is drawn; torch's default one if None.
        options: As `Neuron`.

    Example:
        >>> import torch, phc_snn as phc
        >>> spikes, voltage, state = phc.CSiLIF(3).scan(torch.rand(100, 2, 3))
        >>> state._fields
        ('spikes', 'imaginary', 'membrane')
    """

    EXCITABLE = False
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": 0.5, "b": 0.5}
    decay_rate = Constrained(0.0, exponential=True)
    time_step = Constrained(0.0, exponential=True)
    frequency: Tensor
    b: Tensor

    def __init__(
        self,
        features: int,
        *,
        decay_rate: Value = 0.5,
        frequency: Value = math.pi,
        time_step: Value | None = None,
        b: Value | None = None,
        longest: float = 0.5,
        generator: torch.Generator | None = None,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)
        if not 0.01 <= longest < math.inf:
            raise ValueError(f"longest: got {longest}, expected a number of at least 0.01")
        if time_step is None:
            time_step = log_uniform(features, 0.01, longest, generator)
        kind = type(self)
        kind.decay_rate.create(self, features, decay_rate)
        kind.time_step.create(self, features, time_step)
        b = uniform(features, 0.0, 1.0, generator) if b is None else b
        for name, value in (("frequency", frequency), ("b", b)):
            found = per_neuron(name, value, features).to(torch.get_default_dtype())
            self.register_parameter(name, nn.Parameter(found))

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> CSiLIFState:
        """No membrane potential, no spike before."""
        shape = (batch_size, self.features)
        return CSiLIFState(*(torch.zeros(shape, device=device, dtype=dtype) for _ in range(3)))

    def coefficients(self, dtype: torch.dtype) -> CSiLIFParameters:
        size = special(-self.decay_rate * self.time_step, "exp")
        angle = self.frequency * self.time_step
        return CSiLIFParameters(
            (size * special(angle, "cos")).to(dtype),
            (size * special(angle, "sin")).to(dtype),
            self.b.to(dtype),
            self.threshold.to(dtype),
            self.emit,
        )

    @staticmethod
    def dynamics(
        x: Tensor, state: CSiLIFState, c: CSiLIFParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], CSiLIFState]:
        fire = c.emit.own

        def step(current: Tensor, before: CSiLIFState) -> tuple[tuple[Tensor], CSiLIFState]:
            left = before.membrane - 0.5 * c.threshold * before.spikes
            real = c.real * left - c.imaginary * before.imaginary + c.b * current
            imaginary = c.real * before.imaginary + c.imaginary * left
            voltage = 2.0 * real
            return (voltage,), CSiLIFState(fire(voltage - c.threshold), imaginary, real)

        (voltage,), state = time.walk(step, x, state)
        return (c.emit(voltage - c.threshold), voltage), state

    @staticmethod
    def frozen(
        x: Tensor, before: Tensor, state: CSiLIFState, c: CSiLIFParameters
    ) -> tuple[Tensor, dict[str, Any]]:
        decay = torch.complex(torch.as_tensor(c.real), torch.as_tensor(c.imaginary))
        charged = c.b * x - decay * (0.5 * c.threshold * before)
        initial = torch.complex(state.membrane, state.imaginary)
        u = affine_scan(decay, charged, initial, backend="associative")
        end = {"membrane": u.real[-1].clone(), "imaginary": u.imag[-1].clone()}
        return 2.0 * u.real, end
