"""Current-based leaky integrate-and-fire: snnTorch's ``Synaptic``."""

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


class CubaLIFState(NamedTuple):
    """State of `CubaLIF`; each (B, N). The membrane potential stands last, as in snnTorch."""

    current: Tensor
    membrane: Tensor


class CubaLIFParameters(NamedTuple):
    """What `CubaLIF.dynamics` reads; numbers, or tensors that broadcast to (B, N)."""

    current_decay: Number = 0.8
    membrane_decay: Number = 0.9
    threshold: Number = 1.0
    emit: Fire = Emit(FastSigmoid())
    reset: Reset = Reset()


class CubaLIF(Neuron):
    """Current-based leaky integrate-and-fire neuron: input passes an exponential synapse first.

    ::

        J[t] = current_decay J[t-1] + I[t]                     synaptic current
        V[t] = membrane_decay V[t-1] + J[t]                    membrane
        s[t] = H(V[t] - threshold)

    and with a reset what the spike takes from V (`Neuron`, ``reset_mechanism``); J is never reset.
    One step computes what ``snntorch.Synaptic(alpha=current_decay, beta=membrane_decay)`` computes,
    in the same order of operations (its ``"zero"`` is ours with ``reset_input=True``).

    Args:
        features: N, the number of neurons.
        current_decay: Factor per step, in [0, 1]; one value or N. Learnable below 1. Default 0.8.
        membrane_decay: Likewise. Default 0.9.
        options: As `Neuron`: ``threshold``, ``spike_grad``, ``init_hidden``, ``reset_mechanism``...

    Example:
        >>> import torch, phc_snn as phc
        >>> spikes, voltage, state = phc.CubaLIF(3).scan(torch.ones(5, 2, 3))
        >>> state.current.shape
        torch.Size([2, 3])
    """

    current_decay = Constrained(0.0, 1.0, exact=True)
    membrane_decay = Constrained(0.0, 1.0, exact=True)
    RESETS = ("none", "subtract", "zero")
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": 7.0}

    def __init__(
        self,
        features: int,
        *,
        current_decay: Value = 0.8,
        membrane_decay: Value = 0.9,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)
        type(self).current_decay.create(self, features, current_decay)
        type(self).membrane_decay.create(self, features, membrane_decay)

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> CubaLIFState:
        """No current, zero membrane potential."""
        shape = (batch_size, self.features)
        return CubaLIFState(*(torch.zeros(shape, device=device, dtype=dtype) for _ in range(2)))

    def coefficients(self, dtype: torch.dtype) -> CubaLIFParameters:
        return CubaLIFParameters(
            self.current_decay.to(dtype),
            self.membrane_decay.to(dtype),
            self.threshold.to(dtype),
            self.emit,
            self.reset_rule,
        )

    @staticmethod
    def dynamics(
        x: Tensor, state: CubaLIFState, c: CubaLIFParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], CubaLIFState]:
        current, last_current = time.recur(c.current_decay, x, state.current)
        voltage, last = integrate(current, state.membrane, c, time)
        return (c.emit(voltage - c.threshold), voltage), CubaLIFState(last_current, last)
