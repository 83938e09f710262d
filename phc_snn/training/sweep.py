"""The job of ``phc-snn sweep``: every combination of some settings, each a run of its own.

A run is a folder as ``phc-snn train`` writes it, named after what is particular to it. So a sweep
that is cut off goes on: complete runs are read, others go on from their last epoch.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

from phc_snn.files import write_json
from phc_snn.training.engines import by_ray, locally, stacked
from phc_snn.training.settings import (
    from_mapping,
    from_plain,
    kinds_of,
    plain,
    read_settings,
    read_toml,
    required,
    setting,
)
from phc_snn.training.train import REPORT, SETTINGS
from phc_snn.training.train_config import TrainConfig

Engine = Literal["local", "stacked", "ray"]
RESULTS = "results.json"


@dataclass(frozen=True)
class SweepConfig:
    """Settings of `sweep`; the command line has the same names.

    What each one means stands at its field; ``phc-snn sweep --help`` lists them.
    """

    grid: Path = required("TOML file: settings of train, and lists of values under [grid].")
    out: Path = setting(Path("runs/sweep"), "Folder for the runs and their results.")
    jobs: int | None = setting(
        None, "Runs at the same time; else 1, or of a stack as many as can be.", least=1
    )
    engine: Engine = setting(
        "local",
        "local: processes here; stacked: one batch of all networks of one structure, for a GPU; "
        "ray: Ray Tune, on any cluster.",
    )


@dataclass(frozen=True)
class Grid:
    """Runs that differ in some settings.

    Attributes:
        base: What they have in common.
        axes: Setting -> its values; every combination is a run.
    """

    base: TrainConfig
    axes: Mapping[str, Sequence[Any]]

    def runs(self, folder: Path) -> dict[str, TrainConfig]:
        """Name -> settings of each run, whose folders lie in ``folder``."""
        found = {}
        for values in itertools.product(*self.axes.values()):
            own = dict(zip(self.axes, values, strict=True))
            name = ",".join(f"{axis}={value}" for axis, value in own.items()) or "run"
            name = name.replace("/", "_")
            if name in found:
                raise ValueError(f"grid: two runs would be called {name}; give each value once")
            found[name] = replace(self.base, **own, out=folder / name)
        return found


def read_grid(path: Path) -> Grid:
    """The grid that a TOML file says: settings of `TrainConfig`, and a table ``[grid]`` of lists.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not TOML, names that are no settings, or values that they do not take.
    """
    content = read_toml(path)
    axes = content.pop("grid", {})
    base = from_mapping(TrainConfig, content, str(path))
    if not isinstance(axes, dict):
        raise ValueError(f"{path}: grid: got {axes!r}, expected a table of lists")
    for name, values in axes.items():
        if name in ("protocol", "out"):
            raise ValueError(f"{path}: grid: {name} is one for all runs; set it above [grid]")
        if not isinstance(values, list) or not values:
            raise ValueError(f"{path}: grid: {name}: got {values!r}, expected a list of values")
        for value in values:  # a name or a value that is wrong is found before any run
            from_mapping(TrainConfig, {**content, name: value}, f"{path}: grid")
    hints = kinds_of(TrainConfig)
    return Grid(base, {n: [from_plain(v, hints[n]) for v in values] for n, values in axes.items()})


@dataclass(frozen=True)
class Run:
    """A complete run.

    Attributes:
        name: Its folder's.
        settings: What it does not have in common with all others.
        validation: Best accuracy on the validation part; None without one.
        test: Accuracy on the test part, step by step.
        parameters: Trained ones.
        seconds: Time of its training.
    """

    name: str
    settings: dict[str, Any]
    validation: float | None
    test: float
    parameters: int
    seconds: float


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone; each number is a mean and a standard deviation."""

    settings: dict[str, Any]
    runs: list[Run]

    @property
    def validation(self) -> tuple[float, float] | None:
        found = [run.validation for run in self.runs if run.validation is not None]
        return _spread(found) if len(found) == len(self.runs) else None

    @property
    def test(self) -> tuple[float, float]:
        return _spread([run.test for run in self.runs])


def _spread(values: Sequence[float]) -> tuple[float, float]:
    return mean(values), stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class SweepResult:
    """What `sweep` found.

    Attributes:
        folder: Where the runs lie, and ``results.json``.
        groups: Best first, by their validation accuracy, where there is one.
    """

    folder: Path
    groups: list[Group]


def sweep(
    grid: Grid,
    folder: Path,
    *,
    jobs: int | None = None,
    engine: Engine = "local",
    progress: Callable[[int, int, str], None] = lambda done, of, name: None,
) -> SweepResult:
    """Train every run of a grid that is not complete yet, and sum up.

    Args:
        grid: The runs.
        folder: For their folders, and for ``results.json``.
        jobs: Runs at the same time; None for one, or for as many as can be in a stack.
        engine: ``"local"``: processes of this machine. ``"stacked"``: runs that differ in nothing
            that gives a tensor its shape (`phc_snn.training.together.FREE`) are trained as one
            batch, in this process; for a GPU, which one small network leaves idle. ``"ray"``: Ray
            Tune (extra ``sweep``), on the cluster that ``RAY_ADDRESS`` names, or on this machine;
            ``folder`` has to be one that all its machines see.
        progress: Told how many runs are complete, of how many, and which one was the last, or
            how far those under way are.

    Raises:
        MissingExtraError: Ray is not installed.
        RuntimeError: A run failed; the others are complete, and its error is named.
    """
    runs = grid.runs(folder.resolve())
    for config in runs.values():
        config.check()
        _refuse_another_run(config)
    open_runs = {n: c for n, c in runs.items() if not _is_complete(folder / n)}
    done = len(runs) - len(open_runs)
    progress(done, len(runs), "")
    failed: dict[str, str] = {}
    engines = {"local": locally, "stacked": stacked, "ray": by_ray}

    def told(news: str) -> None:
        progress(done, len(runs), news)

    for name, error in engines[engine](open_runs, jobs, told):
        if error:
            failed[name] = error
        done += 1
        progress(done, len(runs), name)
    if failed:
        name, error = next(iter(failed.items()))
        raise RuntimeError(f"{len(failed)} of {len(runs)} runs failed, first {name}: {error}")
    result = SweepResult(folder, grouped([read_run(folder / n, grid.axes) for n in runs]))
    write_json(folder / RESULTS, to_dict(result, grid))
    return result


def _is_complete(folder: Path) -> bool:
    """Whether a run has ended by itself, and not by Ctrl-C."""
    path = folder / REPORT
    if not path.is_file():
        return False
    report = json.loads(path.read_text(encoding="utf-8"))
    return not report["training"]["interrupted"]


_NO_MATTER = ("out", "checkpoint_seconds")
"""Settings in which a run may differ from that of its folder: no result hangs on them."""


def _refuse_another_run(config: TrainConfig) -> None:
    """A folder of the same name may hold a run of a sweep that had other settings."""
    path = Path(str(config.out)) / SETTINGS
    if not path.exists():
        return
    found = vars(read_settings(TrainConfig, path))
    for name, value in vars(config).items():
        if name not in _NO_MATTER and found[name] != value:
            raise ValueError(
                f"out: {path.parent} holds a run with {name} = {found[name]!r}, here it is "
                f"{value!r}; choose another folder"
            )


def read_run(folder: Path, axes: Iterable[str]) -> Run:
    """A complete run, from its report."""
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    training = report["training"]
    return Run(
        folder.name,
        {axis: report["config"][axis] for axis in axes},
        max(training["validation"], default=None),
        report["modes"]["sequential"]["accuracy"],
        report["parameters"]["trainable"],
        training["seconds"],
    )


def grouped(runs: Iterable[Run]) -> list[Group]:
    """Runs by all their settings but the seed; the best validation accuracy first."""
    found: dict[str, Group] = {}
    for run in runs:
        settings = {axis: value for axis, value in run.settings.items() if axis != "seed"}
        found.setdefault(json.dumps(settings), Group(settings, [])).runs.append(run)
    return sorted(found.values(), key=lambda group: -(group.validation or (0.0,))[0])


def to_dict(result: SweepResult, grid: Grid) -> dict[str, Any]:
    """What ``results.json`` holds."""
    return {
        "settings": {n: v for n, v in plain(grid.base).items() if n not in grid.axes},
        "grid": {axis: list(values) for axis, values in grid.axes.items()},
        "groups": [
            {
                "settings": group.settings,
                "validation": group.validation,
                "test": group.test,
                "runs": [vars(run) for run in group.runs],
            }
            for group in result.groups
        ],
    }
