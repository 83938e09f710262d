"""Step by step: Gauss-Seidel in time."""

from dataclasses import dataclass

import torch
from torch import Tensor

from phc_snn.checks import check_positive
from phc_snn.circuit import Circuit, PHCState, Solution
from phc_snn.process import OneStep
from phc_snn.solvers.base import Solver, leading_steps


@dataclass(frozen=True)
class Sequential(Solver):
    """One time step after the other: the recurrent network as it is deployed.

    Without a synaptic delay (d = 0) a spike acts in its own step. The step is then iterated, at
    most ``transmissions`` times (Chiang 2026, Algorithm 1); as the spike is discontinuous, it may
    have no fixed point, which ``Solution.converged`` tells.

    Args:
        transmissions: Iterations inside one step, for d = 0 only. Default 4.
    """

    transmissions: int = 4

    def __post_init__(self) -> None:
        check_positive("transmissions", self.transmissions)

    def solve(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> Solution:
        length, batch = x_seq.shape[:2]
        settled: list[Tensor] = []
        outputs: tuple[list[Tensor], ...] = ([], [], [])
        # unbind, not x_seq[t]: the backward of an index is a tensor as long as the sequence.
        for x_t in x_seq.unbind(0):
            *values, fixed, state = self._advance(circuit, x_t, state)
            for kept, value in zip(outputs, values, strict=True):
                kept.append(value)
            if fixed is not None:
                settled.append(fixed)
        spikes, voltage, current = (
            torch.stack(kept) if kept else torch.zeros_like(x_seq) for kept in outputs
        )
        proved = torch.full((batch,), length, device=x_seq.device)
        if settled:
            proved = leading_steps(torch.stack(settled)[..., None])
        return Solution(
            spikes,
            voltage,
            current,
            state,
            sweeps=torch.ones_like(proved),
            certified_steps=proved,
            converged=proved == length,
            residuals=x_seq.new_zeros(0, batch),
        )

    def advance(
        self, circuit: Circuit, x_t: Tensor, state: PHCState
    ) -> tuple[Tensor, Tensor, Tensor, PHCState]:
        """One step: spikes, voltage and current (B, N), and the new state."""
        spikes, voltage, current, _, state = self._advance(circuit, x_t, state)
        return spikes, voltage, current, state

    def _advance(
        self, circuit: Circuit, x_t: Tensor, state: PHCState
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None, PHCState]:
        driven = circuit.drive * x_t
        time = OneStep()
        if circuit.delay > 0:
            synaptic, behind = circuit.receive(state)
            current = synaptic + driven
            spikes, voltage, neuron = circuit.fire(current, state, time)
            synapses = circuit.send(spikes, state, behind)
            return spikes, voltage, current, None, PHCState(neuron, synapses)
        following = driven
        for _ in range(self.transmissions):
            current = following
            spikes, voltage, neuron = circuit.fire(current, state, time)
            synaptic, synapses = circuit.transmit(spikes, state, time)
            following = synaptic + driven
        fixed = (following == current).all(-1)
        return spikes, voltage, current, fixed, PHCState(neuron, synapses)
