"""``phc-snn divergence``."""

from typing import TYPE_CHECKING

from rich.table import Table

from phc_snn.commands.app import (
    app,
    console,
    interruptible,
    modes_table,
    new_table,
    print_folder,
)
from phc_snn.commands.options import command
from phc_snn.training.measure import MeasureConfig

if TYPE_CHECKING:
    from phc_snn.convert import BridgeComparison


@command(app, MeasureConfig)
def divergence(config: MeasureConfig) -> None:
    """Measure how far a trained network's parallel modes are from running it step by step.

    Prints the tables, and writes the report (HTML, opens offline), its figures and its numbers.
    """
    from phc_snn.training.measure import measure

    with interruptible():
        result = measure(config, lambda text: console.print(f"[dim]{text} ...[/dim]"))
    rows = {"sequential": result.divergence.reference, **result.divergence.solvers}
    title = "One network, several ways to run it (test set)"
    console.print(modes_table(title, rows, result.accuracy))
    if result.bridges is not None:
        console.print(_bridges_table(result.bridges))
    print_folder("Report, figures and numbers", result.folder)


def _bridges_table(comparison: "BridgeComparison") -> Table:
    head, rows = comparison.table()
    table = new_table(
        "From parallel training to step-by-step deployment",
        "Time of the parallel run relative to step by step.",
        head,
    )
    for row in rows:
        table.add_row(*row)
    return table
