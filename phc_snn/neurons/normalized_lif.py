"""Leaky integrate-and-fire with reset and a normalised input: the baseline of the SiLIF work."""

import math
from typing import Any, ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor

from phc_snn.axes import TimeAxis
from phc_snn.emit import Emit
from phc_snn.neurons.base import NeuronOptions
from phc_snn.neurons.resetting import Resetting, mixed
from phc_snn.parameters import Clipped, Value, uniform
from phc_snn.scan import affine_scan
from phc_snn.scan.reference import Number
from phc_snn.surrogate import Boxcar


class NormalizedLIFState(NamedTuple):
    """State of `NormalizedLIF`; each (B, N)."""

    spikes: Tensor
    membrane: Tensor


class NormalizedLIFParameters(NamedTuple):
    """What `NormalizedLIF.dynamics` reads; numbers, or tensors that broadcast to (B, N)."""

    membrane_decay: Number = 0.9
    threshold: Number = 1.0
    emit: Emit = Emit(Boxcar())


class NormalizedLIF(Resetting):
    """LIF neuron with reset whose steady voltage is its input (Bittar and Garner 2022).

    ::

        u[t] = membrane_decay (u[t-1] - threshold s[t-1]) + (1 - membrane_decay) I[t]
        s[t] = H(u[t] - threshold)

    The spike feeds back, with the gradient of its surrogate, so a sequence is one compiled loop
    over time, lanes in parallel, and no scan; `by_sweeps` is the form that scans. (`LIF` is
    snnTorch's: its input is not normalised, and its reset lets no gradient through.)

    Args:
        features: N, the number of neurons.
        membrane_decay: Factor per step, in [exp(-1/5), exp(-1/25)]; one value or N. None (default)
            draws it from this range. Learned, clipped to the range, no gradient outside.
        generator: Source of what is drawn; torch's default one if None.
        options: As `Neuron`.

    Example:
        >>> import torch, phc_snn as phc
        >>> neuron = phc.NormalizedLIF(3, membrane_decay=0.9)
        >>> spikes, voltage, state = neuron.scan(2.0 * torch.ones(50, 2, 3))
        >>> bool((voltage < 1.1).all())  # one step above the threshold, then it resets
        True
    """

    membrane_decay = Clipped(math.exp(-1 / 5), math.exp(-1 / 25))
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": 0.06}

    def __init__(
        self,
        features: int,
        *,
        membrane_decay: Value | None = None,
        generator: torch.Generator | None = None,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)
        kind = type(self).membrane_decay
        if membrane_decay is None:
            membrane_decay = uniform(features, math.exp(-1 / 5), math.exp(-1 / 25), generator)
        kind.create(self, features, membrane_decay)

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> NormalizedLIFState:
        """No membrane potential, no spike before."""
        shape = (batch_size, self.features)
        return NormalizedLIFState(
            *(torch.zeros(shape, device=device, dtype=dtype) for _ in range(2))
        )

    def coefficients(self, dtype: torch.dtype) -> NormalizedLIFParameters:
        return NormalizedLIFParameters(
            self.membrane_decay.to(dtype), self.threshold.to(dtype), self.emit
        )

    @staticmethod
    def dynamics(
        x: Tensor, state: NormalizedLIFState, c: NormalizedLIFParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], NormalizedLIFState]:
        fire = c.emit.own

        def step(
            current: Tensor, before: NormalizedLIFState
        ) -> tuple[tuple[Tensor], NormalizedLIFState]:
            left = before.membrane - c.threshold * before.spikes
            membrane = mixed(c.membrane_decay, left, current)
            return (membrane,), NormalizedLIFState(fire(membrane - c.threshold), membrane)

        (voltage,), state = time.walk(step, x, state)
        return (c.emit(voltage - c.threshold), voltage), state

    @staticmethod
    def frozen(
        x: Tensor, before: Tensor, state: NormalizedLIFState, c: NormalizedLIFParameters
    ) -> tuple[Tensor, dict[str, Any]]:
        decay = torch.as_tensor(c.membrane_decay)
        charged = mixed(decay, -c.threshold * before, x)
        membrane = affine_scan(decay, charged, state.membrane, backend="associative")
        return membrane, {"membrane": membrane[-1].clone()}
