"""Ways from parallel training to step-by-step deployment, compared on one trained model."""

import statistics
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phc_snn.checks import check_positive
from phc_snn.convert.comparison import counted, finite
from phc_snn.convert.divergence import measure_divergence
from phc_snn.convert.finetune import check_samples, finetune_sequential
from phc_snn.convert.network import timed_run
from phc_snn.convert.table import aligned
from phc_snn.extras import require
from phc_snn.models import PHCSSM
from phc_snn.solvers import Exact, Jacobi, Sequential, Solver

_REPEATS = 3


@dataclass(frozen=True)
class Bridge:
    """One strategy: what the network does in parallel, and the same weights step by step.

    Attributes:
        name: Of the strategy.
        solver: Computes in parallel.
        accuracy_parallel: With that solver.
        accuracy_deployed: With `Sequential`.
        differing_spikes: Neuron-steps at which the two differ.
        spike_difference: That number per spike of the deployed network.
        work: Neuron updates of the solver relative to one sweep, mean of the samples.
        seconds: Of one parallel run over all samples, median of 3.
        sequential_seconds: Of one step-by-step run, likewise.
        training_seconds: Of the training that the strategy adds.
    """

    name: str
    solver: Solver
    accuracy_parallel: float
    accuracy_deployed: float
    differing_spikes: int
    spike_difference: float
    work: float
    seconds: float
    sequential_seconds: float
    training_seconds: float = 0.0


@dataclass(frozen=True)
class BridgeComparison:
    """What `compare_bridges` found; prints as a table.

    Attributes:
        rows: One `Bridge` for each strategy.
    """

    rows: tuple[Bridge, ...]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Headings and cells."""
        head = [
            "strategy",
            "parallel",
            "deployed",
            "spikes differ",
            "work",
            "time",
            "training",
        ]
        cells = [
            [
                row.name,
                f"{row.accuracy_parallel:.3f}",
                f"{row.accuracy_deployed:.3f}",
                counted(row.differing_spikes, row.spike_difference),
                f"{row.work:.2f}",
                f"{row.seconds / row.sequential_seconds:.2f} x",
                f"{row.training_seconds:.1f} s" if row.training_seconds else "-",
            ]
            for row in self.rows
        ]
        return head, cells

    def __str__(self) -> str:
        head, cells = self.table()
        return aligned([head, *cells])

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values, by strategy."""
        return {
            row.name: {
                name: str(value) if name == "solver" else finite(value)
                for name, value in vars(row).items()
            }
            for row in self.rows
        }

    def to_frame(self) -> Any:
        """A pandas DataFrame, one row a strategy.

        Raises:
            MissingExtraError: pandas is not installed (extra ``report``).
        """
        pandas = require("pandas", extra="report")
        return pandas.DataFrame.from_dict(self.to_dict(), orient="index")


def compare_bridges(
    model: PHCSSM,
    x: Tensor,
    labels: Tensor,
    *,
    train_x: Tensor | None = None,
    train_y: Tensor | None = None,
    sweeps: Sequence[int] = (8, 16),
    epochs: int = 20,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> BridgeComparison:
    """Deploy a trained model step by step, by each strategy, and compare what is lost and spent.

    The strategies: the model as it was trained; more sweeps; windows that the model's sweeps cover;
    `Exact`; and, where training data is given, sequential fine-tuning of a copy.

    Args:
        model: Trained; it is not changed.
        x: Samples to evaluate, (samples, T, channels).
        labels: (samples,) class numbers.
        train_x, train_y: Data to fine-tune on; both or none.
        sweeps: Numbers of sweeps to try beyond the model's own.
        epochs, learning_rate, seed: Of the fine-tuning.

    Raises:
        TypeError: A model that is no `PHCSSM`.
        ValueError: Data whose shapes do not fit, one half of the training data, or a number outside
            its range.

    Example:
        >>> import torch, phc_snn as phc
        >>> model = phc.PHCSSM(6, 4, neurons=16)
        >>> x, labels = torch.randn(8, 50, 6), torch.arange(8) % 4
        >>> comparison = phc.compare_bridges(model, x, labels, sweeps=(8,))
        >>> comparison.rows[-1].name, comparison.rows[-1].differing_spikes
        ('exact', 0)
    """
    if not isinstance(model, PHCSSM):
        raise TypeError(f"model: got {type(model).__name__}, expected a PHCSSM")
    check_samples("x", x, "labels", labels, model)
    if (train_x is None) != (train_y is None):
        raise ValueError("train_x, train_y: got one of them, expected both or none")
    if train_x is not None and train_y is not None:
        check_samples("train_x", train_x, "train_y", train_y, model)
    for count in sweeps:
        check_positive("sweeps", count)
    own = model.network.solver
    strategies: dict[str, Solver] = {"as trained": own}
    strategies |= {f"{count} sweeps": Jacobi(count) for count in sweeps}
    delay = model.network.delay
    if delay > 0:
        covered = own.sweeps if isinstance(own, Jacobi) else Jacobi().sweeps
        window = covered * delay
        strategies[f"windows of {window}"] = Jacobi(covered, window=window)
        strategies["exact"] = Exact()
    rows = [_bridge(model, x, labels, name, solver) for name, solver in strategies.items()]
    if train_x is not None and train_y is not None:
        tuned = deepcopy(model)
        result = finetune_sequential(
            tuned,
            train_x,
            train_y,
            epochs=epochs,
            learning_rate=learning_rate,
            device=x.device.type,
            seed=seed,
        )
        tuned.to(x.device)
        name = "fine-tuned, cut short" if result.interrupted else "fine-tuned"
        rows.append(_bridge(tuned, x, labels, name, own, result.seconds))
    return BridgeComparison(tuple(rows))


@torch.no_grad()
def _bridge(
    model: PHCSSM,
    x: Tensor,
    labels: Tensor,
    name: str,
    solver: Solver,
    training_seconds: float = 0.0,
) -> Bridge:
    x_seq = x.transpose(0, 1)
    found = measure_divergence(model, x_seq, solvers={name: solver}, sweeps=0)
    parallel, deployed = found.solvers[name], found.reference
    # In turn, so that what else the machine does slows both alike.
    pairs = [
        [timed_run(model, x_seq, each)[2] for each in (solver, Sequential())]
        for _ in range(_REPEATS)
    ]
    seconds, sequential_seconds = (statistics.median(times) for times in zip(*pairs, strict=True))
    return Bridge(
        name=name,
        solver=solver,
        accuracy_parallel=parallel.accuracy(labels),
        accuracy_deployed=deployed.accuracy(labels),
        differing_spikes=parallel.differing_spikes,
        spike_difference=parallel.spike_difference,
        work=float(parallel.solution.work.mean()),
        seconds=seconds,
        sequential_seconds=sequential_seconds,
        training_seconds=training_seconds,
    )
