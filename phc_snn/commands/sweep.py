"""``phc-snn sweep``, and the table that its runs and those of ``train --seeds`` end in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from phc_snn.commands.app import app, console, interruptible, new_table, print_folder
from phc_snn.commands.options import command
from phc_snn.training.sweep import Grid, Group, SweepConfig, SweepResult, read_grid
from phc_snn.training.sweep import sweep as job


@command(app, SweepConfig)
def sweep(config: SweepConfig) -> None:
    """Train every combination of some settings, and sum up; best validation accuracy first.

    A sweep that is cut off goes on when it is called again: complete runs are read, others go on
    from their last epoch.
    """
    run_grid(read_grid(config.grid), config.out, jobs=config.jobs, engine=config.engine)


def run_grid(grid: Grid, folder: Path, **options: Any) -> None:
    """Run a grid under a progress bar, and print what came of it."""
    with interruptible(), _bar() as told:
        try:
            result = job(grid, folder, progress=told, **options)
        except RuntimeError as error:  # some runs failed, and it says why
            raise ValueError(str(error)) from error
    print_groups(result)
    print_folder("Runs and results", result.folder)


@contextmanager
def _bar() -> Iterator[Any]:
    columns = (
        TextColumn("Runs"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[name]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None, name="")

        def told(done: int, of: int, name: str) -> None:
            bar.update(task, completed=done, total=of, name=name)

        yield told


def print_groups(result: SweepResult) -> None:
    """One row for each combination of settings, over its seeds."""
    axes = list(result.groups[0].settings)
    seeds = len(result.groups[0].runs)
    table = new_table(
        f"{len(result.groups)} settings, {seeds} runs each",
        "Accuracy in %, mean and standard deviation over the runs.",
        (*(axes or ("settings",)), "validation", "test", "parameters"),
    )
    for group in result.groups:
        table.add_row(*_row(group))
    console.print(table)


def _row(group: Group) -> list[str]:
    settings = [str(value) for value in group.settings.values()] or ["all"]
    found = [f"{100 * m:.1f} ± {100 * s:.1f}" if (m, s) != (-1.0, 0.0) else "-"
             for m, s in (group.validation or (-1.0, 0.0), group.test)]  # fmt: skip
    return [*settings, *found, f"{group.runs[0].parameters:,}"]
