"""S4D: many complex modes for each neuron, diagonal and linear."""

import math
from typing import NamedTuple, Protocol, Unpack

import torch
from torch import Tensor

from phc_snn.axes import TimeAxis
from phc_snn.checks import check_positive
from phc_snn.emit import Emit
from phc_snn.neurons.base import NeuronOptions
from phc_snn.neurons.statespace import (
    Complex,
    StateSpace,
    exponential,
    product,
    quotient,
    recur_complex,
    total,
    wide,
)
from phc_snn.numerics import special
from phc_snn.parameters import Constrained, Value, log_uniform


class S4DState(NamedTuple):
    """State of `S4D` and `BinaryS4D`: the modes of each neuron, each part (B, modes, N)."""

    imaginary: Tensor
    real: Tensor


class Filter(NamedTuple):
    """The coefficients of a filter of many modes: ``h = decay h + x, y = Re(weight h) + D x``.

    All but ``feedthrough`` (N,) are (modes, N).
    """

    decay_real: Tensor
    decay_imaginary: Tensor
    weight_real: Tensor
    weight_imaginary: Tensor
    feedthrough: Tensor


class S4DParameters(NamedTuple):
    """What `S4D.dynamics` reads."""

    filter: Filter
    threshold: Tensor
    emit: Emit


class Modes(Protocol):
    """A state that has the modes of a filter, each part (B, modes, N)."""

    @property
    def real(self) -> Tensor: ...
    @property
    def imaginary(self) -> Tensor: ...


class Diagonal(StateSpace):
    """Parameters of `S4D` and the filter that they make; a subclass says what becomes of it.

    Args:
        features, modes, time_step, generator, options: As `S4D`.
    """

    time_step = Constrained(0.0, exponential=True)
    log_rate: Tensor
    frequency: Tensor
    output_real: Tensor
    output_imaginary: Tensor
    feedthrough: Tensor

    def __init__(
        self,
        features: int,
        *,
        modes: int = 32,
        time_step: Value | None = None,
        generator: torch.Generator | None = None,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)
        check_positive("modes", modes)
        self.modes = modes
        if time_step is None:
            time_step = log_uniform(features, 0.001, 0.1, generator)
        type(self).time_step.create(self, features, time_step)
        shape = (modes, features)
        drawn = torch.randn(2, *shape, generator=generator) * math.sqrt(0.5)
        self.learn(
            log_rate=torch.full(shape, math.log(0.5)),
            frequency=(math.pi * torch.arange(modes)[:, None]).expand(shape).clone(),
            output_real=drawn[0],
            output_imaginary=drawn[1],
            feedthrough=torch.randn(features, generator=generator),
        )

    def filter(self, dtype: torch.dtype, scale: Tensor | float = 1.0) -> Filter:
        """Its coefficients, computed in float64 and rounded once; the output is divided by a scale.

        A step is short beside the time constants, so ``decay - 1`` loses digits.
        """
        real = -special(self.log_rate.double(), "exp")
        imaginary = self.frequency.double()
        step = self.time_step.double()
        decay = exponential(real * step, imaginary * step)
        held = quotient((decay[0] - 1.0, decay[1]), (real, imaginary))
        weight = product(held, (self.output_real.double(), self.output_imaginary.double()))
        # Each mode stands for itself and its conjugate.
        parts = (2.0 * weight[0], 2.0 * weight[1], self.feedthrough.double())
        scaled = (part / scale for part in parts)
        return Filter(*(part.to(wide(dtype)) for part in (*decay, *scaled)))

    def resting_modes(
        self, batch_size: int, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> Complex:
        """Two tensors of zeros, (B, modes, N)."""
        shape = (batch_size, self.modes, self.features)
        zeros = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(2)]
        return zeros[0], zeros[1]


def filtered(x: Tensor, state: Modes, c: Filter, time: TimeAxis) -> tuple[Tensor, Complex]:
    """The output of a filter, in the dtype that it is computed in, and the last modes."""
    x = x.to(c.feedthrough.dtype)
    each = x[..., None, :].expand(*x.shape[:-1], *c.decay_real.shape)
    decay, weight = (c.decay_real, c.decay_imaginary), (c.weight_real, c.weight_imaginary)
    initial = (state.real, state.imaginary)
    h, last = recur_complex(decay, (each, torch.zeros_like(each)), initial, time)
    return total(product(weight, h)[0]) + c.feedthrough * x, last


class S4D(Diagonal):
    """Diagonal state-space model with zero-order hold (S4D-Lin, Gu et al. 2022).

    ::

        A = -rate + i frequency                                 of each mode
        h[t] = exp(A time_step) h[t-1] + x[t]
        y[t] = 2 Re sum_modes(C (exp(A time_step) - 1) / A h[t]) + D x[t]
        out[t] = max(tanh(y[t] - threshold), 0)

    Each neuron has modes of its own, and each mode stands for a pair of conjugates: ``modes = 32``
    is the published state size of 64. The input weights are folded into C, as in the published
    program. Modes are complex numbers in two real parts; first values are A = -1/2 + i pi k for
    mode k, C complex normal and D normal. Rates and time steps are learned as their logarithms.

    Args:
        features: N, the number of neurons.
        modes: Of each neuron. Default 32.
        time_step: Above 0, in units of one over A; one value or N. None (default) draws its
            logarithm evenly from 0.001 to 0.1.
        generator: Source of what is drawn; torch's default one if None.
        options: As `Neuron`. The published model passes y on, `step` and `scan` return it as the
            second output; ``spike_grad`` is for what the neurons of a network send one another.

    Example:
        >>> import torch, phc_snn as phc
        >>> signal, y, state = phc.S4D(3).scan(torch.randn(100, 2, 3))
        >>> y.shape, state.real.shape
        (torch.Size([100, 2, 3]), torch.Size([2, 32, 3]))
    """

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> S4DState:
        """All modes zero."""
        return S4DState(*self.resting_modes(batch_size, device, dtype))

    def coefficients(self, dtype: torch.dtype) -> S4DParameters:
        return S4DParameters(self.filter(dtype), self.threshold.to(dtype), self.emit)

    @staticmethod
    def dynamics(
        x: Tensor, state: S4DState, c: S4DParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], S4DState]:
        y, (real, imaginary) = filtered(x, state, c.filter, time)
        y = y.to(x.dtype)
        return (c.emit(y - c.threshold), y), S4DState(imaginary, real)
