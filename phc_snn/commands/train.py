"""``phc-snn train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phc_snn.commands.app import (
    app,
    console,
    interruptible,
    new_table,
    print_folder,
    print_training,
)
from phc_snn.commands.options import command
from phc_snn.commands.sweep import run_grid
from phc_snn.data import PUBLISHED_SEEDS
from phc_snn.training.run import new_folder
from phc_snn.training.sweep import Grid
from phc_snn.training.train_config import TrainConfig

if TYPE_CHECKING:
    from phc_snn.training.train import TrainResult

_RESUME = Annotated[
    Path | None, typer.Option(help="Folder of a run that was cut off: go on with it, as it was.")
]


_SEEDS = Annotated[
    str | None, typer.Option(help="A run for each of these: published, or numbers and commas.")
]
_JOBS = Annotated[int, typer.Option(help="Runs of --seeds at the same time.")]


@command(
    app, TrainConfig, instead="resume",
    resume=(_RESUME, None), seeds=(_SEEDS, None), jobs=(_JOBS, 1),
)  # fmt: skip
def train(config: TrainConfig, resume: Path | None, seeds: str | None, jobs: int) -> None:
    """Train on recordings of any length, in parallel over time; test in parallel and step by step.

    Writes the trained model, the report and the settings that repeat it. A run that is cut off goes
    on from its last epoch with --resume. Ctrl-C ends the training early and keeps what was learned.
    """
    from phc_snn.training import train as job

    if seeds is not None:
        if seeds == "published" and config.protocol != "uea":
            raise ValueError(
                f"seeds: published ones split a set by the protocol uea, here it is "
                f"{config.protocol}; add --protocol uea, or give numbers"
            )
        folder = config.out or new_folder(config.data)
        run_grid(Grid(config, {"seed": _numbers(seeds)}), folder, jobs=jobs)
        return
    with interruptible():
        result = job.train(config) if resume is None else job.resume(resume)
    _print_result(result)


def _numbers(seeds: str) -> tuple[int, ...]:
    if seeds == "published":
        return PUBLISHED_SEEDS
    try:
        return tuple(int(seed) for seed in seeds.split(","))
    except ValueError:
        raise ValueError(
            f"seeds: got {seeds!r}, expected 'published', or numbers such as 0,1,2"
        ) from None


def _print_result(result: "TrainResult") -> None:
    first = next(iter(result.modes.values()))
    table = new_table(
        f"One network, two ways to run it ({len(first.decisions):,} test recordings)",
        f"Both decide alike on {100 * result.agreement:.0f} % of the recordings.",
        ("mode", "accuracy", "seconds"),
    )
    for name, mode in result.modes.items():
        table.add_row(name, f"{mode.accuracy:.3f}", f"{mode.seconds:.2f}")
    console.print(table)
    print_training(result.model, result.training)
    print_folder("Model, report and settings", result.folder)
