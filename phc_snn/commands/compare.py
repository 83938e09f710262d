"""``phc-snn compare``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from phc_snn.commands.app import (
    DeviceChoice,
    SolverChoice,
    TopologyChoice,
    app,
    console,
    interruptible,
    modes_table,
    print_folder,
    print_training,
)

if TYPE_CHECKING:
    from phc_snn.training.compare import CompareResult


@app.command()
def compare(
    data: Annotated[
        str,
        typer.Option(
            help="UEA data set, as the archive spells it; BasicMotions needs no download."
        ),
    ] = ("BasicMotions"),
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with <data>/<data>_TRAIN.ts and _TEST.ts.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Weights, sample order.")] = 0,
    neurons: Annotated[int, typer.Option(min=1, help="Neurons in the network.")] = 32,
    topology: Annotated[
        TopologyChoice, typer.Option(help="Connections between the two regions.")
    ] = TopologyChoice.bidirectional,
    delay: Annotated[int, typer.Option(min=1, help="Synaptic delay in time steps.")] = 1,
    solver: Annotated[
        SolverChoice, typer.Option(help="Solver that trains, and the parallel mode.")
    ] = SolverChoice.jacobi,
    sweeps: Annotated[int, typer.Option(min=1, help="Sweeps of the jacobi solver.")] = 4,
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the training data.")] = 150,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples in a training step.")] = 20,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="Of Adam, at the start.")] = 2e-2,
    device: Annotated[DeviceChoice, typer.Option(help="Where to train.")] = DeviceChoice.cpu,
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU threads.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results; else runs/<data>-<time>."),
    ] = None,
) -> None:
    """Train on sensor data in parallel over time, then run step by step with the same weights.

    Prints how far the two modes are apart, and writes the figure, the report, the trained model and
    the command that repeats it. Ctrl-C ends the training early and keeps what was learned.
    """
    from phc_snn.training.compare import CompareConfig
    from phc_snn.training.compare import compare as run

    config = CompareConfig(
        data=data,
        data_dir=data_dir,
        seed=seed,
        neurons=neurons,
        topology=topology.value,
        delay=delay,
        solver=solver.value,
        sweeps=sweeps,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        device=device.value,
        threads=threads,
        out=out,
    )
    with interruptible():
        result = run(config)
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
