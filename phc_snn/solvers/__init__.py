"""How the loop of a `PHC` is closed over time.

`Sequential` goes through time step by step and is the network that is deployed (Gauss-Seidel in
time). `Jacobi` transmits over the whole sequence at once, several times (waveform relaxation; the
Multi-Transmission Loop of Chiang 2026). `Exact` does that until its result is proved to be
Sequential's, spike for spike.

Why that can be proved. With a delay d >= 1 the current of a step depends only on spikes at least d
steps earlier, so a sweep that starts from spikes which are right on their first p steps gives ones
which are right on their first p + d. And where a sweep reproduces the spikes it was given, or the
current, bit for bit, they satisfy the network's equations there; by causality these have one
solution.
"""

from dataclasses import asdict
from typing import Any, Literal

from phc_snn.solvers.auto import Auto
from phc_snn.solvers.base import Solver
from phc_snn.solvers.exact import Exact
from phc_snn.solvers.jacobi import Jacobi
from phc_snn.solvers.sequential import Sequential

__all__ = [
    "Auto",
    "Exact",
    "Jacobi",
    "Sequential",
    "Solver",
    "as_solver",
    "solver_from_dict",
    "solver_to_dict",
]


def as_solver(solver: Solver | Literal["auto"]) -> Solver:
    """A solver, or the one that ``"auto"`` stands for.

    Raises:
        TypeError: Anything else.
    """
    if isinstance(solver, str) and solver == "auto":
        return Auto()
    if not isinstance(solver, Solver):
        raise TypeError(
            f"solver: got {solver!r}, expected a solver such as phc_snn.Exact(), or 'auto'"
        )
    return solver


def solver_to_dict(solver: Solver) -> dict[str, Any]:
    """A solver as JSON values: its class name and its settings."""
    return {"name": type(solver).__name__, **asdict(solver)}  # type: ignore[call-overload]


def solver_from_dict(content: dict[str, Any]) -> Solver:
    """The solver that `solver_to_dict` described."""
    kinds = {kind.__name__: kind for kind in (Sequential, Jacobi, Exact, Auto)}
    settings = dict(content)
    name = settings.pop("name", None)
    if name not in kinds:
        raise ValueError(f"solver: got {name!r}, expected one of {sorted(kinds)}")
    try:
        return kinds[name](**settings)
    except TypeError as error:
        raise ValueError(f"solver: {name} does not take these settings: {error}") from error
