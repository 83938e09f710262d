"""The two halves of the recurrent loop, for a solver to close (Chiang 2026, Eqs. 11-14)."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor

from phc_snn.axes import OneStep, TimeAxis, WholeSequence
from phc_snn.checks import is_mapped, is_transformed
from phc_snn.kernels import (
    Recurrent,
    Stage,
    UntraceableError,
    chain_refusal,
    network_refusal,
    run_network,
    run_sweep,
)
from phc_snn.neurons.base import Neuron
from phc_snn.process import Process, run_stages
from phc_snn.solution import PHCState, Progress, Sweep
from phc_snn.state import map_state, tensors
from phc_snn.synapses.delay import Delay
from phc_snn.synapses.transmission import Connectome

_SHORTEST_SCAN = 3
"""Steps from which on a scan is faster than as many single steps (measured)."""


def total_delay(synapses: Sequence[Any]) -> int:
    """d: the smallest number of steps from a spike to its effect on another neuron."""
    return sum(part.shortest for part in synapses if isinstance(part, Delay))


class Circuit:
    """A network with its coefficients evaluated: what the solvers put together.

    The two halves of the loop, `fire` along time and `transmit` along the axons and across neurons,
    work on any time axis. `receive` and `send` are `transmit` cut at the longest delay: what
    arrives in the next `block` steps is known before the neurons fire in them.

    Attributes:
        delay: d, the smallest number of steps from a spike to its effect on another neuron.
        block: The steps that `advance` can take at once: the share of d that one `Delay` has.
    """

    def __init__(
        self,
        neuron: Neuron,
        synapses: Sequence[Process],
        connectome: Connectome,
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
        self._connectome = connectome.coefficients(dtype)
        shortest = [p.shortest if isinstance(p, Delay) else 0 for p in self.processes]
        self.block = max(shortest, default=0)
        self._cut = shortest.index(self.block) if shortest else 0

    def fire(self, current: Tensor, state: PHCState, time: TimeAxis) -> tuple[Tensor, Tensor, Any]:
        """Spikes and voltage of the neurons under ``current``, and their new state."""
        stage = self.neuron.stage(self._neuron, state.neuron)
        (spikes, voltage), _, (neuron,) = run_stages([stage], current, time)
        return spikes, voltage, neuron

    def transmit(
        self, spikes: Tensor, state: PHCState, time: TimeAxis
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Synaptic current of ``spikes``, and the synapses' new states."""
        signal, states = self._pass(spikes, state.synapses, 0, len(self.processes), time)
        return self.connectome.transmit(signal, self._connectome), states

    def driven(self, x: Tensor) -> Tensor:
        """What the input adds to the current of the neurons."""
        return x if self.drive == 1.0 else self.drive * x

    def sweep(self, current: Tensor, driven: Tensor, state: PHCState, time: WholeSequence) -> Sweep:
        """`fire` and `transmit` in one: what follows if the neurons have this current."""
        if time.fuses and current.numel():
            try:
                results, (neuron, *synapses), progress = run_sweep(
                    self._recurrent(state), current, driven, time
                )
                spikes, voltage, following = results
                end = PHCState(neuron, tuple(synapses))
                return Sweep(spikes, voltage, following, end, Progress(*progress))
            except UntraceableError:
                pass
        (spikes, voltage), (signal, *_), (neuron, *synapses) = run_stages(
            self._chain(state), current, time
        )
        synaptic = self.connectome.transmit(signal, self._connectome)
        return Sweep(spikes, voltage, synaptic + driven, PHCState(neuron, tuple(synapses)), None)

    def silent(self, like: Tensor, state: PHCState, time: TimeAxis) -> Tensor:
        """Synaptic current of what is under way, as if no neuron fired any more.

        Returns:
            (steps, B, N): at most as many steps as ``like`` (T, B, N) has. Every later step is like
            the last one.
        """
        steps = len(like)
        if not any(part.echoes for part in self.processes):
            # Once all has arrived, nothing changes any more.
            longest = sum(part.longest for part in self.processes if isinstance(part, Delay))
            steps = min(steps, longest + 1)
        synaptic, _ = self.transmit(torch.zeros_like(like[:steps]), state, time)
        return synaptic

    def receive(
        self, state: PHCState, steps: int, time: TimeAxis
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Synaptic current of the coming steps, at most `block`, from what is under way.

        Returns the states of the processes behind the delay, which have taken these steps already.
        """
        cut = self._cut
        due: Tensor = self.processes[cut].due(state.synapses[cut], steps)  # type: ignore[operator]
        signal, behind = self._pass(
            due[0] if isinstance(time, OneStep) else due,
            state.synapses,
            cut + 1,
            len(self.processes),
            time,
        )
        return self.connectome.transmit(signal, self._connectome), behind

    def send(
        self, spikes: Tensor, state: PHCState, behind: tuple[Any, ...], time: TimeAxis
    ) -> tuple[Any, ...]:
        """The synapses' states after the steps in which the neurons fired ``spikes``."""
        _, ahead = self._pass(spikes, state.synapses, 0, self._cut + 1, time)
        return ahead + behind

    def behind(self, synapses: tuple[Any, ...]) -> tuple[Any, ...]:
        """The states of the processes behind the delay, out of those of all."""
        return synapses[self._cut + 1 :]

    def advance(
        self,
        driven: Tensor,
        state: PHCState,
        time: TimeAxis,
        given: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, PHCState]:
        """One step (B, N), or up to `block` steps (steps, B, N), without any iteration.

        Args:
            driven: Drive times input.
            state: Before these steps.
            time: `OneStep`, or `WholeSequence`.
            given: The current, where it is known already: it takes these values, and its
                derivatives stay those of the network.

        Returns:
            Spikes, voltage, current, and the state after these steps.
        """
        steps = 1 if isinstance(time, OneStep) else len(driven)
        synaptic, behind = self.receive(state, steps, time)
        current = synaptic + driven
        if given is not None:
            current = current + (given - current).detach()
        spikes, voltage, neuron = self.fire(current, state, time)
        synapses = self.send(spikes, state, behind, time)
        return spikes, voltage, current, PHCState(neuron, synapses)

    def run(
        self, driven: Tensor, state: PHCState, current: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, PHCState]:
        """A sequence (T, B, N) in blocks, one after the other: `advance` over and over.

        Each block holds as many steps as the delay lets be known ahead. Where there is a kernel,
        one compiled loop does them all, with the same bits.
        """
        if current is None and driven.numel():
            try:
                return self._run_compiled(driven, state)
            except UntraceableError:
                pass
        return self._run_composed(driven, state, current)

    def refusal(self, driven: Tensor, state: PHCState) -> str | None:
        """Why `run` on this input is no single compiled loop; None if it is one."""
        if self.block == 0:
            return "no delay: a step has to be iterated"
        return network_refusal(self._recurrent(state), driven)

    def sweep_refusal(self, current: Tensor, state: PHCState) -> str | None:
        """Why `sweep` on this input is no single compiled pass; None if it is one."""
        return chain_refusal(self._chain(state), current)

    def _run_compiled(
        self, driven: Tensor, state: PHCState
    ) -> tuple[Tensor, Tensor, Tensor, PHCState]:
        bare = copy(self)  # holds no tensors: the graph must be able to let them go
        bare._neuron, bare._synapses, bare._connectome = None, [], None

        def composed(
            driven: Tensor, stages: list[Stage], weights: Any
        ) -> tuple[list[Tensor], list[Any]]:
            circuit = copy(bare)
            neuron, *synapses = stages
            circuit._neuron = neuron.coefficients
            circuit._synapses = [stage.coefficients for stage in synapses]
            circuit._connectome = weights
            start = PHCState(neuron.state, tuple(stage.state for stage in synapses))
            *results, end = circuit._run_composed(driven, start)
            return results, [end.neuron, *end.synapses]

        results, neuron, synapses = run_network(self._recurrent(state), driven, composed)
        spikes, voltage, current = results
        return spikes, voltage, current, PHCState(neuron, synapses)

    def _run_composed(
        self, driven: Tensor, state: PHCState, current: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, PHCState]:
        single = self.block < _SHORTEST_SCAN
        time: TimeAxis = OneStep() if single else WholeSequence("sequential")
        outputs: tuple[list[Tensor], ...] = ([], [], [])

        # unbind and split, not x[t]: the backward of an index is a tensor as long as the sequence.
        def pieces(x: Tensor) -> tuple[Tensor, ...]:
            return x.unbind(0) if single else torch.split(x, self.block)

        driven_pieces = pieces(driven)
        known = [None] * len(driven_pieces) if current is None else pieces(current)
        for piece, given in zip(driven_pieces, known, strict=True):
            *values, state = self.advance(piece, state, time, given)
            for kept, value in zip(outputs, values, strict=True):
                kept.append(value)
        if not len(driven):
            return driven, driven, driven, state
        join = torch.stack if single else torch.cat
        spikes, voltage, current = (join(kept) for kept in outputs)
        return spikes, voltage, current, state

    def detach(self) -> "Circuit":
        """The same network, its coefficients constants."""
        detached = copy(self)
        detached._neuron = map_state(Tensor.detach, self._neuron)
        detached._synapses = [map_state(Tensor.detach, c) for c in self._synapses]
        detached._connectome = map_state(Tensor.detach, self._connectome)
        return detached

    def requires_grad(self, driven: Tensor, state: PHCState) -> bool:
        """Whether a result depends on anything that wants a gradient."""
        return any(t.requires_grad for t in self._given(driven, state))

    def is_transformed(self, driven: Tensor, state: PHCState) -> bool:
        """Whether a result is under a transform of ``torch.func``."""
        return any(map(is_transformed, self._given(driven, state)))

    def is_mapped(self, driven: Tensor, state: PHCState) -> bool:
        """Whether a result is several, under ``torch.vmap``, so that no decision hangs on it."""
        return any(map(is_mapped, self._given(driven, state)))

    def _given(self, driven: Tensor, state: PHCState) -> list[Tensor]:
        """All that a result depends on."""
        coefficients = tensors((self._neuron, *self._synapses, self._connectome))
        return [driven, *tensors(state), *coefficients]

    def _pass(
        self, signal: Tensor, states: tuple[Any, ...], start: int, stop: int, time: TimeAxis
    ) -> tuple[Tensor, tuple[Any, ...]]:
        _, (signal, *_), after = run_stages(self._stages(states, start, stop), signal, time)
        return signal, tuple(after)

    def _recurrent(self, state: PHCState) -> Recurrent:
        """All of it, as a kernel takes it."""
        neuron, *synapses = self._chain(state)
        return Recurrent(neuron, synapses, self._cut, self.connectome, self._connectome)

    def _chain(self, state: PHCState) -> list[Stage]:
        """The neuron, and all processes along the axons."""
        neuron = self.neuron.stage(self._neuron, state.neuron)
        return [neuron, *self._stages(state.synapses, 0, len(self.processes))]

    def _stages(self, states: tuple[Any, ...], start: int, stop: int) -> list[Stage]:
        return [self.processes[i].stage(self._synapses[i], states[i]) for i in range(start, stop)]
