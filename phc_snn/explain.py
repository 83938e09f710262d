"""Which solver would run, by which kernel, and what it costs: measured on some of the input."""

import time
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from phc_snn.circuit import Circuit
from phc_snn.convert.network import recurrent
from phc_snn.convert.table import aligned
from phc_snn.models import PHCSSM
from phc_snn.phc import PHC
from phc_snn.solution import PHCState
from phc_snn.solvers import Auto, Exact, Jacobi, Sequential, Solver

_STEPS = 256
"""Steps that are timed; time and memory are linear in their number."""


@dataclass(frozen=True)
class Cost:
    """One solver on this input.

    Attributes:
        solver: The solver.
        way: What carries it out.
        forward: Seconds without gradients.
        training: Seconds forward and backward.
        kept: Bytes that the forward pass keeps for the backward pass, results included.
    """

    solver: Solver
    way: str
    forward: float
    training: float
    kept: int


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; prints as a table.

    Attributes:
        shape: (T, B, N) of the network's input.
        timed_steps: The stretch that was timed; costs are in proportion to T.
        chosen: What ``solver="auto"`` takes.
        reason: Why.
        costs: Of the candidates.
    """

    shape: tuple[int, int, int]
    timed_steps: int
    chosen: Solver
    reason: str
    costs: tuple[Cost, ...]

    def __str__(self) -> str:
        rows = [("solver", "forward", "training", "kept", "by")]
        for cost in self.costs:
            mark = "* " if cost.solver == self.chosen else "  "
            rows.append(
                (
                    f"{mark}{_name(cost.solver)}",
                    f"{1e3 * cost.forward:.1f} ms",
                    f"{1e3 * cost.training:.1f} ms",
                    f"{cost.kept / 1e6:.1f} MB",
                    cost.way,
                )
            )
        steps, batch, neurons = self.shape
        return (
            f"T = {steps}, B = {batch}, N = {neurons}; {torch.get_num_threads()} threads; "
            f"timed on {self.timed_steps} steps\n{aligned(rows)}\n"
            f"* solver='auto': {self.reason}"
        )


def explain(model: PHC | PHCSSM, x_seq: Tensor, *, repeats: int = 3) -> Explanation:
    """Time the solvers on the first steps of an input, and say which one ``"auto"`` takes and why.

    Costs are those of the recurrent network; encoder and readout of a `PHCSSM` are left out.

    Args:
        model: A `PHC` or a `PHCSSM`; its parameters and their gradients stay as they are.
        x_seq: What the model takes, time first: (T, B, N), or (T, B, D_in).
        repeats: Runs of which the median is taken.

    Raises:
        TypeError: Another model; input that is no floating-point tensor.
        ValueError: Input of a wrong shape, or without any value.

    Example:
        >>> import torch, phc_snn as phc
        >>> model = phc.PHCSSM(in_features=6, num_classes=4, neurons=16)
        >>> found = phc.explain(model, torch.randn(300, 8, 6))
        >>> found.chosen
        Sequential(transmissions=4)
    """
    with torch.no_grad():
        network, currents = recurrent(model, x_seq)
    if not currents.numel():
        raise ValueError(f"x_seq: got shape {tuple(x_seq.shape)}, expected at least one value")
    stretch = currents[:_STEPS].detach()
    state = network.initial_state(currents.shape[1], device=currents.device, dtype=currents.dtype)
    circuit = network.circuit(currents.dtype)
    chosen, reason = Auto().choose(circuit, stretch, state)
    candidates: list[Solver] = [Sequential(), Jacobi(4)]
    if circuit.delay >= 1 and currents.dtype in (torch.float32, torch.float64):
        candidates.append(Exact())
    share = len(currents) / len(stretch)
    costs = tuple(
        _cost(network, circuit, stretch, state, solver, share, repeats) for solver in candidates
    )
    steps, batch, neurons = currents.shape
    return Explanation((steps, batch, neurons), len(stretch), chosen, reason, costs)


def _cost(
    network: PHC,
    circuit: Circuit,
    x: Tensor,
    state: PHCState,
    solver: Solver,
    share: float,
    repeats: int,
) -> Cost:
    wanted = [p for p in network.parameters() if p.requires_grad]
    source = x.clone().requires_grad_()
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def forward() -> None:
        with torch.no_grad():
            network(x, solver=solver)

    def train() -> None:
        # Not backward(), which would leave gradients behind.
        voltage = network(source, solver=solver).voltage
        torch.autograd.grad(voltage.square().mean(), [source, *wanted], allow_unused=True)

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = network(source, solver=solver)
        note(result.spikes)
        note(result.voltage)
        note(result.current)
        del result
    return Cost(
        solver,
        _way(circuit, x, state, solver),
        forward=_median(forward, repeats, x) * share,
        training=_median(train, repeats, x) * share,
        kept=int(sum(kept.values()) * share),
    )


def _median(run: Any, repeats: int, x: Tensor) -> float:
    times = []
    for i in range(repeats + 1):
        began = time.perf_counter()
        run()
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        if i:  # the first compiles, and warms up
            times.append(time.perf_counter() - began)
    return median(times)


def _way(circuit: Circuit, x: Tensor, state: PHCState, solver: Solver) -> str:
    """What carries a solver out."""
    if isinstance(solver, Sequential):
        refusal = circuit.refusal(x, state)
        return "one compiled loop" if refusal is None else f"tensor operations ({refusal})"
    refusal = circuit.sweep_refusal(x, state)
    if refusal is None:
        return "a compiled pass for each sweep, and an exact product"
    return f"a scan for each recurrence ({refusal})"


def _name(solver: Solver) -> str:
    return f"Jacobi({solver.sweeps})" if isinstance(solver, Jacobi) else type(solver).__name__
