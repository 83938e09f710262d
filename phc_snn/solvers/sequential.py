"""Step by step: Gauss-Seidel in time."""

from dataclasses import dataclass

import torch
from torch import Tensor

from phc_snn.axes import OneStep
from phc_snn.checks import check_positive
from phc_snn.circuit import Circuit
from phc_snn.solution import PHCState, Solution
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
        if circuit.block > 0:
            spikes, voltage, current, state = circuit.run(circuit.driven(x_seq), state)
            proved = torch.full((batch,), length, device=x_seq.device)
            work = 1
        else:
            spikes, voltage, current, settled, state = self._iterate_steps(circuit, x_seq, state)
            proved = leading_steps(settled[..., None])
            work = self.transmissions
        return Solution(
            spikes,
            voltage,
            current,
            state,
            sweeps=torch.ones_like(proved),
            certified_steps=proved,
            converged=proved == length,
            residuals=x_seq.new_zeros(0, batch),
            work=torch.full_like(proved, work, dtype=torch.float64),
        )

    def advance(
        self, circuit: Circuit, x_t: Tensor, state: PHCState
    ) -> tuple[Tensor, Tensor, Tensor, PHCState]:
        """One step: spikes, voltage and current (B, N), and the new state."""
        if circuit.block > 0:
            return circuit.advance(circuit.driven(x_t), state, OneStep())
        spikes, voltage, current, _, state = self._iterate(circuit, x_t, state)
        return spikes, voltage, current, state

    def _iterate_steps(
        self, circuit: Circuit, x_seq: Tensor, state: PHCState
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, PHCState]:
        """A sequence without a delay, step after step; as `_iterate`, with time in front."""
        outputs: list[tuple[Tensor, ...]] = []
        # unbind, not x_seq[t]: the backward of an index is a tensor as long as the sequence.
        for x_t in x_seq.unbind(0):
            *values, state = self._iterate(circuit, x_t, state)
            outputs.append(tuple(values))
        if not outputs:
            return x_seq, x_seq, x_seq, x_seq.new_zeros(x_seq.shape[:2], dtype=torch.bool), state
        spikes, voltage, current, settled = map(torch.stack, zip(*outputs, strict=True))
        return spikes, voltage, current, settled, state

    def _iterate(
        self, circuit: Circuit, x_t: Tensor, state: PHCState
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, PHCState]:
        """One step without a delay: spikes, voltage, current, whether it settled, new state."""
        driven = circuit.driven(x_t)
        time = OneStep()
        following = driven
        for _ in range(self.transmissions):
            current = following
            spikes, voltage, neuron = circuit.fire(current, state, time)
            synaptic, synapses = circuit.transmit(spikes, state, time)
            following = synaptic + driven
        fixed = (following == current).all(-1)
        return spikes, voltage, current, fixed, PHCState(neuron, synapses)
