"""The application, and what its commands share: choices, tables, the words at the end."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    from phc_snn.convert import Comparison
    from phc_snn.ensemble import Ensemble
    from phc_snn.models import PHCSSM
    from phc_snn.training.result import TrainingResult

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False)


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


@contextmanager
def interruptible() -> Iterator[None]:
    """Say what Ctrl-C leaves; typer would end without a word, or with one of its own."""
    try:
        yield
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        raise typer.Exit(130) from None


def print_folder(content: str, folder: Path) -> None:
    # A path may hold brackets, which are markup to rich.
    console.print(f"{content}: [bold]{escape(str(folder))}[/bold]", soft_wrap=True)


def print_training(model: "PHCSSM | Ensemble", training: "TrainingResult") -> None:
    """How the training went, and how large the network is."""
    if training.interrupted:
        console.print(
            f"[yellow]Training stopped by Ctrl-C after {training.epochs} epochs.[/yellow]"
        )
    count = model.count_parameters()
    console.print(
        f"Trained {count.trainable:,} parameters ({count.effective:,} of them can act) in "
        f"{training.seconds:.0f} s, {training.epochs} epochs."
    )


def new_table(title: str, caption: str, columns: Sequence[str]) -> Table:
    """Narrow enough for a terminal of 80 columns; the first column names the rows."""
    table = Table(
        title=title, caption=caption, box=SIMPLE_HEAD, show_edge=False, pad_edge=False,
        collapse_padding=True,
    )  # fmt: skip
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=True)
    return table


def modes_table(
    title: str, modes: "Mapping[str, Comparison]", accuracy: Mapping[str, float]
) -> Table:
    table = new_table(
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
