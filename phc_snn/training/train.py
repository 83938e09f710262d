"""The job of ``phc-snn train``: a network trained on recordings of any length, and its accuracy."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import torch

from phc_snn.checks import check_positive
from phc_snn.data import event_loader
from phc_snn.files import write_json, write_text
from phc_snn.models import PHCSSM, Readout, TopologyName, make_topology
from phc_snn.solvers import Sequential, Solver
from phc_snn.synapses import Topology
from phc_snn.training.checkpoint import save_model
from phc_snn.training.recordings import Recordings, read_recordings
from phc_snn.training.run import (
    SolverName,
    about_run,
    check_device,
    command_line,
    make_solver,
    new_folder,
    results_in,
)

if TYPE_CHECKING:
    from phc_snn.training.lightning import TrainingResult


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `train`; the command line has the same names.

    Attributes:
        data: An event set (``"nmnist"``, ``"dvsgesture"``, ``"shd"``, ``"ssc"``), or a UEA set.
        data_dir: Folder of the data sets; None only for what aeon brings or downloads.
        window: Time of a frame, ms; None for 10. Event sets only, as the next three.
        downsample: Cells of the sensor, in each direction, that make one of the frame; None for the
            set's default: 2 for N-MNIST, 4 for DVS Gesture, 5 for SHD and SSC.
        cache: Folder to keep the frames in; None for nowhere.
        shift: Cells by which training moves each recording at most, to make more of few; None for
            the set's default: 1 for cameras, 0 for audio.
        neurons, topology, delay: Of the network.
        regions: Of the topology. In one region (the default) every excitatory neuron takes the
            input and is read out. With two, as `PHCSSM` has by default, all that the readout learns
            of has to pass through spikes, which takes several times as long to train.
        readout: As `PHCSSM`. In one region the mean voltage is all but linear in the input, and
            ``"spike"`` (the default) is what makes the network more than a linear classifier.
        rate_target: As `PHCSSM`.
        solver: Trains the network and is its parallel mode.
        sweeps: Of ``"jacobi"``.
        epochs, batch_size, learning_rate: Of the training.
        dropout: Share of the input values that each training step sets to zero.
        seed: Of the initial weights, the order of the recordings and the dropout.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        threads: CPU threads.
        out: Folder for the results; None makes ``runs/<data>-<date>-<time>``.
    """

    data: str = "nmnist"
    data_dir: Path | None = None
    window: float | None = None
    downsample: int | None = None
    cache: Path | None = None
    shift: int | None = None
    neurons: int = 80
    topology: TopologyName = "bidirectional"
    regions: int = 1
    readout: Readout = "spike"
    rate_target: float = 0.2
    delay: int = 1
    solver: SolverName = "jacobi"
    sweeps: int = 4
    epochs: int = 80
    batch_size: int = 20
    learning_rate: float = 1e-2
    dropout: float = 0.5
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    out: Path | None = None

    def make_solver(self) -> Solver:
        """The solver that trains."""
        return make_solver(self.solver, self.sweeps)

    def make_topology(self) -> Topology:
        """Of the network."""
        return make_topology(self.topology, self.neurons, regions=self.regions)

    def check(self) -> None:
        """Refuse what can be refused before the data are read.

        Raises:
            ValueError: A device that is not there, or a number outside its range.
        """
        check_device(self.device)
        for name in ("neurons", "regions", "batch_size", "sweeps", "threads"):
            check_positive(name, getattr(self, name))
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout: got {self.dropout}, expected at least 0 and below 1")
        if not self.epochs >= 0:
            raise ValueError(f"epochs: got {self.epochs}, expected 0 or more")
        if self.readout not in get_args(Readout):
            raise ValueError(f"readout: got {self.readout!r}, expected one of {get_args(Readout)}")
        self.make_solver()
        self.make_topology()

    def command(self) -> str:
        """The command line that repeats the run."""
        return command_line("train", asdict(self))


@dataclass(frozen=True)
class Evaluation:
    """How one solver did on the test recordings."""

    accuracy: float
    seconds: float
    decisions: list[int]


@dataclass(frozen=True)
class TrainResult:
    """What `train` found.

    Attributes:
        folder: Where the results lie.
        model: The trained model.
        modes: ``"parallel"`` and ``"sequential"`` on the test recordings.
        training: How the training ended.
    """

    folder: Path
    model: PHCSSM
    modes: dict[str, Evaluation]
    training: "TrainingResult"

    @property
    def agreement(self) -> float:
        """Part of the test recordings on which both modes decide alike."""
        return accuracy(self.modes["parallel"].decisions, self.modes["sequential"].decisions)


def train(config: TrainConfig) -> TrainResult:
    """Train a `PHCSSM` on recordings, evaluate it in parallel and in sequence, write the results.

    Writes ``model.safetensors``, ``model.json`` and ``command.txt`` (right after the training) and
    ``report.json`` into the run's folder. Ctrl-C ends the training early; all else follows.

    Raises:
        MissingExtraError: An optional package is not installed.
        FileNotFoundError: The data set is not at hand.
        OSError: The folder for the results cannot be made.
        ValueError: A setting outside its range.
    """
    config.check()
    folder = config.out or new_folder(config.data)
    with results_in(folder):
        return _train(config, folder)


def _train(config: TrainConfig, folder: Path) -> TrainResult:
    torch.set_num_threads(config.threads)
    recordings = read_recordings(
        config.data,
        config.data_dir,
        window=config.window,
        downsample=config.downsample,
        cache=config.cache,
        shift=config.shift,
        seed=config.seed,
    )
    model, training = fit_recordings(config, recordings)
    kept = {"data": config.data, "classes": recordings.classes, **recordings.about}
    save_model(model, folder, **kept)
    write_text(folder / "command.txt", config.command() + "\n")
    solvers = {"parallel": config.make_solver(), "sequential": Sequential()}
    modes = {name: evaluate(model, recordings.test, solver) for name, solver in solvers.items()}
    result = TrainResult(folder, model, modes, training)
    write_json(folder / "report.json", report(config, result))
    return result


def fit_recordings(config: TrainConfig, recordings: Recordings) -> "tuple[PHCSSM, TrainingResult]":
    """A `PHCSSM` trained on the training part of ``recordings``, and how the training ended."""
    from phc_snn.training.lightning import fit_loader

    model = PHCSSM(
        recordings.features,
        len(recordings.classes),
        neurons=config.neurons,
        topology=config.make_topology(),
        delay=config.delay,
        readout=config.readout,
        rate_target=config.rate_target,
        solver=config.make_solver(),
        generator=torch.Generator().manual_seed(config.seed),
    )
    loader = event_loader(
        recordings.train,
        batch_size=config.batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(config.seed),
    )
    result = fit_loader(
        model,
        loader,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        dropout=config.dropout,
        device=config.device,
        seed=config.seed,
    )
    return model.eval(), result


@torch.no_grad()
def evaluate(model: PHCSSM, recordings: Any, solver: Solver, batch_size: int = 100) -> Evaluation:
    """Accuracy of ``solver`` on recordings, items (x (T, D_in), label)."""
    began = time.perf_counter()
    decisions: list[int] = []
    labels: list[int] = []
    for batch in event_loader(recordings, batch_size=batch_size):
        x, lengths, wanted = batch[:3]
        decided = model(x, lengths=lengths, solver=solver).logits.argmax(-1)
        decisions += decided.tolist()
        labels += wanted.tolist()
    return Evaluation(accuracy(decisions, labels), time.perf_counter() - began, decisions)


def accuracy(decisions: Sequence[int], labels: Sequence[int]) -> float:
    """Part of the decisions that are right."""
    right = sum(d == y for d, y in zip(decisions, labels, strict=True))
    return right / max(len(labels), 1)


def report(config: TrainConfig, result: TrainResult) -> dict[str, Any]:
    """The run as JSON values."""
    return {
        **about_run(config, result.model, result.training),
        "modes": {
            name: {"accuracy": mode.accuracy, "seconds": mode.seconds}
            for name, mode in result.modes.items()
        },
        "recordings": len(next(iter(result.modes.values())).decisions),
        "agreement": result.agreement,
    }
