"""``phc-snn compare``."""

from typing import TYPE_CHECKING

from rich.table import Table

from phc_snn.commands.app import (
    app,
    console,
    interruptible,
    modes_table,
    print_folder,
    print_training,
)
from phc_snn.commands.options import command
from phc_snn.training.compare import CompareConfig

if TYPE_CHECKING:
    from phc_snn.training.compare import CompareResult


@command(app, CompareConfig)
def compare(config: CompareConfig) -> None:
    """Train on sensor data in parallel over time, then run step by step with the same weights.

    Prints how far the two modes are apart, and writes the figure, the report, the trained model and
    the command that repeats it. Ctrl-C ends the training early and keeps what was learned.
    """
    from phc_snn.training.compare import compare as job

    with interruptible():
        result = job(config)
    _print_result(result)


def _print_result(result: "CompareResult") -> None:
    console.print(_table(result))
    print_training(result.model, result.training)
    exact = result.divergence.solvers["exact"].solution
    console.print(
        f"Exact is proved equal to sequential, at {float(exact.work.mean()):.1f} times the work of "
        f"stepping in the mean of the samples."
    )
    print_folder("Figure, report, model and command", result.folder)


def _table(result: "CompareResult") -> Table:
    modes = {"sequential": result.divergence.reference, **result.divergence.solvers}
    return modes_table("One network, three ways to run it (test set)", modes, result.accuracy)
