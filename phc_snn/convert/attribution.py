"""Where a difference from the sequential network comes from, found by taking its causes away."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from phc_snn.circuit import Circuit
from phc_snn.scan import keeps_order
from phc_snn.solvers import Exact, Jacobi, Sequential, Solver

CAUSES = ("carried_state", "first_drive", "sweeps", "rounding")


@dataclass(frozen=True)
class Attribution:
    """Differing neuron-steps by cause; each counts for the first cause without which it agrees.

    The causes are taken away one after the other, in this order:

    Attributes:
        carried_state: Sweeps that start from the state in which the one before ended. The end of
            the sequence then acts on its beginning: no number of sweeps removes this one.
        first_drive: A first sweep driven by the bare input where later ones have drive times it.
        sweeps: Sweeps that stopped before the result was proved.
        rounding: What is left when all sweeps are made: a scan that sums in another order.
    """

    carried_state: int = 0
    first_drive: int = 0
    sweeps: int = 0
    rounding: int = 0

    @property
    def total(self) -> int:
        """All differing neuron-steps."""
        return self.carried_state + self.first_drive + self.sweeps + self.rounding


def attribute(
    solver: Solver,
    spikes: Tensor,
    reference: Tensor,
    circuit: Circuit,
    run: Callable[[Solver], Tensor],
) -> Attribution | None:
    """Split the differing neuron-steps of ``solver`` among the causes.

    Args:
        solver: What was run.
        spikes: (T, B, N), what it gave.
        reference: (T, B, N), spikes of `Sequential`.
        circuit: The network.
        run: Spikes of another solver on the same input.

    Returns:
        None for solvers of another kind, also those derived from this library's, and without a
        delay, where nothing can be proved.
    """
    if type(solver) not in (Sequential, Jacobi, Exact) or circuit.delay < 1:
        return None
    remaining = spikes != reference
    found = {}
    for cause, better in _without_causes(solver, circuit, spikes):
        if better is None or not bool(remaining.any()):
            continue
        agree = remaining & (run(better) == reference)
        found[cause] = int(agree.sum())
        remaining = remaining & ~agree
    return Attribution(**found, rounding=int(remaining.sum()))


def _without_causes(
    solver: Solver, circuit: Circuit, spikes: Tensor
) -> list[tuple[str, Solver | None]]:
    """For each cause the solver without it and those before it; None where it plays no part."""
    if isinstance(solver, Exact):
        return [("sweeps", Exact() if solver.max_sweeps is not None else None)]
    if not isinstance(solver, Jacobi):
        return []
    restarted = replace(solver, carry_state=False)
    driven = replace(restarted, start="driven")
    enough: Solver = Exact()  # what enough sweeps lead to, for less, where the bits are the same
    if not keeps_order(solver.backend, spikes):
        # The window stays: without it the scans would sum in another order, and rounding would pass
        # for sweeps. Each window is solved from the one before, so that the whole is solved.
        window = len(spikes) if solver.window is None else min(solver.window, len(spikes))
        enough = replace(driven, sweeps=math.ceil(window / circuit.delay) + 1, tolerance=0.0)
    has_detour = solver.start == "sensory"
    return [
        ("carried_state", restarted if solver.carry_state else None),
        ("first_drive", driven if has_detour else None),
        ("sweeps", enough),
    ]
