"""S5: one diagonal state-space model for all inputs, started from HiPPO-LegS."""

import math
from typing import Literal, Unpack, get_args

import torch
from torch import Tensor

from phc_snn.checks import check_positive
from phc_snn.neurons.base import NeuronOptions
from phc_snn.neurons.mixing import DiagonalParameters, MixingDiagonal
from phc_snn.neurons.statespace import Complex, exponential, hippo_legs, quotient, wide
from phc_snn.numerics import clipped
from phc_snn.parameters import Constrained, Value, log_uniform

Discretization = Literal["zoh", "bilinear"]


class S5(MixingDiagonal):
    """Simplified state-space layer (S5, Smith et al. 2023).

    ::

        A = min(rate, -0.0001) + i frequency                    of each state
        h[t] = decay h[t-1] + gain B x[t]
        y[t] = 2 Re(C h[t]) + D x[t]
        out[t] = max(tanh(y[t] - threshold), 0)

    with ``decay = exp(A time_step)`` and ``gain = (decay - 1) / A`` (``"zoh"``), or
    ``decay = (1 + A time_step / 2) / (1 - A time_step / 2)`` and
    ``gain = time_step / (1 - A time_step / 2)`` (``"bilinear"``).

    B and C are complex matrices, so each state takes from all inputs, and stands for a pair of
    conjugates: ``states`` is half the published state size. First values: A the eigenvalues of the
    normal part of the HiPPO-LegS matrix, one block; ``B = V* B'`` and ``C = C' V`` with its
    eigenvectors V, where B' and both parts of C' are normal with variance 1/(2 states) (published:
    the same, with the tails cut off); D normal. ``rate`` has no gradient beyond its bound. Time
    steps are learned as their logarithms.

    Args:
        features: N, the size of input and output.
        states: Pairs of conjugates. Default N.
        time_step: Above 0, in units of one over A; one value or one for each state. None (default)
            draws its logarithm evenly from 0.001 to 0.1.
        discretization: ``"zoh"`` (default) or ``"bilinear"``.
        generator: Source of what is drawn; torch's default one if None.
        options: As `Neuron`. The published model passes y on, `step` and `scan` return it as the
            second output; ``spike_grad`` is for what the units of a network send one another.

    Example:
        >>> import torch, phc_snn as phc
        >>> signal, y, state = phc.S5(3, states=8).scan(torch.randn(100, 2, 3))
        >>> y.shape, state.real.shape
        (torch.Size([100, 2, 3]), torch.Size([2, 8]))
    """

    time_step = Constrained(0.0, exponential=True)
    rate: Tensor
    frequency: Tensor

    def __init__(
        self,
        features: int,
        *,
        states: int | None = None,
        time_step: Value | None = None,
        discretization: Discretization = "zoh",
        generator: torch.Generator | None = None,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)
        self.states = features if states is None else states
        check_positive("states", self.states)
        if discretization not in get_args(Discretization):
            raise ValueError(
                f"discretization: got {discretization!r}, expected 'zoh' or 'bilinear'"
            )
        self.discretization = discretization
        self.keep_option("discretization_option", get_args(Discretization).index(discretization))
        if time_step is None:
            time_step = log_uniform(self.states, 0.001, 0.1, generator)
        type(self).time_step.create(self, self.states, time_step)
        values, vectors = hippo_legs(self.states)
        size = math.sqrt(0.5 / self.states)
        wide_shape = (2 * self.states, features)
        into = size * torch.randn(wide_shape, generator=generator).to(vectors)
        parts = size * torch.randn(2, *wide_shape[::-1], generator=generator).double()
        into, out = vectors.mH @ into, torch.complex(*parts) @ vectors
        self.learn(
            rate=values.real,
            frequency=values.imag,
            input_real=into.real,
            input_imaginary=into.imag,
            output_real=out.real,
            output_imaginary=out.imag,
            feedthrough=torch.randn(features, generator=generator),
        )

    def coefficients(self, dtype: torch.dtype) -> DiagonalParameters:
        decay, gain = self.discretized()
        return DiagonalParameters(
            decay[0].to(wide(dtype)),
            decay[1].to(wide(dtype)),
            self.matrices(dtype, gain, 2.0),
            self.threshold.to(dtype),
            self.emit,
        )

    def discretized(self) -> tuple[Complex, Complex]:
        """Decay and gain of each state, (states,), in float64."""
        rate = clipped(self.rate.double(), upper=-1e-4)
        frequency, step = self.frequency.double(), self.time_step.double()
        real, imaginary = rate * step, frequency * step
        if self.discretization == "zoh":
            decay = exponential(real, imaginary)
            return decay, quotient((decay[0] - 1.0, decay[1]), (rate, frequency))
        below = (1.0 - 0.5 * real, -0.5 * imaginary)
        decay = quotient((1.0 + 0.5 * real, 0.5 * imaginary), below)
        return decay, quotient((step, torch.zeros_like(step)), below)
