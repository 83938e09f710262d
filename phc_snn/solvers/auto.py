"""The result of the step-by-step network by the way that costs least."""

from dataclasses import dataclass

import torch
from torch import Tensor

from phc_snn.circuit import Circuit
from phc_snn.solution import PHCState, Solution
from phc_snn.solvers.base import Solver
from phc_snn.solvers.exact import Exact
from phc_snn.solvers.sequential import Sequential


@dataclass(frozen=True)
class Auto(Solver):
    """`Sequential`, or `Exact` where that is the faster way to the same result.

    Both give the network that is deployed, and its gradient. A compiled loop through time costs
    about as much as one sweep, so where there is one it is taken. `Exact` wins on a GPU that has
    none, where a step is a handful of launches; on a CPU stepping costs less even then, above all
    in training. `phc_snn.explain` prints the choice, the reason and the cost.
    """

    def choose(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> tuple[Solver, str]:
        """The solver for this network and input, and why."""
        refusal = circuit.refusal(x_seq, state)
        if refusal is None:
            return Sequential(), "one compiled loop goes through all steps"
        none = f"no compiled loop ({refusal})"
        if x_seq.device.type == "cpu":
            return Sequential(), f"{none}: on a CPU steps still cost less than the sweeps of Exact"
        exact = x_seq.dtype in (torch.float32, torch.float64)
        if circuit.delay < 1 or not exact or circuit.is_transformed(x_seq, state):
            return Sequential(), f"{none}, and Exact does not take this"
        return Exact(), f"{none}: sweeps are fewer launches than steps"

    def solve(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> Solution:
        return self.choose(circuit, x_seq, state)[0].solve(circuit, x_seq, state)

    def recordable(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> bool:
        return self.choose(circuit, x_seq, state)[0].recordable(circuit, x_seq, state)
