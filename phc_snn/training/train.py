"""The job of ``phc-snn train``: a network trained on recordings of any length, and its accuracy."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from phc_snn.data import event_loader
from phc_snn.files import write_json, write_text
from phc_snn.models import PHCSSM, Readout
from phc_snn.named import NeuronName, TopologyName, make_topology
from phc_snn.neurons.alif import DriveTransform
from phc_snn.solvers import Sequential, Solver
from phc_snn.synapses import RSTDP, Topology
from phc_snn.synapses.rstdp import Coincidence
from phc_snn.synapses.tsodyks_markram import Release
from phc_snn.training.batches import training_loader
from phc_snn.training.checkpoint import save_model
from phc_snn.training.recordings import Protocol, Recordings, read_recordings
from phc_snn.training.run import (
    Device,
    Log,
    Precision,
    Schedule,
    SolverName,
    about_run,
    check_device,
    command_line,
    is_first_process,
    make_solver,
    new_folder,
    results_in,
)
from phc_snn.training.settings import (
    check_settings,
    read_settings,
    setting,
    write_settings,
)

if TYPE_CHECKING:
    from phc_snn.training.lightning import TrainingResult

DaleName = Literal["construction", "projection", "none"]

PUBLISHED: Mapping[str, Any] = {
    "neurons": 64,
    "regions": 2,
    "readout": "voltage",
    "rate_target": 0.1,
    "solver": "auto",
    "stdp": True,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "dropout": 0.0,
    "steps_per_epoch": 1000,
    "epochs": 100,
    "patience": 10,
}
"""The model and the training of the published benchmark, which ``protocol = "uea"`` stands for."""

SETTINGS = "settings.toml"
PROGRESS = "progress"
"""Folder in a run's, with what it goes on from."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `train`; a TOML file and the command line have the same names.

    What each one means stands at its field; ``phc-snn train --help`` lists them.
    """

    # Data
    data: str = setting(
        "nmnist",
        "Event set (nmnist, dvsgesture, shd, ssc), psmnist, smnist, fsdd, or a UEA set.",
    )
    data_dir: Path | None = setting(
        None, "Folder of the sets; nothing only for what aeon brings or downloads."
    )
    protocol: Protocol = setting(
        "archive",
        "Of UEA sets: archive, or uea: the split, model and training of the published benchmark.",
    )
    standardize: bool | None = setting(
        None, "Scale each channel of a UEA set by its training part; else as the protocol does."
    )
    window: float | None = setting(
        None, "Time of a frame of events or speech, ms; else 10.", least=0.001
    )
    downsample: int | None = setting(
        None, "Sensor cells, each way, in one of a frame; else the set's own.", least=1
    )
    cache: Path | None = setting(None, "Folder to keep event frames in; else nowhere.")
    shift: int | None = setting(
        None, "Cells by which training moves event recordings at most; else the set's own.", least=0
    )

    # Network
    neuron: NeuronName = setting("alif", "Neuron: alif, or lif (no adaptation).")
    neurons: int = setting(80, "Neurons in the network.", least=1)
    topology: TopologyName = setting("bidirectional", "Connections between regions.")
    # With two regions, as `PHCSSM` has by default, all that the readout learns of has to pass
    # through spikes, which takes several times as long to train.
    regions: int = setting(1, "Of the neurons; the first takes the input.", least=1)
    # In one region the mean voltage is all but linear in the input.
    readout: Readout = setting("spike", "What is averaged over time and read out.")
    windows: int = setting(1, "Stretches of time that are read out each for itself.", least=1)
    window_steps: int | None = setting(None, "Steps of one of several windows.", least=1)
    encoder_norm: bool = setting(True, "LayerNorm of the encoder.")
    delay: int = setting(1, "Synaptic delay in time steps.", least=1)
    plasticity: bool = setting(True, "Short-term plasticity of the synapses.")
    release: Release = setting("post", "Resources that a spike releases: after its own depression, "
                               "or before it.")  # fmt: skip
    dale: DaleName = setting("construction", "How Dale's law is kept.")
    drive_transform: DriveTransform = setting("identity", "Of the current into the membrane.")
    rate_target: float = setting(0.2, "Firing rate to aim at, per step.", least=0.0, most=1.0)
    rate_weight: float = setting(1.0, "Weight of the distance from that rate.", least=0.0)
    voltage_weight: float = setting(1e-3, "Weight of the mean squared voltage.", least=0.0)
    label_smoothing: float = setting(0.1, "Of the cross-entropy.", least=0.0, most=1.0)

    # Solver
    solver: SolverName = setting("jacobi", "Solver that trains, and the parallel mode.")
    sweeps: int = setting(4, "Sweeps of the jacobi solver.", least=1)

    # Training
    epochs: int = setting(
        80, "Passes over the training data, or as often steps_per_epoch.", least=0
    )
    steps_per_epoch: int | None = setting(
        None, "Steps between validations and checkpoints; else one pass.", least=1
    )
    batch_size: int = setting(20, "Recordings in a training step, of all devices.", least=1)
    learning_rate: float = setting(1e-2, "Of Adam, at the start.", least=0.0)
    schedule: Schedule = setting("cosine", "Of the learning rate over the training.")
    weight_decay: float = setting(0.0, "Of AdamW.", least=0.0)
    clip: float | None = setting(
        None, "Norm to cut the gradient to; else it is not cut.", least=0.0
    )
    dropout: float = setting(0.5, "Share of inputs dropped in training.", least=0.0, most=0.99)
    stdp: bool = setting(False, "R-STDP beside the gradient, after each of its steps.")
    stdp_eta: float = setting(0.01, "Learning rate of R-STDP.", least=0.0)
    stdp_coincidence: Coincidence = setting("ltd", "What two spikes in one step do.")
    stdp_baseline: float | None = setting(
        None, "Accuracy at which the reward is zero; else chance.", least=0.0, most=0.99
    )
    patience: int | None = setting(
        None, "Validations without a better one before the end; else never.", least=0
    )
    seed: int = setting(0, "Of weights, order, and what else is drawn.", least=0, most=2**63 - 1)

    # Machine
    device: Device = setting("cpu", "Where to train.")
    devices: int = setting(1, "Processes on a machine, each with a device.", least=1)
    nodes: int = setting(1, "Machines.", least=1)
    strategy: str = setting("auto", "Of Lightning: how processes share the work.")
    precision: Precision = setting("32-true", "Of weights and computation.")
    threads: int = setting(1, "CPU threads.", least=1, most=256)
    checkpoint_seconds: float = setting(
        5.0, "Time between checkpoints, at least; they come at the ends of epochs.", least=0.0
    )
    log: Log = setting("none", "Losses and accuracies of the epochs, as files.")
    out: Path | None = setting(None, "Folder for the results; else runs/<data>-<time>.")

    @staticmethod
    def presets(values: Mapping[str, Any]) -> Mapping[str, Any]:
        """What these settings bring with them, on the command line and in files."""
        return PUBLISHED if values.get("protocol") == "uea" else {}

    def make_solver(self) -> Solver:
        """The solver that trains."""
        return make_solver(self.solver, self.sweeps)

    def make_topology(self) -> Topology:
        """Of the network."""
        return make_topology(self.topology, self.neurons, regions=self.regions)

    def make_rstdp(self) -> RSTDP | None:
        """The plasticity beside the gradient, if there is one."""
        if not self.stdp:
            return None
        return RSTDP(
            eta=self.stdp_eta,
            coincidence=self.stdp_coincidence,
            reward_baseline="chance" if self.stdp_baseline is None else self.stdp_baseline,
        )

    def check(self) -> None:
        """Refuse what can be refused before the data are read.

        Raises:
            ValueError: A value outside its bounds, a device that is not there, or settings that do
                not go together.
        """
        check_settings(self)
        check_device(self.device)
        self.make_topology()

    def command(self) -> str:
        """The command line that repeats the run."""
        return command_line("train", self)


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

    Writes ``settings.toml`` and ``command.txt`` (at once), ``model.safetensors`` and ``model.json``
    (right after the training) and ``report.json`` into the run's folder; and ``progress``, from
    which `resume` goes on, while it trains. Ctrl-C ends the training early; all else follows.

    Raises:
        MissingExtraError: An optional package is not installed.
        FileNotFoundError: The data set is not at hand.
        OSError: The folder for the results cannot be made or written to.
        ValueError: A setting outside its range, or a folder that holds another run.
    """
    config.check()
    folder = config.out or new_folder(config.data)
    if not is_first_process():
        return _train(config, _read(config), folder)
    if (folder / SETTINGS).exists():
        raise ValueError(
            f"out: {folder} holds a run already; go on with it by --resume {folder}, or choose "
            "another folder"
        )
    recordings = _read(config)
    with results_in(folder):
        files = folder / "command.txt", folder / SETTINGS
        try:
            write_text(files[0], config.command() + "\n")
            write_settings(config, files[1])
            return _train(config, recordings, folder)
        except BaseException:
            if not (folder / PROGRESS).exists():  # nothing was learned that one could go on from
                for file in files:
                    file.unlink(missing_ok=True)
            raise


def resume(folder: Path) -> TrainResult:
    """Go on with a run that was cut off, from its last complete epoch; see `train`.

    On a CPU the result has the same bits as if nothing had happened. A complete run is evaluated
    once more.

    Raises:
        FileNotFoundError: No run lies in ``folder``.
        ValueError: Settings or progress that are damaged, or of another version.
    """
    if not (folder / SETTINGS).is_file():
        raise FileNotFoundError(f"resume: no run lies in {folder} ({SETTINGS} is missing)")
    config = read_settings(TrainConfig, folder / SETTINGS)
    config.check()
    return _train(config, _read(config), folder)


def _read(config: TrainConfig) -> Recordings:
    return read_recordings(
        config.data,
        config.data_dir,
        window=config.window,
        downsample=config.downsample,
        cache=config.cache,
        shift=config.shift,
        seed=config.seed,
        protocol=config.protocol,
        standardize=config.standardize,
    )


def _train(config: TrainConfig, recordings: Recordings, folder: Path) -> TrainResult:
    torch.set_num_threads(config.threads)
    model, training = fit_recordings(config, recordings, folder / PROGRESS)
    if not is_first_process():
        raise SystemExit(0)  # the first one evaluates and writes
    kept = {"data": config.data, "classes": recordings.classes, **recordings.about}
    save_model(model, folder, **kept)
    solvers = {"parallel": config.make_solver(), "sequential": Sequential()}
    modes = {name: evaluate(model, recordings.test, solver) for name, solver in solvers.items()}
    result = TrainResult(folder, model, modes, training)
    write_json(folder / "report.json", {**report(config, result), "data": recordings.about})
    return result


def fit_recordings(
    config: TrainConfig, recordings: Recordings, progress: Path | None = None
) -> "tuple[PHCSSM, TrainingResult]":
    """A `PHCSSM` trained on the training part of ``recordings``, and how the training ended.

    Args:
        config: Of the training.
        recordings: What to train on, and to choose the best epoch by.
        progress: Folder to keep the progress in, and to go on from; None for nowhere.
    """
    from phc_snn.training.lightning import Machines, Optimization, fit_loader

    loader = training_loader(
        recordings.train,
        batch_size=config.batch_size,
        seed=config.seed,
        steps=config.steps_per_epoch,
        dropout=config.dropout,
    )
    validation = recordings.validation
    model = make_model(config, recordings)
    result = fit_loader(
        model,
        loader,
        Optimization(config.learning_rate, config.schedule, config.weight_decay, config.clip),
        epochs=config.epochs,
        rstdp=config.make_rstdp(),
        machines=Machines(
            config.device, config.devices, config.nodes, config.strategy, config.precision
        ),
        validation=None if validation is None else event_loader(validation, batch_size=_AT_ONCE),
        patience=config.patience,
        folder=progress,
        seconds=config.checkpoint_seconds,
        log=config.log,
    )
    return model.eval(), result


_AT_ONCE = 100
"""Recordings that are evaluated together."""


def make_model(config: TrainConfig, recordings: Recordings) -> PHCSSM:
    """The untrained network for these recordings."""
    return PHCSSM(
        recordings.features,
        len(recordings.classes),
        neuron=config.neuron,
        neurons=config.neurons,
        topology=config.make_topology(),
        readout=config.readout,
        windows=config.windows,
        window_steps=config.window_steps,
        encoder_norm=config.encoder_norm,
        delay=config.delay,
        plasticity=config.plasticity,
        release=config.release,
        dale=None if config.dale == "none" else config.dale,
        drive_transform=config.drive_transform,
        solver=config.make_solver(),
        label_smoothing=config.label_smoothing,
        rate_target=config.rate_target,
        rate_weight=config.rate_weight,
        voltage_weight=config.voltage_weight,
        generator=torch.Generator().manual_seed(config.seed),
    )


@torch.no_grad()
def evaluate(
    model: PHCSSM, recordings: Any, solver: Solver, batch_size: int = _AT_ONCE
) -> Evaluation:
    """Accuracy of ``solver`` on recordings, items (x (T, D_in), label)."""
    began = time.perf_counter()
    decisions: list[int] = []
    labels: list[int] = []
    for batch in event_loader(recordings, batch_size=batch_size):
        x, lengths, wanted = batch[:3]
        x = x.to(model.decoder.weight)  # where, and in the precision in which, it was trained
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
