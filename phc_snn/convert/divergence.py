"""How far a network solved in parallel is from the same network run step by step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from phc_snn.convert.attribution import attribute
from phc_snn.convert.comparison import HEADINGS, Comparison, decisions, differences, finite
from phc_snn.convert.curve import SweepCurve, sweep_curve
from phc_snn.convert.network import recurrent, timed_run
from phc_snn.convert.phase import PhaseDiagram
from phc_snn.convert.table import aligned
from phc_snn.convert.van_rossum import check_time_constant
from phc_snn.extras import require
from phc_snn.models import PHCSSM
from phc_snn.phc import PHC
from phc_snn.solution import Solution
from phc_snn.solvers import Exact, Sequential, Solver

Picture = Literal["sweeps", "certificate", "raster", "voltage", "phase"]
_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
_WARM_UP = 40
"""Steps of the run before the timed ones: enough for `Exact` to sweep and to step."""
_COLUMNS = 99
"""Width of the table; long names of solvers give way."""


@dataclass(frozen=True)
class Divergence:
    """What `measure_divergence` returns: the reference, and each solver compared with it.

    Attributes:
        reference: The reference compared with itself (its solution, logits and time).
        solvers: Name -> `Comparison`.
        curve: The difference from the reference after each sweep over the whole sequence.
        thresholds: (N,) of the neurons.
        phase: `PhaseDiagram`, where one was given.
    """

    reference: Comparison
    solvers: Mapping[str, Comparison]
    curve: SweepCurve
    thresholds: Tensor
    phase: PhaseDiagram | None = None

    @property
    def all(self) -> dict[str, Comparison]:
        """The reference, under the name ``"reference"``, and the solvers."""
        return {"reference": self.reference, **self.solvers}

    def most_different(self) -> str:
        """Name of the solver with the most differing spikes; the first one if none differs."""
        if not self.solvers:
            return "reference"
        return max(self.solvers, key=lambda name: self.solvers[name].differing_spikes)

    def __str__(self) -> str:
        rows = [("solver", *HEADINGS), *((name, *c.row()) for name, c in self.all.items())]
        return aligned(rows, columns=_COLUMNS)

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values; tensors of spikes and voltages are left out."""
        curve, phase = self.curve, self.phase
        content: dict[str, Any] = {
            "solvers": {name: c.figures() for name, c in self.all.items()},
            "curve": {
                "step_difference": curve.step_difference.tolist(),
                "voltage_rmse": [finite(error) for error in curve.voltage_rmse.tolist()],
                "certified_steps_min": [int(row.min()) for row in curve.certified_steps],
                "equal_steps_min": [int(row.min()) for row in curve.equal_steps],
            },
        }
        if phase is not None:
            content["phase"] = {
                "gains": list(phase.gains),
                "delays": list(phase.delays),
                "limit": phase.limit,
                "solver": str(phase.solver),
                **{
                    name: getattr(phase, name).tolist()
                    for name in ("sweeps", "difference", "work", "rate")
                },
            }
        return content

    def to_frame(self) -> Any:
        """A pandas DataFrame, one row a solver, the reference first.

        Raises:
            MissingExtraError: pandas is not installed (extra ``report``).
        """
        pandas = require("pandas", extra="report")
        return pandas.DataFrame.from_dict(
            {name: c.figures() for name, c in self.all.items()}, orient="index"
        )

    def plot(self, *pictures: Picture, solver: str | None = None, sample: int | None = None) -> Any:
        """The pictures that people look for, in one matplotlib figure (extra ``plot``).

        Args:
            pictures: ``"sweeps"`` (difference against sweeps), ``"certificate"`` (proved and truly
                equal steps against sweeps), ``"raster"`` (spikes of one sample, differing ones
                marked), ``"voltage"`` (error over time), ``"phase"`` (over recurrent gain and
                delay); none for all that there is data for.
            solver: Name of the solver in raster and voltage; the one that differs most if None.
            sample: Sample in the raster; the one that differs most if None.

        Raises:
            MissingExtraError: matplotlib is not installed.
            ValueError: A picture, solver or sample that is not there.
        """
        from phc_snn import plots

        return plots.divergence(self, pictures, solver=solver, sample=sample)


@torch.no_grad()
def measure_divergence(
    model: PHC | PHCSSM,
    x_seq: Tensor,
    *,
    solvers: Mapping[str, Solver] | None = None,
    reference: Solver | None = None,
    sweeps: int = 16,
    tolerance: float | None = None,
    time_constant: float = 10.0,
    phase: PhaseDiagram | None = None,
) -> Divergence:
    """Run one input through several solvers and compare each with the reference.

    Args:
        model: A `PHC` or `PHCSSM`.
        x_seq: Its input, time first.
        solvers: Name -> solver. None: the model's own as ``"own"``, and `Exact` as ``"exact"``
            where it can be (not without a delay, nor below float32). The name ``"reference"`` is
            taken.
        reference: `Sequential()` if None.
        sweeps: Length at most of the curve of differences against sweeps; 0 leaves it out.
        tolerance: A voltage this close to the threshold, relative to the threshold if that is above
            1, is undecidable. None: 1e-5 for float32, 1e-12 for float64, 1e-2 below.
        time_constant: Of the van Rossum distance, in steps.
        phase: A `phase_diagram` to keep and draw with the rest.

    Raises:
        TypeError: A model, solvers, a number or a phase diagram of another kind.
        ValueError: A number outside its range; a solver that is called ``"reference"``; input that
            the model refuses.

    Example:
        >>> import torch, phc_snn as phc
        >>> model = phc.PHCSSM(6, 4, neurons=16)
        >>> solvers = {"4 sweeps": phc.Jacobi(4), "exact": phc.Exact()}
        >>> divergence = phc.measure_divergence(model, torch.randn(50, 8, 6), solvers=solvers)
        >>> divergence.solvers["exact"].differing_spikes
        0
    """
    network, currents = recurrent(model, x_seq)
    truth_solver = Sequential() if reference is None else reference
    circuit = network.circuit(x_seq.dtype)
    chosen = _default_solvers(network, x_seq) if solvers is None else solvers
    _check(chosen, truth_solver, phase)
    _check_numbers(sweeps, tolerance, time_constant)
    for solver in (truth_solver, *chosen.values()):
        timed_run(
            model, x_seq[:_WARM_UP, :1], solver
        )  # compiles; the timed runs should not pay for it
    truth, truth_logits, seconds = timed_run(model, x_seq, truth_solver)
    thresholds = network.neuron.threshold.detach().to(x_seq.dtype)
    near = _TOLERANCE.get(x_seq.dtype, 1e-2) if tolerance is None else tolerance
    undecidable = (truth.voltage - thresholds).abs() <= near * thresholds.abs().clamp(min=1.0)

    @cache  # solvers share what remains of them when causes are taken away
    def counterfactual(solver: Solver) -> Tensor:
        return timed_run(model, x_seq, solver)[0].spikes

    def compare(
        solver: Solver | None, solution: Solution, logits: Tensor | None, seconds: float
    ) -> Comparison:
        attribution = None
        if solver is not None and isinstance(truth_solver, Sequential):
            attribution = attribute(solver, solution.spikes, truth.spikes, circuit, counterfactual)
        return Comparison(
            **differences(solution, truth, undecidable, time_constant),
            **decisions(logits, truth_logits),
            solution=solution,
            logits=logits,
            seconds=seconds,
            attribution=attribution,
        )

    compared = {name: compare(s, *timed_run(model, x_seq, s)) for name, s in chosen.items()}
    rest = network.initial_state(x_seq.shape[1], device=x_seq.device, dtype=x_seq.dtype)
    curve = sweep_curve(circuit, currents, rest, truth, sweeps)
    itself = compare(None, truth, truth_logits, seconds)
    return Divergence(itself, compared, curve, thresholds, phase)


def _default_solvers(network: PHC, x_seq: Tensor) -> dict[str, Solver]:
    provable = network.delay >= 1 and x_seq.dtype in (torch.float32, torch.float64)
    return {"own": network.solver, **({"exact": Exact()} if provable else {})}


def _check(solvers: Any, reference: Any, phase: Any) -> None:
    if not isinstance(solvers, Mapping):
        raise TypeError(f"solvers: got {type(solvers).__name__}, expected a dict of name: solver")
    for name, solver in [("reference", reference), *solvers.items()]:
        if not isinstance(name, str):
            raise TypeError(f"solvers: got the name {name!r}, expected a string")
        if not isinstance(solver, Solver):
            raise TypeError(f"{name}: got {solver!r}, expected a solver such as phc_snn.Exact()")
    if "reference" in solvers:
        raise ValueError(
            "solvers: the name 'reference' is taken; choose another, or pass reference=solver"
        )
    if phase is not None and not isinstance(phase, PhaseDiagram):
        raise TypeError(f"phase: got {type(phase).__name__}, expected what phase_diagram returns")


def _check_numbers(sweeps: Any, tolerance: Any, time_constant: Any) -> None:
    if isinstance(sweeps, bool) or not isinstance(sweeps, int) or sweeps < 0:
        raise ValueError(f"sweeps: got {sweeps!r}, expected an integer of at least 0")
    if tolerance is not None:
        if not isinstance(tolerance, int | float):
            raise TypeError(f"tolerance: got {tolerance!r}, expected a number or None")
        if not 0 <= tolerance < math.inf:
            raise ValueError(f"tolerance: got {tolerance}, expected a number of at least 0")
    check_time_constant(time_constant)
