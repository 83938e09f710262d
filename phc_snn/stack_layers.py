"""Layers of a `StackedSNN` beside its neurons: what drives them, and what reads them out."""

import math

import torch
from torch import Tensor, nn

from phc_snn import numerics
from phc_snn.parameters import Clipped, uniform
from phc_snn.process import TimeAxis

_EPS, _MOMENTUM = 1e-5, 0.05
"""Of every BatchNorm, as published."""


class NormedLinear(nn.Module):
    """``BatchNorm(W x)``: what drives a layer.

    In evaluation the norm is one factor and one summand for each neuron, and the bits of a step do
    not depend on the steps and samples around it. In training it takes their mean and variance.

    Args:
        in_features: K.
        features: N.
        generator: Source of the initial weights, which are those of ``torch.nn.Linear``.
    """

    def __init__(
        self, in_features: int, features: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, features, bias=False)
        bound = 1.0 / math.sqrt(in_features)
        nn.init.uniform_(self.linear.weight, -bound, bound, generator=generator)
        self.norm = nn.BatchNorm1d(features, eps=_EPS, momentum=_MOMENTUM)

    def forward(self, x: Tensor, own: Tensor | None) -> Tensor:
        """(..., K) -> (..., N); ``own`` (T, B) are the steps that a BatchNorm in training takes."""
        weight = self.linear.weight.to(x.dtype)
        if not self.training:
            # The norm's own function has other bits for other shapes.
            scale, shift = self._affine()
            return numerics.linear(x, weight) * scale.to(x.dtype) + shift.to(x.dtype)
        current = nn.functional.linear(x, weight)
        if own is None:
            return self._normalized(current.flatten(0, 1)).reshape(current.shape)
        normalized = torch.zeros_like(current)
        normalized[own] = self._normalized(current[own])
        return normalized

    def _affine(self) -> tuple[Tensor, Tensor]:
        """Factor and summand (N,) of the norm in evaluation."""
        norm = self.norm
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        scale = norm.weight / torch.sqrt(variance + norm.eps)
        return scale, norm.bias - mean * scale

    def _normalized(self, rows: Tensor) -> Tensor:
        """The norm of (rows, N) by their own mean and variance."""
        normalized: Tensor = self.norm(rows.to(self.norm.weight.dtype))
        return normalized.to(rows.dtype)


class LeakyReadout(nn.Module):
    """A leaky integrator for each class, and the softmax over them.

    ``u[t] = decay u[t-1] + (1 - decay) I[t]``, with ``I`` as `NormedLinear` gives it and a decay in
    [exp(-1/5), exp(-1/25)] of each class, which is learned and has no gradient outside.

    Args:
        in_features: N, of the layer before.
        num_classes: C.
        generator: Source of the initial weights and decays.
    """

    membrane_decay = Clipped(math.exp(-1 / 5), math.exp(-1 / 25))

    def __init__(
        self, in_features: int, num_classes: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.current = NormedLinear(in_features, num_classes, generator)
        kind = type(self).membrane_decay
        assert kind.upper is not None
        kind.create(self, num_classes, uniform(num_classes, kind.lower, kind.upper, generator))

    def forward(
        self, x: Tensor, membrane: Tensor, time: TimeAxis, own: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The softmax of the membrane (..., C), and the last membrane (B, C)."""
        decay = self.membrane_decay.to(x.dtype)
        charged = (1.0 - decay) * self.current(x, own)
        voltage, last = time.recur(decay, charged, membrane)
        return numerics.softmax(voltage), last
