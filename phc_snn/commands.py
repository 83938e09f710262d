"""The commands of ``phc-snn`` (typer and rich; extra ``cli``)."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

import phc_snn

if TYPE_CHECKING:
    from phc_snn.convert import Comparison
    from phc_snn.training.compare import CompareResult

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False)


class TopologyChoice(StrEnum):
    """Who excites whom across regions."""

    feedforward = "feedforward"
    bidirectional = "bidirectional"


class SolverChoice(StrEnum):
    """How the recurrent loop is closed over time while training."""

    jacobi = "jacobi"
    exact = "exact"
    sequential = "sequential"


class DeviceChoice(StrEnum):
    """Where to train."""

    cpu = "cpu"
    cuda = "cuda"
    auto = "auto"


def _version(wanted: bool) -> None:
    if wanted:
        console.print(phc_snn.__version__)
        raise typer.Exit


@app.callback()
def phc(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Recurrent spiking networks: train in parallel over time, run step by step, same weights."""


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
    _print_result(run(config))


def _print_result(result: "CompareResult") -> None:
    console.print(_table(result))
    if result.training.interrupted:
        console.print(
            f"[yellow]Training stopped by Ctrl-C after {result.training.epochs} epochs.[/yellow]"
        )
    exact = result.divergence.solvers["exact"].solution
    count = result.model.count_parameters()
    console.print(
        f"Trained {count.trainable:,} parameters ({count.effective:,} of them can act) in "
        f"{result.training.seconds:.0f} s, {result.training.epochs} epochs."
    )
    console.print(
        f"Sweeps until parallel = sequential is proved: median "
        f"{exact.sweeps.double().median():.0f}, most {int(exact.sweeps.max())}."
    )
    console.print(
        f"Figure, report, model and command: [bold]{result.folder}[/bold]", soft_wrap=True
    )


def _table(result: "CompareResult") -> Table:
    table = Table(
        title="One network, three ways to run it (test set)",
        caption="Spikes that differ from sequential, and in % of all; ms for the whole set.",
    )
    for column in ("mode", "accuracy", "spikes differ", "first at", "sweeps", "ms"):
        table.add_column(column, justify="left" if column == "mode" else "right", no_wrap=True)
    comparisons = result.divergence
    for name, label, mode in (
        ("sequential", "sequential (deployed)", comparisons.reference),
        ("parallel", "parallel (as trained)", comparisons.solvers["parallel"]),
        ("exact", "parallel (exact)", comparisons.solvers["exact"]),
    ):
        table.add_row(label, f"{result.accuracy[name]:.3f}", *_cells(mode))
    return table


def _cells(mode: "Comparison") -> tuple[Any, ...]:
    first = mode.first_differing_step
    fewest, most = int(mode.solution.sweeps.min()), int(mode.solution.sweeps.max())
    share = f" ({mode.spike_difference:.2%})" if mode.differing_spikes else ""
    return (
        f"{mode.differing_spikes:,}{share}",
        "-" if first is None else f"step {first}",
        str(most) if fewest == most else f"{fewest} to {most}",
        f"{1000 * mode.seconds:.0f}",
    )
