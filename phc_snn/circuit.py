"""The two halves of the recurrent loop, for a solver to close (Chiang 2026, Eqs. 11-14)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from phc_snn.neurons.base import Neuron
from phc_snn.process import OneStep, Process, TimeAxis
from phc_snn.state import tensors
from phc_snn.synapses.connectome import HierarchicalConnectome
from phc_snn.synapses.delay import Delay


class PHCState(NamedTuple):
    """State of a `PHC` between two steps: the neurons' and each synaptic process's own."""

    neuron: Any
    synapses: tuple[Any, ...]


@dataclass(repr=False)
class Solution:
    """What a solver returns, with the account of how it got there.

    Attributes:
        spikes: (T, B, N), 0 or 1.
        voltage: (T, B, N), what is compared with the threshold.
        current: (T, B, N), the input current that drove these spikes.
        state: `PHCState` after the last step, to carry into the next chunk.
        sweeps: (B,) sweeps used for each sample.
        certified_steps: (B,) leading steps on which the result is proved equal to `Sequential`'s:
            the transmission reproduced the current bit for bit. Equal in every bit where the scan
            backend keeps the step's order, to rounding where it does not.
        converged: (B,) whether the solver's own criterion was met: for `Exact` the certificate, for
            `Jacobi` its tolerance (the certificate if it has none), always for `Sequential`.
        residuals: (sweeps, B) relative change of the synaptic current in each sweep; NaN after a
            sample has stopped.
    """

    spikes: Tensor
    voltage: Tensor
    current: Tensor
    state: PHCState
    sweeps: Tensor
    certified_steps: Tensor
    converged: Tensor
    residuals: Tensor

    def __repr__(self) -> str:
        steps, batch, neurons = self.spikes.shape
        most = int(self.sweeps.max()) if batch else 0
        proved = int(self.certified_steps.min()) if batch else 0
        return (
            f"Solution(T={steps}, B={batch}, N={neurons}, sweeps<={most}, "
            f"certified_steps>={proved}, converged={int(self.converged.sum())} of {batch})"
        )


def total_delay(synapses: Sequence[Any]) -> int:
    """d: the smallest number of steps from a spike to its effect on another neuron."""
    return sum(part.shortest for part in synapses if isinstance(part, Delay))


class Circuit:
    """A network with its coefficients evaluated: what the solvers put together.

    The two halves of the loop, `fire` along time and `transmit` along the axons and across neurons,
    work on any time axis. `receive` and `send` are `transmit` cut at the delay: what arrives in a
    step is known before the neurons fire in it.
    """

    def __init__(
        self,
        neuron: Neuron,
        synapses: Sequence[Process],
        connectome: HierarchicalConnectome,
        drive: float,
        dtype: torch.dtype,
    ) -> None:
        self.neuron = neuron
        self.processes = list(synapses)
        self.connectome = connectome
        self.drive = drive
        self.delay = total_delay(synapses)
        self._neuron = neuron.coefficients(dtype)
        self._synapses = [part.coefficients(dtype) for part in self.processes]
        self._weight = connectome.weight.to(dtype)
        self._cut = next(
            (i for i, p in enumerate(self.processes) if isinstance(p, Delay) and p.shortest > 0), 0
        )

    def fire(self, current: Tensor, state: PHCState, time: TimeAxis) -> tuple[Tensor, Tensor, Any]:
        """Spikes and voltage of the neurons under ``current``, and their new state."""
        (spikes, voltage), neuron = self.neuron.dynamics(current, state.neuron, self._neuron, time)
        return spikes, voltage, neuron

    def transmit(
        self, spikes: Tensor, state: PHCState, time: TimeAxis
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Synaptic current of ``spikes``, and the synapses' new states."""
        signal, states = self._pass(spikes, state.synapses, 0, len(self.processes), time)
        return self.connectome(signal, self._weight), states

    def receive(self, state: PHCState) -> tuple[Tensor, tuple[Any, ...]]:
        """Synaptic current of the coming step, from what is under way; needs a delay of at least 1.

        Returns the states of the processes behind the delay, which have taken this step already.
        """
        cut = self._cut
        delay = self.processes[cut]
        signal, behind = self._pass(
            delay.due(state.synapses[cut]),  # type: ignore[operator]
            state.synapses,
            cut + 1,
            len(self.processes),
            OneStep(),
        )
        return self.connectome(signal, self._weight), behind

    def send(self, spikes: Tensor, state: PHCState, behind: tuple[Any, ...]) -> tuple[Any, ...]:
        """The synapses' states after the step in which the neurons fired ``spikes``."""
        _, ahead = self._pass(spikes, state.synapses, 0, self._cut + 1, OneStep())
        return ahead + behind

    def requires_grad(self, driven: Tensor, state: PHCState) -> bool:
        """Whether a result depends on anything that wants a gradient."""
        modules = (self.neuron, *self.processes, self.connectome)
        parameters = [p for module in modules for p in module.parameters()]
        sources = [driven, *tensors(state), *parameters]
        return any(source.requires_grad for source in sources)

    def _pass(
        self, signal: Tensor, states: tuple[Any, ...], start: int, stop: int, time: TimeAxis
    ) -> tuple[Tensor, tuple[Any, ...]]:
        after = []
        for i in range(start, stop):
            (signal,), state = self.processes[i].dynamics(
                signal, states[i], self._synapses[i], time
            )
            after.append(state)
        return signal, tuple(after)
