"""The commands of ``phc-snn`` (typer and rich; extra ``cli``)."""

import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import phc_snn
from phc_snn.cli import INTERRUPTED
from phc_snn.convert.comparison import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from phc_snn.convert import BridgeComparison, Comparison
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
    """Where to compute."""

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
    with _interruptible():
        result = run(config)
    _print_result(result)


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
    with _interruptible():
        result = measure(config, lambda text: console.print(f"[dim]{text} ...[/dim]"))
    rows = {"sequential": result.divergence.reference, **result.divergence.solvers}
    title = "One network, several ways to run it (test set)"
    console.print(_modes_table(title, rows, result.accuracy))
    if result.bridges is not None:
        console.print(_bridges_table(result.bridges))
    _print_folder("Report, figures and numbers", result.folder)


@contextmanager
def _interruptible() -> "Iterator[None]":
    """Say what Ctrl-C leaves; typer would end without a word, or with one of its own."""
    try:
        yield
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        raise typer.Exit(130) from None


def _bridges_table(comparison: "BridgeComparison") -> Table:
    head, rows = comparison.table()
    table = _new_table(
        "From parallel training to step-by-step deployment",
        "Time of the parallel run relative to step by step.",
        head,
    )
    for row in rows:
        table.add_row(*row)
    return table


def _print_result(result: "CompareResult") -> None:
    console.print(_table(result))
    if result.training.interrupted:
        console.print(
            f"[yellow]Training stopped by Ctrl-C after {result.training.epochs} epochs.[/yellow]"
        )
    count = result.model.count_parameters()
    console.print(
        f"Trained {count.trainable:,} parameters ({count.effective:,} of them can act) in "
        f"{result.training.seconds:.0f} s, {result.training.epochs} epochs."
    )
    exact = result.divergence.solvers["exact"].solution
    console.print(
        f"Exact is proved equal to sequential, at {float(exact.work.mean()):.1f} times the work of "
        f"stepping in the mean of the samples."
    )
    _print_folder("Figure, report, model and command", result.folder)


def _print_folder(content: str, folder: Path) -> None:
    # A path may hold brackets, which are markup to rich.
    console.print(f"{content}: [bold]{escape(str(folder))}[/bold]", soft_wrap=True)


def _new_table(title: str, caption: str, columns: "Sequence[str]") -> Table:
    """Narrow enough for a terminal of 80 columns; the first column names the rows."""
    table = Table(
        title=title, caption=caption, box=SIMPLE_HEAD, show_edge=False, pad_edge=False,
        collapse_padding=True,
    )  # fmt: skip
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=True)
    return table


def _table(result: "CompareResult") -> Table:
    modes = {"sequential": result.divergence.reference, **result.divergence.solvers}
    return _modes_table("One network, three ways to run it (test set)", modes, result.accuracy)


def _modes_table(
    title: str, modes: "Mapping[str, Comparison]", accuracy: "Mapping[str, float]"
) -> Table:
    table = _new_table(
        title,
        "Sequential: step by step, as deployed. Exact: sweeps and steps, proved equal. Spikes that "
        "differ, and in % of the sequential ones; work relative to stepping; ms for the whole set.",
        ("mode", "accuracy", "spikes differ", "first at", "passes", "work", "ms"),
    )
    for name, mode in modes.items():
        table.add_row(name, f"{accuracy[name]:.3f}", *_cells(mode))
    return table


def _cells(mode: "Comparison") -> tuple[Any, ...]:
    first = mode.first_differing_step
    fewest, most = int(mode.solution.sweeps.min()), int(mode.solution.sweeps.max())
    return (
        counted(mode.differing_spikes, mode.spike_difference),
        "-" if first is None else f"step {first}",
        str(most) if fewest == most else f"{fewest} to {most}",
        f"{float(mode.solution.work.mean()):.2f}",
        f"{1000 * mode.seconds:.0f}",
    )
