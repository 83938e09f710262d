"""Sweeps until the result is proved to be the sequential one; and its true gradient."""

import math
from dataclasses import dataclass, replace
from typing import get_args

import torch
from torch import Tensor

from phc_snn.checks import check_positive
from phc_snn.circuit import Circuit
from phc_snn.solution import Adjoint, AdjointKind, PHCState, Solution
from phc_snn.solvers.adjoint import PATIENCE, Rule, record
from phc_snn.solvers.base import Solver
from phc_snn.solvers.jacobi import Jacobi
from phc_snn.solvers.search import Search


@dataclass(frozen=True)
class Exact(Solver):
    """Sweeps until the result is proved equal to `Sequential`, spike for spike.

    After each sweep the leading steps on which it reproduced the spikes that it was given, and d
    steps from there on, are proved; they are frozen, their end state is carried, and only the rest
    is swept again. How much of the rest is chosen for each sample by what its sweeps achieve: wide
    windows where they settle quickly, narrower ones where they settle slowly, and blocks of d
    steps, which need no second sweep, where they do not settle (`phc_snn.solvers.plan`). So the
    work counted for a sample never exceeds 10 times that of stepping, and 3 times where no window
    settles. (With several delays along the axon, d stands for the longest of them.)

    The gradient is that of `Sequential` (backpropagation through time with the surrogate
    derivatives). With ``adjoint="exact"`` and ``"truncated"`` memory does not grow with the number
    of sweeps, forward or backward.

    The result keeps the step's order of operations, so spikes, voltages and states equal those of
    `Sequential` in every bit on the same device.

    Args:
        max_sweeps: Sweep over all that is left of a sample, so many times at most: never worse
            than as many sweeps of `Jacobi`. ``Solution.converged`` is False for samples that are
            not proved by then. None (default): go on, window by window, until they are.
        adjoint: ``"exact"`` (default): the true gradient, by backward sweeps until no element
            changes by more than ``adjoint_tolerance`` relative to itself; samples that 16 sweeps do
            not settle are propagated back step by step. ``"truncated"``: ``adjoint_sweeps``
            backward sweeps, whatever is left: cheaper, and biased. ``"unrolled"``: the derivative
            of sweeps over the whole sequence until nothing changes, one after the other, as the
            paper trains; memory and work grow with their number, and where early sweeps were far
            from the result the gradient is off although no spike is.
        adjoint_tolerance: Default 1e-6.
        adjoint_sweeps: Backward sweeps of ``"truncated"``. Default 4.

    Raises:
        ValueError: On solving, for a network without a delay (d = 0): a spike would act in the step
            that it is fired in, and as spikes are discontinuous that step may have no solution, or
            several. Input of another dtype than float32 and float64.
    """

    max_sweeps: int | None = None
    adjoint: AdjointKind = "exact"
    adjoint_tolerance: float = 1e-6
    adjoint_sweeps: int = 4

    def __post_init__(self) -> None:
        if self.max_sweeps is not None:
            check_positive("max_sweeps", self.max_sweeps)
        check_positive("adjoint_sweeps", self.adjoint_sweeps)
        if self.adjoint not in get_args(AdjointKind):
            raise ValueError(
                f"adjoint: got {self.adjoint!r}, expected one of {get_args(AdjointKind)}"
            )
        if not 0 <= self.adjoint_tolerance < math.inf:
            raise ValueError(
                f"adjoint_tolerance: got {self.adjoint_tolerance}, expected a number of at least 0"
            )

    def solve(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> Solution:
        _check(circuit, x_seq, state)
        driven = circuit.driven(x_seq)
        records = torch.is_grad_enabled() and circuit.requires_grad(driven, state)
        if records and self.adjoint == "unrolled":
            return self._unrolled(circuit, x_seq, state)
        with torch.no_grad():
            search = Search(circuit, driven.detach(), state, self.max_sweeps)
            search.run()
        spikes, voltage, current, end = search.spikes, search.voltage, search.current, search.state
        adjoint = None
        if records:
            adjoint = Adjoint(self.adjoint)
            del spikes, voltage, end, search.spikes, search.voltage
            spikes, voltage, current, end = record(
                circuit, current, driven, state, self._rule(), adjoint
            )
        device, length, plans = x_seq.device, max(len(x_seq), 1), search.plans
        proved = torch.tensor([plan.start for plan in plans], device=device, dtype=torch.long)
        return Solution(
            spikes,
            voltage,
            current,
            end,
            sweeps=proved.new_tensor([plan.passes for plan in plans]),
            certified_steps=proved,
            converged=proved == len(x_seq),
            residuals=search.residuals(),
            work=proved.new_tensor([plan.spent / length for plan in plans], dtype=torch.float64),
            adjoint=adjoint,
        )

    def recordable(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> bool:
        return False

    def _rule(self) -> Rule:
        if self.adjoint == "truncated":
            return Rule(self.adjoint_sweeps, None)
        return Rule(PATIENCE, self.adjoint_tolerance)

    def _unrolled(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> Solution:
        """Sweeps over the whole sequence, recorded, until the current repeats bit for bit."""
        enough = math.ceil(len(x_seq) / circuit.delay) + 1
        sweeps = enough if self.max_sweeps is None else min(enough, self.max_sweeps)
        solver = Jacobi(sweeps, tolerance=0.0, backend="sequential")
        solution = solver.solve(circuit, x_seq, state)
        converged = solution.certified_steps == len(x_seq)
        return replace(solution, converged=converged, adjoint=Adjoint("unrolled"))


def _check(circuit: Circuit, x_seq: Tensor, state: PHCState) -> None:
    if circuit.is_transformed(x_seq, state):
        raise ValueError(
            "solver: Exact decides by values and has a gradient of its own, which torch.vmap and "
            "the other transforms of torch.func cannot follow; use Sequential or Jacobi"
        )
    if circuit.delay < 1:
        raise ValueError(
            "Exact needs a synaptic delay of at least 1 step, the network has d = 0: a spike "
            "would act within its own step, which may then have no solution or several; put a "
            "Delay(N, steps=1) among the synapses, or use Sequential or Jacobi"
        )
    if x_seq.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"Exact proves bits, and {x_seq.dtype} rounds a state differently in a step and "
            "in a scan; pass x.float(), or use Jacobi"
        )
