"""The main job: train in parallel over time, run step by step, say how far apart the two are."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from phc_snn import plots
from phc_snn.convert import Divergence, measure_divergence
from phc_snn.data import TimeSeriesDataset, load_uea, stacked
from phc_snn.files import write_json, write_text
from phc_snn.models import PHCSSM
from phc_snn.named import TopologyName
from phc_snn.report import write_report
from phc_snn.solvers import Exact, Solver
from phc_snn.training.checkpoint import save_model
from phc_snn.training.run import (
    Device,
    SolverName,
    about_run,
    check_device,
    command_line,
    make_solver,
    new_folder,
    results_in,
    versions,
)
from phc_snn.training.settings import check_settings, setting

if TYPE_CHECKING:
    from phc_snn.training.result import TrainingResult


@dataclass(frozen=True)
class CompareConfig:
    """Settings of `compare`; a TOML file and the command line have the same names.

    What each one means stands at its field; ``phc-snn compare --help`` lists them.
    """

    data: str = setting("BasicMotions", "UEA data set; BasicMotions needs no download.")
    data_dir: Path | None = setting(None, "Folder with <data>/<data>_TRAIN.ts and _TEST.ts.")
    seed: int = setting(0, "Of weights and sample order.", least=0, most=2**63 - 1)
    neurons: int = setting(32, "Neurons in the network, two a region at least.", least=4)
    topology: TopologyName = setting("bidirectional", "Connections between the two regions.")
    delay: int = setting(1, "Synaptic delay in time steps.", least=1)
    solver: SolverName = setting("jacobi", "Solver that trains, and the parallel mode.")
    sweeps: int = setting(4, "Sweeps of the jacobi solver.", least=1)
    epochs: int = setting(150, "Passes over the training data.", least=0)
    batch_size: int = setting(20, "Samples in a training step.", least=1)
    learning_rate: float = setting(2e-2, "Of Adam, at the start.", least=0.0)
    device: Device = setting("cpu", "Where to train.")
    # Networks of this size gain nothing from a second one, and lose much where other programs hold
    # the cores. (Sums of gradients depend on their number.)
    threads: int = setting(1, "CPU threads.", least=1, most=256)
    out: Path | None = setting(None, "Folder for the results; else runs/<data>-<time>.")

    def make_solver(self) -> Solver:
        """The solver that trains."""
        return make_solver(self.solver, self.sweeps)

    def check(self) -> None:
        """Refuse what can be refused before seconds are spent on imports and data.

        Raises:
            ValueError: A value outside its bounds, or a device that is not there.
        """
        check_settings(self)
        check_device(self.device)

    def command(self) -> str:
        """The command line that repeats the run."""
        return command_line("compare", self)


@dataclass(frozen=True)
class CompareResult:
    """What `compare` found.

    Attributes:
        folder: Where the results lie.
        model: The trained model.
        divergence: Parallel (``"parallel"``) and proved (``"exact"``) against sequential, on the
            test set.
        accuracy: Mode -> test accuracy.
        training: How the training ended.
    """

    folder: Path
    model: PHCSSM
    divergence: Divergence
    accuracy: dict[str, float]
    training: "TrainingResult"


def compare(config: CompareConfig) -> CompareResult:
    """Train a `PHCSSM`, evaluate it in parallel and in sequence, and write the results.

    Writes ``model.safetensors``, ``model.json`` and ``command.txt`` (right after the training),
    ``comparison.png``, ``report.json`` and ``report.html`` into the run's folder.

    Raises:
        MissingExtraError: An optional package is not installed.
        FileNotFoundError: The data set is not at hand.
        OSError: The folder for the results cannot be made.
        ValueError: A setting outside its range.
    """
    config.check()
    folder = config.out or new_folder(config.data)
    with results_in(folder):
        return _compare(config, folder)


def _compare(config: CompareConfig, folder: Path) -> CompareResult:
    torch.set_num_threads(config.threads)
    dataset = load_uea(config.data, config.data_dir).standardized()
    model, training = train(config, dataset)
    save_model(
        model,
        folder,
        data=config.data,
        classes=dataset.classes,
        scaling={"mean": dataset.mean.tolist(), "scale": dataset.scale.tolist()},
    )
    write_text(folder / "command.txt", config.command() + "\n")
    divergence, accuracy = evaluate(model, dataset, config.make_solver())
    result = CompareResult(folder, model, divergence, accuracy, training)
    sample = plots.most_different_sample(divergence.solvers["parallel"], divergence.reference)
    figure = plots.two_modes(
        divergence.solvers["parallel"],
        divergence.reference,
        divergence.curve,
        thresholds=divergence.thresholds,
        sample=sample,
    )
    plots.save(figure, folder / "comparison.png")
    write_json(folder / "report.json", report(config, result))
    write_report(
        folder / "report.html",
        divergence,
        title=f"{config.data}: trained in parallel, run step by step",
        summary=summary(config, result),
        accuracy=accuracy,
    )
    return result


def train(config: CompareConfig, dataset: TimeSeriesDataset) -> "tuple[PHCSSM, TrainingResult]":
    """A `PHCSSM` trained on the training part of ``dataset``, and how the training ended."""
    from phc_snn.training.lightning import fit

    model = PHCSSM(
        dataset.channels,
        len(dataset.classes),
        neurons=config.neurons,
        topology=config.topology,
        delay=config.delay,
        solver=config.make_solver(),
        generator=torch.Generator().manual_seed(config.seed),
    )
    result = fit(
        model,
        stacked(dataset.train_x),
        dataset.train_y,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        device=config.device,
        seed=config.seed,
    )
    return model.eval(), result


def evaluate(
    model: PHCSSM, dataset: TimeSeriesDataset, solver: Solver, most_sweeps: int = 40
) -> tuple[Divergence, dict[str, float]]:
    """Both modes on the test set: divergence and accuracies.

    The curve of differences goes on until everything is proved, ``most_sweeps`` sweeps at most.
    """
    x = stacked(dataset.test_x).transpose(0, 1)
    solvers = {"parallel": solver, "exact": Exact()}
    divergence = measure_divergence(model, x, solvers=solvers, sweeps=most_sweeps)
    return divergence, accuracies(divergence, dataset.test_y)


def accuracies(divergence: Divergence, labels: torch.Tensor) -> dict[str, float]:
    """Mode -> accuracy; the reference is called ``"sequential"``."""
    modes = {"sequential": divergence.reference, **divergence.solvers}
    return {name: mode.accuracy(labels) for name, mode in modes.items()}


def summary(config: CompareConfig, result: CompareResult) -> dict[str, str]:
    """What the report says above its charts."""
    count = result.model.count_parameters()
    training = result.training
    ended = " (ended by Ctrl-C)" if training.interrupted else ""
    return {
        "Data": config.data,
        "Network": f"{config.neurons} neurons, {config.topology}, delay {config.delay}",
        "Parameters": f"{count.trainable:,} trained, {count.effective:,} can act",
        "Training": f"{training.epochs} epochs, {training.seconds:.0f} s{ended}, with "
        f"{config.make_solver()}",
        "Repeat with": config.command(),
        **versions(),
    }


def report(config: CompareConfig, result: CompareResult) -> dict[str, Any]:
    """The run as JSON values."""
    content = result.divergence.to_dict()
    modes = content["solvers"]
    modes["sequential"] = modes.pop("reference")
    return {
        **about_run(config, result.model, result.training),
        "threads": torch.get_num_threads(),
        "modes": {name: {"accuracy": result.accuracy[name], **m} for name, m in modes.items()},
        "curve": content["curve"],
    }
