"""Leaky integrate-and-fire without reset: snnTorch's ``Leaky`` with ``reset_mechanism="none"``."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from phc_snn.neurons.base import Neuron
from phc_snn.parameters import Constrained, Value
from phc_snn.process import TimeAxis


class LIFState(NamedTuple):
    """State of `LIF`; each (B, N)."""

    membrane: Tensor


class LIFCoefficients(NamedTuple):
    membrane_decay: Tensor
    threshold: Tensor


class LIF(Neuron):
    """Leaky integrate-and-fire neuron without reset.

    ``V[t] = membrane_decay V[t-1] + I[t]``, ``s[t] = H(V[t] - threshold)``.

    One step computes what ``snntorch.Leaky(beta=membrane_decay, reset_mechanism="none")`` computes,
    in the same order of operations.

    Args:
        features: N, the number of neurons.
        membrane_decay: Factor per step, in [0, 1); one value or N. Learnable. Default 0.9, a time
            constant of 9.5 steps.
        neuron_options: As `Neuron`: ``threshold``, ``spike_grad``, ``init_hidden``, ...

    Example:
        >>> import torch, phc_snn as phc
        >>> spikes, voltage, state = phc.LIF(3).scan(torch.ones(5, 2, 3))
        >>> spikes.shape
        torch.Size([5, 2, 3])
    """

    membrane_decay = Constrained(0.0, 1.0)

    def __init__(
        self, features: int, *, membrane_decay: Value = 0.9, **neuron_options: Any
    ) -> None:
        super().__init__(features, **neuron_options)
        type(self).membrane_decay.create(self, features, membrane_decay)

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> LIFState:
        """Zero membrane potential."""
        return LIFState(torch.zeros(batch_size, self.features, device=device, dtype=dtype))

    def coefficients(self, dtype: torch.dtype) -> LIFCoefficients:
        return LIFCoefficients(self.membrane_decay.to(dtype), self.threshold.to(dtype))

    def dynamics(
        self, x: Tensor, state: LIFState, c: LIFCoefficients, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], LIFState]:
        membrane, last = time.recur(c.membrane_decay, x, state.membrane)
        return (self.spike(membrane - c.threshold), membrane), LIFState(last)
