"""The job of ``phc-snn divergence``: how far apart a trained network's modes are, as a report."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from phc_snn import plots
from phc_snn.checks import check_positive, check_sample
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
from phc_snn.training.run import (
    SOLVERS,
    SolverName,
    check_device,
    command_line,
    results_in,
    versions,
)


@dataclass(frozen=True)
class MeasureConfig:
    """Settings of `measure`; the command line has the same names.

    Attributes:
        checkpoint: A run's folder, or one of the files in it.
        data: Name of a UEA set; None for the one that the model was trained on.
        data_dir: Folder with its .ts files; None for aeon's own.
        solver: The parallel mode; None for the solver that the model was trained with.
        sweeps: A number of sweeps to compare beside the parallel mode.
        curve: Length at most of the curves against sweeps.
        phase: Vary recurrent gain and delay too.
        bridges: Compare the bridging strategies too, fine-tuning included.
        epochs: Of the fine-tuning.
        sample: Sample in the raster; None for the one that differs most.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        threads: CPU threads.
        out: Folder for the results; None for ``divergence`` in the run's folder.
    """

    checkpoint: Path
    data: str | None = None
    data_dir: Path | None = None
    solver: SolverName | None = None
    sweeps: int = 16
    curve: int = 40
    phase: bool = False
    bridges: bool = False
    epochs: int = 20
    sample: int | None = None
    device: str = "cpu"
    threads: int = 1
    out: Path | None = None

    def check(self) -> None:
        """Refuse what can be refused before anything is read.

        Raises:
            ValueError: A device that is not there, another solver, or a number below 1.
        """
        check_device(self.device)
        for name in ("sweeps", "curve", "epochs", "threads"):
            check_positive(name, getattr(self, name))
        if self.solver not in (None, *SOLVERS):
            raise ValueError(f"solver: got {self.solver!r}, expected one of {sorted(SOLVERS)}")

    def command(self) -> str:
        """The command line that repeats the measurement."""
        settings = asdict(self)
        return command_line("divergence", settings, str(settings.pop("checkpoint")))


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
    dataset = _dataset(config, saved, model)
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


def _dataset(config: MeasureConfig, saved: dict[str, Any], model: PHCSSM) -> TimeSeriesDataset:
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
    dataset = _read(config, saved, name)
    stacked(dataset.test_x)  # refuses sequences of different lengths
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
    """The set, split as it was in training: otherwise samples of the training would be tested."""
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
