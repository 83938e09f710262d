"""The forward half of `Exact`: passes over windows of the samples until everything is proved."""

from collections.abc import Sequence

import torch
from torch import Tensor

from phc_snn.axes import Trajectory, WholeSequence
from phc_snn.circuit import Circuit
from phc_snn.solution import PHCState
from phc_snn.solvers.plan import Plan
from phc_snn.state import map_state


class Search:
    """Finds the spikes of the sequential network, each sample by its own `Plan`.

    Samples whose plans ask for the same kind of pass share it, each at its own place in time.

    Args:
        circuit: With a delay of at least one step.
        driven: (T, B, N), drive times input.
        state: Before the first step.
        most_passes: As in `Plan`.

    Attributes:
        spikes, voltage, current: (T, B, N), right on the first ``plans[i].start`` steps.
        state: After those steps; after the last one where a plan ended without a proof.
    """

    def __init__(
        self, circuit: Circuit, driven: Tensor, state: PHCState, most_passes: int | None
    ) -> None:
        length, batch = driven.shape[:2]
        self._circuit, self._driven = circuit, driven
        self.state = state
        # Spikes are the guess that a sweep starts from: at first, that no neuron fires.
        self.spikes = torch.zeros_like(driven)
        self.voltage = torch.zeros_like(driven)
        self.current = torch.zeros_like(driven)
        self.plans = [Plan(length, circuit.block, most_passes) for _ in range(batch)]
        self._residuals: list[list[float]] = [[] for _ in range(batch)]

    def run(self) -> None:
        """Pass after pass, until every plan is finished."""
        while unfinished := [i for i, plan in enumerate(self.plans) if not plan.finished]:
            sweeping = [i for i in unfinished if not self.plans[i].stepping]
            for samples in self._of_like_width(sweeping):
                self._sweep(samples)
            # Steps come one after the other, so they wait until all samples can take them together.
            if not sweeping:
                self._step(unfinished)
        for i, plan in enumerate(self.plans):
            if plan.start < plan.length:
                self._end_unproved(i, plan.start)

    def residuals(self) -> Tensor:
        """(sweeps, B) spikes that changed in each sweep of a window, per spike; then NaN."""
        longest = max(map(len, self._residuals), default=0)
        rows = [row + [torch.nan] * (longest - len(row)) for row in self._residuals]
        return self._driven.new_tensor(rows).reshape(len(rows), longest).T

    def _of_like_width(self, samples: Sequence[int]) -> list[list[int]]:
        """Samples to sweep together: a narrow window is filled up to four times its width at most.

        One pass costs less than two; but one wide window must not make all the others as wide.
        """
        width = {i: self.plans[i].end - self.plans[i].start for i in samples}
        groups: list[list[int]] = []
        for i in sorted(samples, key=lambda i: -width[i]):
            if not groups or 4 * width[i] < width[groups[-1][0]]:
                groups.append([])
            groups[-1].append(i)
        return groups

    def _sweep(self, samples: Sequence[int]) -> None:
        """One sweep over the open windows of ``samples``."""
        circuit, time = self._circuit, Trajectory("sequential")
        plans = [self.plans[i] for i in samples]
        index, width, place, inside = self._windows(samples)
        guess, state = self.spikes[place], map_state(lambda s: s[index], self.state)
        synaptic, synapses = circuit.transmit(guess, state, time)
        current = synaptic + self._driven[place]
        spikes, voltage, neuron = circuit.fire(current, state, time)
        changed = (spikes != guess) & inside[..., None]
        steps = changed.any(-1)
        # A spike acts a block later at the earliest: the steps up to the first changed one, and a
        # block from there on, came from spikes that are right.
        unchanged = (~steps).long().cumprod(0).sum(0)
        proved = (unchanged + circuit.block).clamp(max=width)
        behind = (steps & (torch.arange(len(steps), device=steps.device)[:, None] >= proved)).sum(0)
        fired = (spikes.bool() & inside[..., None]).sum(dim=(0, 2))
        self._write(place, inside, spikes, voltage, current)
        # The guess went into the delay; what is to come out of it is the spikes.
        sent = circuit.send(spikes, state, circuit.behind(synapses), time)
        self._hand_on(PHCState(neuron, sent), state, index, proved)
        counts = torch.stack([proved, behind, changed.sum(dim=(0, 2)), fired]).tolist()
        for i, plan, done, left, spikes_changed, all_spikes in zip(
            samples, plans, *counts, strict=True
        ):
            self._residuals[i].append(spikes_changed / max(all_spikes, 1))
            plan.swept(done, left)

    def _step(self, samples: Sequence[int]) -> None:
        """The open stretches of ``samples`` step by step, as far as the shortest of them goes."""
        shortest = min(self.plans[i].end - self.plans[i].start for i in samples)
        index, _, place, inside = self._windows(samples, shortest)
        state = map_state(lambda s: s[index], self.state)
        *values, state = self._circuit.run(self._driven[place], state)
        self._write(place, inside, *values)
        self._put_back(state, index)
        for i in samples:
            self.plans[i].stepped(shortest)

    def _end_unproved(self, i: int, start: int) -> None:
        """The state that the last sweep of sample ``i`` leads to, proved or not."""
        rest = (slice(start, None), slice(i, i + 1))
        time = WholeSequence("sequential")
        before = map_state(lambda s: s[i : i + 1], self.state)
        _, _, neuron = self._circuit.fire(self.current[rest], before, time)
        _, synapses = self._circuit.transmit(self.spikes[rest], before, time)
        self._put_back(PHCState(neuron, synapses), torch.tensor([i], device=self.spikes.device))

    def _windows(
        self, samples: Sequence[int], steps: int | None = None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], Tensor]:
        """Indices (n,), widths (n,), the place (w, n) of each step, and whether it is in a window.

        Windows that are narrower than the widest are filled up with steps that count for nothing.
        """
        device, length = self._driven.device, len(self._driven)
        plans = [self.plans[i] for i in samples]
        index = torch.tensor(samples, device=device)
        start = torch.tensor([plan.start for plan in plans], device=device)
        widths = [plan.end - plan.start if steps is None else steps for plan in plans]
        width = torch.tensor(widths, device=device)
        offset = torch.arange(max(widths), device=device)[:, None]
        time = (start + offset).clamp(max=length - 1)
        return index, width, (time, index.expand_as(time)), offset < width

    def _write(self, place: tuple[Tensor, Tensor], inside: Tensor, *values: Tensor) -> None:
        time, index = (p[inside] for p in place)
        for kept, value in zip((self.spikes, self.voltage, self.current), values, strict=True):
            kept[time, index] = value[inside]

    def _put_back(self, state: PHCState, index: Tensor) -> None:
        """Take over the states of the samples ``index``."""
        self.state = map_state(lambda s, new: s.index_copy(0, index, new), self.state, state)

    def _hand_on(
        self, trajectory: PHCState, before: PHCState, index: Tensor, steps: Tensor
    ) -> None:
        """Take over the states after ``steps`` (n,) of a trajectory that began ``before``."""
        row = torch.arange(len(index), device=index.device)

        def after(given: Tensor, states: Tensor) -> Tensor:
            if states is given:
                return given  # a constant of the model
            if states.dim() != given.dim() + 1:
                raise TypeError(
                    f"state: a process returned a tensor of shape {tuple(states.shape)} as its "
                    "state; its tensors must be those that time.recur and time.shift return, or "
                    "the ones that were given"
                )
            return states[steps - 1, row]

        self._put_back(map_state(after, before, trajectory), index)
