"""The job of ``phc-snn divergence``: how far apart a trained network's modes are, as a report."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from phc_snn import plots
from phc_snn.checks import check_sample
from phc_snn.convert import (
    BridgeComparison,
    Divergence,
    compare_bridges,
    measure_divergence,
    phase_diagram,
)
from phc_snn.data import EVENT_SETS, TimeSeriesDataset, load_published, load_uea, stacked
from phc_snn.files import write_json
from phc_snn.models import PHCSSM
from phc_snn.report import write_report
from phc_snn.solvers import Exact, Jacobi, Solver
from phc_snn.training.checkpoint import load_model, read_config, run_folder
from phc_snn.training.compare import accuracies
from phc_snn.training.recordings import OTHER_SETS, rearranged
from phc_snn.training.run import (
    SOLVERS,
    Device,
    SolverName,
    check_device,
    command_line,
    results_in,
    versions,
)
from phc_snn.training.settings import check_settings, required, setting


@dataclass(frozen=True)
class MeasureConfig:
    """Settings of `measure`; a TOML file and the command line have the same names.

    What each one means stands at its field; ``phc-snn divergence --help`` lists them.
    """

    checkpoint: Path = required("A run's folder, or the model in it.")
    data: str | None = setting(None, "UEA data set; else the one that it was trained on.")
    data_dir: Path | None = setting(None, "Folder with <data>/<data>_TRAIN.ts and _TEST.ts.")
    solver: SolverName | None = setting(
        None, "The parallel mode; else the solver that it was trained with."
    )
    sweeps: int = setting(16, "A number of sweeps to compare too.", least=1)
    curve: int = setting(40, "Longest curve against sweeps.", least=1)
    phase: bool = setting(False, "Vary recurrent gain and delay.")
    bridges: bool = setting(False, "Compare ways to deploy it, fine-tuning included.")
    epochs: int = setting(20, "Of the fine-tuning.", least=1)
    sample: int | None = setting(None, "Test sample in the raster; else the one that differs most.",
                                 least=0)  # fmt: skip
    device: Device = setting("cpu", "Where to measure.")
    threads: int = setting(1, "CPU threads.", least=1, most=256)
    out: Path | None = setting(None, "Folder for the results; else divergence in the run's.")

    def check(self) -> None:
        """Refuse what can be refused before anything is read.

        Raises:
            ValueError: A value outside its bounds, or a device that is not there.
        """
        check_settings(self)
        check_device(self.device)

    def command(self) -> str:
        """The command line that repeats the measurement."""
        return command_line("divergence", self)


@dataclass(frozen=True)
class MeasureResult:
    """What `measure` found, and where it lies."""

    folder: Path
    divergence: Divergence
    accuracy: dict[str, float]
    bridges: BridgeComparison | None


def measure(
    config: MeasureConfig, progress: Callable[[str], None] = lambda text: None
) -> MeasureResult:
    """Measure a trained model on its test set and write the report.

    Writes ``report.html``, ``report.json`` and ``divergence.png``.

    Args:
        config: What to measure.
        progress: Told what is under way.

    Raises:
        MissingExtraError: An optional package is not installed.
        FileNotFoundError: The checkpoint or the data set is not at hand.
        ValueError: A checkpoint that is none or does not fit the data; a setting outside its range.
    """
    config.check()
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    device = automatic if config.device == "auto" else config.device
    saved = read_config(config.checkpoint)
    model = load_model(config.checkpoint, device).eval()
    progress("reading the data")
    dataset = read_test_set(config, saved, model)
    stacked(dataset.test_x)  # refuses sequences of different lengths
    check_sample(config.sample, len(dataset.test_y))
    folder = config.out or run_folder(config.checkpoint) / "divergence"
    with results_in(folder):
        return _measure(config, folder, model, dataset, progress)


def _measure(
    config: MeasureConfig,
    folder: Path,
    model: PHCSSM,
    dataset: TimeSeriesDataset,
    progress: Callable[[str], None],
) -> MeasureResult:
    torch.set_num_threads(config.threads)
    device = model.connectome.mask.device
    x = stacked(dataset.test_x).to(device).transpose(0, 1)
    phase = bridges = None
    if config.phase:
        phase = phase_diagram(model, x, delays=_DELAYS, progress=progress)
    progress("comparing the solvers")
    parallel = _parallel(config, model)
    more = f"{config.sweeps} sweeps"
    solvers = {"parallel": parallel, more: Jacobi(config.sweeps), "exact": Exact()}
    divergence = measure_divergence(model, x, solvers=solvers, sweeps=config.curve, phase=phase)
    accuracy = accuracies(divergence, dataset.test_y.to(device))
    if config.bridges:
        progress("comparing the bridging strategies")
        bridges = compare_bridges(
            model.cpu(),
            stacked(dataset.test_x),
            dataset.test_y,
            train_x=stacked(dataset.train_x),
            train_y=dataset.train_y,
            epochs=config.epochs,
        )
    progress("writing the report")
    plots.save(divergence.plot(sample=config.sample), folder / "divergence.png")
    content: dict[str, Any] = {
        "command": config.command(),
        "versions": versions(),
        "accuracy": accuracy,
        **divergence.to_dict(),
    }
    if bridges is not None:
        content["bridges"] = bridges.to_dict()
    write_json(folder / "report.json", content)
    write_report(
        folder / "report.html",
        divergence,
        title=f"{dataset.name}: the modes of one network",
        summary=_summary(config, model, dataset, parallel),
        accuracy=accuracy,
        bridges=bridges,
        sample=config.sample,
    )
    return MeasureResult(folder, divergence, accuracy, bridges)


def _parallel(config: MeasureConfig, model: PHCSSM) -> Solver:
    """The solver of the parallel mode."""
    own = model.network.solver
    if config.solver is None or isinstance(own, SOLVERS[config.solver]):
        return own  # with the options that it was trained with
    return SOLVERS[config.solver]()


_DELAYS = (1, 2, 4, 8)


def _summary(
    config: MeasureConfig, model: PHCSSM, dataset: TimeSeriesDataset, parallel: Solver
) -> dict[str, str]:
    """What the report says above its tables."""
    length, channels = stacked(dataset.test_x).shape[1:]
    return {
        "Model": f"{config.checkpoint}, {model.network.features} neurons",
        "Data": f"{dataset.name}: {len(dataset.test_y):,} test samples of {length:,} steps, "
        f"{channels} channels",
        "Trained with": str(model.network.solver),
        "Parallel": str(parallel),
        "Repeat with": config.command(),
        **versions(),
    }


def read_test_set(config: MeasureConfig, saved: dict[str, Any], model: PHCSSM) -> TimeSeriesDataset:
    """The data of the model, scaled as it was in training."""
    name = config.data or saved.get("data")
    if not isinstance(name, str):
        raise ValueError(
            f"data: {config.checkpoint} does not say what the model was trained on; name a set"
        )
    if name in EVENT_SETS:
        raise ValueError(
            f"data: {name} are event recordings, which this command does not read; it takes models "
            "of UEA sets"
        )
    if name in OTHER_SETS:
        raise ValueError(
            f"data: {name} is no set of the UEA archive, and this command takes models of those"
        )
    dataset = _read(config, saved, name)
    if dataset.channels != model.in_features or len(dataset.classes) != model.num_classes:
        raise ValueError(
            f"data: {name} has {dataset.channels} channels and {len(dataset.classes)} classes, the "
            f"model {model.in_features} and {model.num_classes}"
        )
    classes = saved.get("classes", list(dataset.classes))
    if classes != list(dataset.classes):
        raise ValueError(
            f"data: {name} has the classes {list(dataset.classes)}, the model was trained on "
            f"{classes}"
        )
    scaling = saved.get("scaling")
    if scaling is None:
        return dataset.standardized()
    return dataset.scaled(*_scaling(scaling, dataset.channels))


def _read(config: MeasureConfig, saved: dict[str, Any], name: str) -> TimeSeriesDataset:
    """The set, split and rearranged as it was in training."""
    series = saved.get("series", {"average": None, "unshift": None})
    try:
        average, unshift = series["average"], series["unshift"]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"checkpoint: got the series {series!r}, expected its average and unshift; take the "
            "model.json that the training wrote"
        ) from error
    return rearranged(_split(config, saved, name), average, unshift)


def _split(config: MeasureConfig, saved: dict[str, Any], name: str) -> TimeSeriesDataset:
    """Split as it was in training: otherwise samples of the training would be tested."""
    protocol = saved.get("protocol")
    if protocol is None or config.data not in (None, saved.get("data")):
        return load_uea(name, config.data_dir)
    try:
        seed = protocol["seed"]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"checkpoint: got the protocol {protocol!r}, expected one with its seed; take the "
            "model.json that the training wrote"
        ) from error
    return load_published(name, config.data_dir, seed=seed)


def _scaling(saved: Any, channels: int) -> list[torch.Tensor]:
    """What `TimeSeriesDataset.scaled` takes, of what a checkpoint keeps."""
    try:
        return [torch.tensor(saved[part]).expand(channels) for part in ("mean", "scale")]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"checkpoint: its scaling is not a mean and a scale of {channels} channels "
            f"({type(error).__name__}: {error})"
        ) from error
