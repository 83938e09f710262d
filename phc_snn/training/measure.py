"""The job of ``phc-snn divergence``: how far apart a trained network's modes are, as a report."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from phc_snn import plots
from phc_snn.checks import check_positive
from phc_snn.convert import (
    BridgeComparison,
    Divergence,
    compare_bridges,
    measure_divergence,
    phase_diagram,
)
from phc_snn.data import TimeSeriesDataset, load_uea
from phc_snn.files import write_json
from phc_snn.models import PHCSSM
from phc_snn.report import write_report
from phc_snn.solvers import Exact, Jacobi
from phc_snn.training.checkpoint import load_model, read_config, run_folder
from phc_snn.training.compare import accuracies, results_in, versions


@dataclass(frozen=True)
class MeasureConfig:
    """Settings of `measure`; the command line has the same names.

    Attributes:
        checkpoint: A run's folder, or one of the model's two files in it.
        data: Name of a UEA set; None for the one that the model was trained on.
        data_dir: Folder with its .ts files; None for aeon's own.
        sweeps: A number of sweeps to compare beside the solver that the model was trained with.
        curve: Length at most of the curves against sweeps.
        phase: Vary recurrent gain and delay too.
        bridges: Compare the bridging strategies too, fine-tuning included.
        epochs: Of the fine-tuning.
        sample: Sample in the raster; None for the one that differs most.
        device: ``"cpu"`` or ``"cuda"``.
        threads: CPU threads.
        out: Folder for the results; None for ``divergence`` in the run's folder.
    """

    checkpoint: Path
    data: str | None = None
    data_dir: Path | None = None
    sweeps: int = 16
    curve: int = 40
    phase: bool = False
    bridges: bool = False
    epochs: int = 20
    sample: int | None = None
    device: str = "cpu"
    threads: int = 1
    out: Path | None = None


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
    if config.device not in ("cpu", "cuda"):
        raise ValueError(f"device: got {config.device!r}, expected cpu or cuda")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: got 'cuda', but no CUDA device is available here; use cpu")
    for name in ("sweeps", "curve", "epochs", "threads"):
        check_positive(name, getattr(config, name))
    saved = read_config(config.checkpoint)
    model = load_model(config.checkpoint, config.device).eval()
    progress("reading the data")
    dataset = _dataset(config, saved, model)
    if config.sample is not None and not 0 <= config.sample < len(dataset.test_y):
        raise ValueError(f"sample: got {config.sample}, expected 0 to {len(dataset.test_y) - 1}")
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
    x = dataset.test_x.to(config.device).transpose(0, 1)
    phase = bridges = None
    if config.phase:
        progress("varying recurrent gain and delay")
        phase = phase_diagram(model, x)
    progress("comparing the solvers")
    own = model.network.solver
    solvers = {"parallel": own, f"{config.sweeps} sweeps": Jacobi(config.sweeps), "exact": Exact()}
    measure_divergence(model, x[:, :1], solvers=solvers, sweeps=0)  # compiles and allocates
    divergence = measure_divergence(model, x, solvers=solvers, sweeps=config.curve, phase=phase)
    accuracy = accuracies(divergence, dataset.test_y.to(config.device))
    if config.bridges:
        progress("comparing the bridging strategies")
        bridges = compare_bridges(
            model.cpu(),
            dataset.test_x,
            dataset.test_y,
            train_x=dataset.train_x,
            train_y=dataset.train_y,
            epochs=config.epochs,
        )
    progress("writing the report")
    plots.save(divergence.plot(sample=config.sample), folder / "divergence.png")
    content: dict[str, Any] = {"accuracy": accuracy, **divergence.to_dict()}
    if bridges is not None:
        content["bridges"] = bridges.to_dict()
    write_json(folder / "report.json", {"versions": versions(), **content})
    write_report(
        folder / "report.html",
        divergence,
        title=f"{dataset.name}: the modes of one network",
        summary={"Model": str(config.checkpoint), "Data": dataset.name, "Trained with": str(own),
                 **versions()},
        accuracy=accuracy,
        bridges=bridges,
        sample=config.sample,
    )  # fmt: skip
    return MeasureResult(folder, divergence, accuracy, bridges)


def _dataset(config: MeasureConfig, saved: dict[str, Any], model: PHCSSM) -> TimeSeriesDataset:
    """The data of the model, scaled as it was in training."""
    name = config.data or saved.get("data")
    if name is None:
        raise ValueError(
            f"data: {config.checkpoint} does not say what the model was trained on; name a set"
        )
    dataset = load_uea(name, config.data_dir)
    if dataset.channels != model.in_features or len(dataset.classes) != model.num_classes:
        raise ValueError(
            f"data: {name} has {dataset.channels} channels and {len(dataset.classes)} classes, the "
            f"model {model.in_features} and {model.num_classes}"
        )
    scaling = saved.get("scaling")
    if scaling is None:
        return dataset.standardized()
    return dataset.scaled(torch.tensor(scaling["mean"]), torch.tensor(scaling["scale"]))
