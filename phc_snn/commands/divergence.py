"""``phc-snn divergence``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from phc_snn.commands.app import (
    DeviceChoice,
    SolverChoice,
    app,
    console,
    interruptible,
    modes_table,
    new_table,
    print_folder,
)

if TYPE_CHECKING:
    from phc_snn.convert import BridgeComparison


@app.command()
def divergence(
    checkpoint: Annotated[Path, typer.Argument(help="A run's folder, or the model in it.")],
    data: Annotated[
        str | None, typer.Option(help="UEA data set; else the one that it was trained on.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with <data>/<data>_TRAIN.ts and _TEST.ts.")
    ] = None,
    solver: Annotated[
        SolverChoice | None,
        typer.Option(help="The parallel mode; else the solver that it was trained with."),
    ] = None,
    sweeps: Annotated[int, typer.Option(min=1, help="A number of sweeps to compare too.")] = 16,
    curve: Annotated[int, typer.Option(min=1, help="Longest curve against sweeps.")] = 40,
    phase: Annotated[bool, typer.Option("--phase", help="Vary recurrent gain and delay.")] = False,
    bridges: Annotated[
        bool, typer.Option("--bridges", help="Compare ways to deploy it, fine-tuning included.")
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Of the fine-tuning.")] = 20,
    sample: Annotated[int | None, typer.Option(min=0, help="Test sample in the raster.")] = None,
    device: Annotated[DeviceChoice, typer.Option(help="Where to measure.")] = DeviceChoice.cpu,
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU threads.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; else divergence in the run's.")
    ] = None,
) -> None:
    """Measure how far a trained network's parallel modes are from running it step by step.

    Prints the tables, and writes the report (HTML, opens offline), its figures and its numbers.
    """
    from phc_snn.training.measure import MeasureConfig, measure

    config = MeasureConfig(
        checkpoint=checkpoint,
        data=data,
        data_dir=data_dir,
        solver=None if solver is None else solver.value,
        sweeps=sweeps,
        curve=curve,
        phase=phase,
        bridges=bridges,
        epochs=epochs,
        sample=sample,
        device=device.value,
        threads=threads,
        out=out,
    )
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
