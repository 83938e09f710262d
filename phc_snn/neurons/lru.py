"""LRU: a linear recurrence whose complex decays lie on a ring."""

import math
from typing import Unpack

import torch
from torch import Tensor

from phc_snn.checks import check_positive
from phc_snn.neurons.base import NeuronOptions
from phc_snn.neurons.mixing import DiagonalParameters, MixingDiagonal
from phc_snn.neurons.statespace import exponential, wide
from phc_snn.numerics import special


class LRU(MixingDiagonal):
    """Linear recurrent unit (Orvieto et al. 2023).

    ::

        decay = exp(-exp(log_rate) + i exp(log_angle))          of each state
        h[t] = decay h[t-1] + exp(log_gain) B x[t]
        y[t] = Re(C h[t]) + D x[t]
        out[t] = max(tanh(y[t] - threshold), 0)

    The published names of the three logarithms are nu, theta and gamma. B and C are complex
    matrices, so each state takes from all inputs. First values: decays evenly over the area of a
    ring, ``log_gain = log sqrt(1 - |decay|^2)``, parts of B normal with variance 1/(2 N), those of
    C with variance 1/states, D normal.

    Args:
        features: N, the size of input and output.
        states: Complex numbers in the state. Default N.
        radius: Of the ring, its inner and outer one. Default (0, 1).
        phase: Largest angle of a decay, in radians. Default 2 pi.
        generator: Source of what is drawn; torch's default one if None.
        options: As `Neuron`. The published model passes y on, `step` and `scan` return it as the
            second output; ``spike_grad`` is for what the units of a network send one another.

    Example:
        >>> import torch, phc_snn as phc
        >>> signal, y, state = phc.LRU(3, states=8).scan(torch.randn(100, 2, 3))
        >>> y.shape, state.real.shape
        (torch.Size([100, 2, 3]), torch.Size([2, 8]))
    """

    log_rate: Tensor
    log_angle: Tensor
    log_gain: Tensor

    def __init__(
        self,
        features: int,
        *,
        states: int | None = None,
        radius: tuple[float, float] = (0.0, 1.0),
        phase: float = 2.0 * math.pi,
        generator: torch.Generator | None = None,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)
        self.states = features if states is None else states
        check_positive("states", self.states)
        inner, outer = radius
        if not 0.0 <= inner < outer <= 1.0:
            raise ValueError(f"radius: got {radius}, expected 0 <= inner < outer <= 1")
        if not phase > 0.0:
            raise ValueError(f"phase: got {phase}, expected a positive angle")
        # Half a step of the draw away from 0 and 1, whose logarithms are infinite.
        share, turn = torch.rand(2, self.states, generator=generator).double() + 2.0**-25
        squared = inner**2 + (outer**2 - inner**2) * share
        shape = (self.states, features)
        into = torch.randn(2, *shape, generator=generator) / math.sqrt(2.0 * features)
        out = torch.randn(2, *shape[::-1], generator=generator) / math.sqrt(self.states)
        self.learn(
            log_rate=torch.log(-0.5 * torch.log(squared)),
            log_angle=torch.log(phase * turn),
            log_gain=0.5 * torch.log1p(-squared),
            input_real=into[0],
            input_imaginary=into[1],
            output_real=out[0],
            output_imaginary=out[1],
            feedthrough=torch.randn(features, generator=generator),
        )

    def coefficients(self, dtype: torch.dtype) -> DiagonalParameters:
        decay = exponential(
            -special(self.log_rate.double(), "exp"), special(self.log_angle.double(), "exp")
        )
        gain = special(self.log_gain.double(), "exp")
        return DiagonalParameters(
            decay[0].to(wide(dtype)),
            decay[1].to(wide(dtype)),
            self.matrices(dtype, (gain, torch.zeros_like(gain))),
            self.threshold.to(dtype),
            self.emit,
        )
