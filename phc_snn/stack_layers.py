"""Layers of stacks beside their neurons: what drives them, and what reads them out."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from phc_snn import numerics
from phc_snn.axes import TimeAxis
from phc_snn.named import neuron_class
from phc_snn.neurons import Neuron
from phc_snn.parameters import Clipped, uniform

_EPS, _MOMENTUM = 1e-5, 0.05
"""Of every BatchNorm of the SiLIF work."""


class FeatureNorm(nn.BatchNorm1d):
    """Batch normalisation of each feature over batch and time, (..., N) -> (..., N).

    In evaluation it is two additions and one multiplication of each value by itself, with the same
    bits step by step and over a sequence. In training it takes mean and variance of all steps.
    """

    def forward(self, x: Tensor, own: Tensor | None = None) -> Tensor:
        """``own`` (T, B) are the steps that are taken in training; the others become 0."""
        if not self.training:
            # The norm's own function has other bits for other shapes.
            assert self.running_mean is not None
            assert self.running_var is not None
            gain = self.weight / torch.sqrt(self.running_var + self.eps)
            centred = x - self.running_mean.to(x.dtype)
            return centred * gain.to(x.dtype) + self.bias.to(x.dtype)
        if own is None:
            return self._normalized(x.flatten(0, -2)).reshape(x.shape)
        normalized = torch.zeros_like(x)
        normalized[own] = self._normalized(x[own])
        return normalized

    def _normalized(self, rows: Tensor) -> Tensor:
        """(rows, N) by their own mean and variance."""
        return super().forward(rows.to(self.weight.dtype)).to(rows.dtype)


class NormedLinear(nn.Module):
    """``BatchNorm(W x)``: what drives a layer.

    In evaluation the bits of a step do not depend on the steps and samples around it.

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
        self.norm = FeatureNorm(features, eps=_EPS, momentum=_MOMENTUM)

    def forward(self, x: Tensor, own: Tensor | None) -> Tensor:
        """(..., K) -> (..., N); ``own`` (T, B) are the steps that a BatchNorm in training takes."""
        weight = self.linear.weight.to(x.dtype)
        product = nn.functional.linear if self.training else numerics.linear
        normed: Tensor = self.norm(product(x, weight).to(x.dtype), own)
        return normed


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


def maker(
    neuron: str | Callable[[int], Neuron],
    options: dict[str, Any],
    generator: torch.Generator | None,
) -> Callable[[int, int], Neuron]:
    """What makes the neurons of a layer, given their number and that of the layer."""
    if not isinstance(neuron, str):
        if options:
            raise ValueError(
                f"options: got {sorted(options)} for a callable neuron; let it give them itself"
            )
        return lambda features, number: neuron(features)
    model = neuron_class(neuron)
    known = inspect.signature(model).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"options: got {unknown}, expected arguments of {model.__name__}: {', '.join(known)}"
        )
    if "generator" in known:
        options = {**options, "generator": generator}

    def made(features: int, number: int) -> Neuron:
        # Layers that draw alike would fire together.
        own = {"seed": options.get("seed", 0) + number} if "seed" in known else {}
        return model(features, **{**options, **own})

    return made


def checked(neuron: Any, features: int) -> Neuron:
    if not isinstance(neuron, Neuron) or neuron.features != features:
        found = f"{neuron.features} neurons" if isinstance(neuron, Neuron) else repr(neuron)
        raise ValueError(f"neuron: made {found}, expected a phc_snn.Neuron of {features}")
    neuron.check_finite = False  # the door is the stack's
    return neuron
