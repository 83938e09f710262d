"""SiLIF: AdLIF with a learned time step and logarithmic rates."""

from typing import Any, ClassVar, Unpack

import torch

from phc_snn.neurons.adlif import Adaptive, AdLIFParameters
from phc_snn.neurons.base import NeuronOptions
from phc_snn.numerics import special
from phc_snn.parameters import Clipped, Constrained, Value, log_uniform, uniform


class SiLIF(Adaptive):
    """State-space inspired LIF neuron (SiLIF): `AdLIF` whose decays are discretised rates.

    ::

        membrane_decay = exp(-membrane_rate time_step)
        adaptation_decay = exp(-adaptation_rate time_step)

    and then the recurrence of `AdLIF`. Rates and time step are learned as their logarithms (the
    published alpha, beta and dt), each neuron its own.

    Args:
        features: N, the number of neurons.
        membrane_rate: In 1/s, above 0; one value or N. None (default) draws its logarithm evenly
            from 10 to 250.
        adaptation_rate: In 1/s, above 0. None (default): evenly in the logarithm, from 2.5 to 10.
        time_step: In s, above 0. Default 0.004.
        a: Of the membrane on its adaptation, in [0, 1]; None (default) draws it from there.
            Clipped, no gradient outside.
        b: Of a spike on the adaptation, in [0, 2]; as ``a``.
        generator: Source of what is drawn; torch's default one if None.
        options: As `Neuron`.

    Example:
        >>> import torch, phc_snn as phc
        >>> neuron = phc.SiLIF(3)
        >>> spikes, voltage, state = neuron.scan(5.0 * torch.rand(100, 2, 3))
        >>> sum(parameter.numel() for parameter in neuron.parameters()) // 3  # each neuron
        5
    """

    membrane_rate = Constrained(0.0, exponential=True)
    adaptation_rate = Constrained(0.0, exponential=True)
    time_step = Constrained(0.0, exponential=True)
    a = Clipped(0.0, 1.0)
    b = Clipped(0.0, 2.0)
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": 0.05}

    def __init__(
        self,
        features: int,
        *,
        membrane_rate: Value | None = None,
        adaptation_rate: Value | None = None,
        time_step: Value = 0.004,
        a: Value | None = None,
        b: Value | None = None,
        generator: torch.Generator | None = None,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)

        if membrane_rate is None:
            membrane_rate = log_uniform(features, 10.0, 250.0, generator)
        if adaptation_rate is None:
            adaptation_rate = log_uniform(features, 2.5, 10.0, generator)
        kind = type(self)
        kind.membrane_rate.create(self, features, membrane_rate)
        kind.adaptation_rate.create(self, features, adaptation_rate)
        kind.time_step.create(self, features, time_step)
        kind.a.create(self, features, uniform(features, 0.0, 1.0, generator) if a is None else a)
        kind.b.create(self, features, uniform(features, 0.0, 2.0, generator) if b is None else b)

    def coefficients(self, dtype: torch.dtype) -> AdLIFParameters:
        def decay(rate: torch.Tensor) -> torch.Tensor:
            return special(-rate * self.time_step, "exp").to(dtype)

        return AdLIFParameters(
            decay(self.membrane_rate),
            decay(self.adaptation_rate),
            self.a.to(dtype),
            self.b.to(dtype),
            self.threshold.to(dtype),
            self.emit,
        )
