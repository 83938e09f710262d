"""The main job: train in parallel over time, run step by step, say how far apart the two are."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

import phc_snn
from phc_snn import plots
from phc_snn.convert import Comparison, Divergence, measure_divergence
from phc_snn.data import TimeSeriesDataset, load_uea
from phc_snn.models import PHCSSM, TopologyName
from phc_snn.solvers import Exact, Jacobi, Sequential, Solver
from phc_snn.training.checkpoint import save_model
from phc_snn.training.files import write_json, write_text

if TYPE_CHECKING:
    from phc_snn.training.lightning import TrainingResult

SolverName = Literal["jacobi", "exact", "sequential"]


@dataclass(frozen=True)
class CompareConfig:
    """Settings of `compare`; the command line has the same names.

    Attributes:
        data: Name of a UEA set.
        data_dir: Folder with its .ts files; None for aeon's own.
        seed: Of the initial weights and of the order of the samples.
        neurons, topology, delay: Of the network.
        solver: Trains the network and is its parallel mode.
        sweeps: Of ``"jacobi"``.
        epochs, batch_size, learning_rate: Of the training.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        threads: CPU threads. Networks of this size gain nothing from a second one, and lose much
            where other programs hold the cores. (Sums of gradients depend on their number.)
        out: Folder for the results; None makes ``runs/<data>-<date>-<time>``.
    """

    data: str = "BasicMotions"
    data_dir: Path | None = None
    seed: int = 0
    neurons: int = 32
    topology: TopologyName = "bidirectional"
    delay: int = 1
    solver: SolverName = "jacobi"
    sweeps: int = 4
    epochs: int = 150
    batch_size: int = 20
    learning_rate: float = 2e-2
    device: str = "cpu"
    threads: int = 1
    out: Path | None = None

    def make_solver(self) -> Solver:
        """The solver that trains."""
        solvers: dict[str, Solver] = {
            "jacobi": Jacobi(self.sweeps),
            "exact": Exact(),
            "sequential": Sequential(),
        }
        if self.solver not in solvers:
            raise ValueError(f"solver: got {self.solver!r}, expected one of {sorted(solvers)}")
        return solvers[self.solver]

    def check(self) -> None:
        """Refuse what can be refused before seconds are spent on imports and data.

        Raises:
            ValueError: A device that is not there, or too few neurons for the topology.
        """
        if self.device not in ("cpu", "cuda", "auto"):
            raise ValueError(f"device: got {self.device!r}, expected cpu, cuda or auto")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device: got 'cuda', but no CUDA device is available here; use cpu")
        if self.neurons < 4:
            raise ValueError(f"neurons: got {self.neurons}, expected at least 4, two a region")
        self.make_solver()

    def command(self) -> str:
        """The command line that repeats the run."""
        words = ["phc-snn", "compare"]
        for name, value in asdict(self).items():
            if value is not None:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return shlex.join(words)


@dataclass(frozen=True)
class CompareResult:
    """What `compare` found.

    Attributes:
        folder: Where the results lie.
        model: The trained model.
        divergence: Parallel (``"parallel"``) and proved (``"exact"``) against sequential, on the
            test set.
        accuracy: Mode -> test accuracy.
        sweeps, differences: Numbers of Jacobi sweeps tried, and the part of the neuron-steps that
            then differ from sequential.
        training: How the training ended.
    """

    folder: Path
    model: PHCSSM
    divergence: Divergence
    accuracy: dict[str, float]
    sweeps: list[int]
    differences: list[float]
    training: "TrainingResult"


def compare(config: CompareConfig) -> CompareResult:
    """Train a `PHCSSM`, evaluate it in parallel and in sequence, and write the results.

    Writes ``model.safetensors`` and ``model.json`` (right after the training), ``comparison.png``,
    ``report.json`` and ``command.txt`` into the run's folder.

    Raises:
        MissingExtraError: An optional package is not installed.
        FileNotFoundError: The data set is not at hand.
        OSError: The folder for the results cannot be made.
        ValueError: A setting outside its range.
    """
    config.check()
    folder = config.out or _new_folder(config.data)
    with _results_in(folder):
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
    divergence, accuracy, sweeps, differences = evaluate(model, dataset, config.make_solver())
    result = CompareResult(
        folder,
        model,
        divergence,
        accuracy,
        sweeps,
        differences,
        training,
    )
    figure = plots.two_modes(
        divergence.solvers["parallel"],
        divergence.reference,
        sweeps,
        differences,
        thresholds=model.network.neuron.threshold.detach(),
        sample=_most_different(divergence.solvers["parallel"], divergence.reference),
    )
    plots.save(figure, folder / "comparison.png")
    write_json(folder / "report.json", report(config, result))
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
        dataset.train_x,
        dataset.train_y,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        device=config.device,
        seed=config.seed,
    )
    return model.eval(), result


def evaluate(
    model: PHCSSM, dataset: TimeSeriesDataset, solver: Solver, most_sweeps: int | None = None
) -> tuple[Divergence, dict[str, float], list[int], list[float]]:
    """Both modes on the test set: divergence, accuracies, and the difference against sweeps.

    The sweeps go up to ``most_sweeps``; by default until nothing differs, 40 at most.
    """
    x = dataset.test_x.transpose(0, 1)
    # The first run of a process compiles and allocates; the timed ones should not pay for it.
    measure_divergence(model, x[:, :1], solvers={"parallel": solver})
    divergence = measure_divergence(model, x, solvers={"parallel": solver, "exact": Exact()})
    modes = {"sequential": divergence.reference, **divergence.solvers}
    accuracy = {name: _accuracy(mode, dataset) for name, mode in modes.items()}
    if most_sweeps is None:
        most_sweeps = min(int(divergence.solvers["exact"].solution.sweeps.max()), 40)
    sweeps = list(range(1, most_sweeps + 1))
    curve = measure_divergence(model, x, solvers={str(k): Jacobi(k) for k in sweeps})
    return divergence, accuracy, sweeps, [curve.solvers[str(k)].step_difference for k in sweeps]


def report(config: CompareConfig, result: CompareResult) -> dict[str, Any]:
    """The run as JSON values."""
    modes = {"sequential": result.divergence.reference, **result.divergence.solvers}
    count = result.model.count_parameters()
    settings = {n: str(v) if isinstance(v, Path) else v for n, v in asdict(config).items()}
    return {
        "command": config.command(),
        "config": settings,
        "versions": {
            "phc_snn": phc_snn.__version__,
            "torch": torch.__version__,
            "python": sys.version.split()[0],
        },
        "threads": torch.get_num_threads(),
        "parameters": {"trainable": count.trainable, "effective": count.effective},
        "training": asdict(result.training),
        "modes": {name: _mode(mode, result.accuracy[name]) for name, mode in modes.items()},
        "sweeps": dict(zip(map(str, result.sweeps), result.differences, strict=True)),
    }


def _mode(mode: Comparison, accuracy: float) -> dict[str, Any]:
    sweeps = mode.solution.sweeps
    return {
        "accuracy": accuracy,
        "agreement_with_sequential": mode.agreement,
        "differing_spikes": mode.differing_spikes,
        "spikes": int(mode.solution.spikes.sum()),
        "first_differing_step": mode.first_differing_step,
        "voltage_rmse": mode.voltage_rmse,
        "sweeps_median": float(sweeps.double().median()),
        "sweeps_max": int(sweeps.max()),
        "certified_steps_min": int(mode.solution.certified_steps.min()),
        "seconds": mode.seconds,
    }


def _accuracy(mode: Comparison, dataset: TimeSeriesDataset) -> float:
    if mode.logits is None:
        raise TypeError("logits: got None, expected the logits of a PHCSSM")
    return float((mode.logits.argmax(-1) == dataset.test_y).double().mean())


def _most_different(parallel: Comparison, sequential: Comparison) -> int:
    """The sample to show: the one with the most differing spikes, the first one if none differs."""
    differing = parallel.solution.spikes != sequential.solution.spikes
    return int(differing.sum(dim=(0, 2)).argmax())


@contextmanager
def _results_in(folder: Path) -> Iterator[None]:
    """Make the folder before the work, and leave no empty one behind if the work fails."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"out: cannot make the folder {folder} ({error.strerror})") from error
    try:
        yield
    finally:
        for path in made:
            if not any(path.iterdir()):
                path.rmdir()


def _new_folder(data: str) -> Path:
    return Path("runs") / f"{data}-{datetime.now():%Y%m%d-%H%M%S}"
