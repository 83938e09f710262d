"""Leaky integrate-and-fire: snnTorch's ``Leaky``, with and without its reset."""

from typing import Any, ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor

from phc_snn.axes import TimeAxis
from phc_snn.emit import Emit
from phc_snn.neurons.base import Neuron, NeuronOptions, integrate
from phc_snn.parameters import Constrained, Value
from phc_snn.scan.reference import Number
from phc_snn.scan.reset import Fire, Reset
from phc_snn.surrogate import FastSigmoid


class LIFState(NamedTuple):
    """State of `LIF`; each (B, N)."""

    membrane: Tensor


class LIFParameters(NamedTuple):
    """What `LIF.dynamics` reads; numbers, or tensors that broadcast to (B, N)."""

    membrane_decay: Number = 0.9
    threshold: Number = 1.0
    emit: Fire = Emit(FastSigmoid())
    reset: Reset = Reset()


class LIF(Neuron):
    """Leaky integrate-and-fire neuron, by default without reset.

    ::

        V[t] = membrane_decay V[t-1] + I[t],    s[t] = H(V[t] - threshold)

    and with a reset what its spike takes away (`Neuron`, ``reset_mechanism``). One step computes
    what ``snntorch.Leaky(beta=membrane_decay)`` with the same ``reset_mechanism`` computes, in the
    same order of operations.

    Without reset a sequence is one scan. With it the spikes feed back, and a sequence is one
    compiled loop over time, lanes in parallel: exact as well, and its gradient is that of
    snnTorch's loop (a delayed reset lets none through).

    Args:
        features: N, the number of neurons.
        membrane_decay: Factor per step, in [0, 1]; one value or N. Learnable below 1. Default 0.9,
            a time constant of 9.5 steps.
        options: As `Neuron`: ``threshold``, ``spike_grad``, ``init_hidden``, ``reset_mechanism``...

    Example:
        >>> import torch, phc_snn as phc
        >>> spikes, voltage, state = phc.LIF(3).scan(torch.ones(5, 2, 3))
        >>> spikes.shape
        torch.Size([5, 2, 3])
        >>> resetting = phc.LIF(3, reset_mechanism="subtract")
        >>> int(resetting.scan(torch.ones(5, 2, 3))[0].sum())
        24
    """

    membrane_decay = Constrained(0.0, 1.0, exact=True)
    RESETS = ("none", "subtract", "zero")
    NETWORK: ClassVar[dict[str, Any]] = {"membrane_decay": 0.7, "threshold": 0.5}

    def __init__(
        self, features: int, *, membrane_decay: Value = 0.9, **options: Unpack[NeuronOptions]
    ) -> None:
        super().__init__(features, **options)
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

    def coefficients(self, dtype: torch.dtype) -> LIFParameters:
        return LIFParameters(
            self.membrane_decay.to(dtype), self.threshold.to(dtype), self.emit, self.reset_rule
        )

    @staticmethod
    def dynamics(
        x: Tensor, state: LIFState, c: LIFParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], LIFState]:
        voltage, last = integrate(x, state.membrane, c, time)
        return (c.emit(voltage - c.threshold), voltage), LIFState(last)
