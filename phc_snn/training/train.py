"""The job of ``phc-snn train``: a network trained on recordings of any length, and its accuracy."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from phc_snn.data import event_loader
from phc_snn.ensemble import Ensemble
from phc_snn.files import write_json, write_text
from phc_snn.models import PHCSSM
from phc_snn.solvers import Sequential, Solver
from phc_snn.training.batches import training_loader
from phc_snn.training.checkpoint import save_model
from phc_snn.training.recordings import Recordings, read_recordings
from phc_snn.training.result import TrainingResult
from phc_snn.training.run import (
    about_run,
    is_first_process,
    new_folder,
    results_in,
)
from phc_snn.training.settings import (
    read_settings,
    write_settings,
)
from phc_snn.training.train_config import TrainConfig

SETTINGS = "settings.toml"
REPORT = "report.json"
_COMMAND = "command.txt"
PROGRESS = "progress"
"""Folder in a run's, with what it goes on from."""


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
    model: PHCSSM | Ensemble
    modes: dict[str, Evaluation]
    training: TrainingResult

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
        return _train(config, read(config), folder)
    if (folder / SETTINGS).exists():
        raise ValueError(
            f"out: {folder} holds a run already; go on with it by --resume {folder}, or choose "
            "another folder"
        )
    recordings = read(config)
    with new_run(config, folder):
        return _train(config, recordings, folder)


@contextmanager
def new_run(config: TrainConfig, folder: Path) -> Iterator[None]:
    """Make the folder of a run and write what it is; if nothing comes of it, it is gone again."""
    with results_in(folder):
        try:
            write_text(folder / _COMMAND, config.command() + "\n")
            write_settings(config, folder / SETTINGS)
            yield
        except BaseException:
            forget(folder)
            raise


def forget(folder: Path) -> None:
    """Take away what a run is, if it has learned nothing that one could go on from."""
    if (folder / PROGRESS).exists() or (folder / REPORT).exists():
        return
    for name in (_COMMAND, SETTINGS):
        (folder / name).unlink(missing_ok=True)


def resume(folder: Path) -> TrainResult:
    """Go on with a run that was cut off, from its last complete epoch; see `train`.

    On a CPU the result has the same bits as if nothing had happened. A complete run is evaluated
    once more.

    Raises:
        FileNotFoundError: No run lies in ``folder``.
        ValueError: Settings or progress that are damaged, or of another version.
    """
    if not (folder / SETTINGS).is_file():
        several = " but those of a sweep: call it again, and it goes on" if _holds(folder) else ""
        raise FileNotFoundError(f"resume: no run lies in {folder} ({SETTINGS} is missing){several}")
    config = read_settings(TrainConfig, folder / SETTINGS)
    config.check()
    return _train(config, read(config), folder)


def _holds(folder: Path) -> bool:
    """Whether the folders of runs lie in it."""
    return any(folder.glob(f"*/{SETTINGS}"))


def read(config: TrainConfig) -> Recordings:
    """The recordings that a run is trained on."""
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
        average=config.average,
        unshift=config.unshift,
    )


def _train(config: TrainConfig, recordings: Recordings, folder: Path) -> TrainResult:
    torch.set_num_threads(config.threads)
    model, training = fit_recordings(config, recordings, folder / PROGRESS)
    if not is_first_process():
        raise SystemExit(0)  # the first one evaluates and writes
    return finish(config, recordings, folder, model, training)


def finish(
    config: TrainConfig,
    recordings: Recordings,
    folder: Path,
    model: PHCSSM | Ensemble,
    training: TrainingResult,
) -> TrainResult:
    """Evaluate a trained model and write the results, as `train` says."""
    kept = {"data": config.data, "classes": recordings.classes, **recordings.about}
    save_model(model, folder, **kept)
    solvers = {"parallel": config.make_solver(), "sequential": Sequential()}
    modes = {name: evaluate(model, recordings.test, solver) for name, solver in solvers.items()}
    result = TrainResult(folder, model, modes, training)
    write_json(folder / REPORT, {**report(config, result), "data": recordings.about})
    return result


def fit_recordings(
    config: TrainConfig, recordings: Recordings, progress: Path | None = None
) -> tuple[PHCSSM | Ensemble, TrainingResult]:
    """A network or an ensemble, trained on the training part of ``recordings``, and how it ended.

    Args:
        config: Of the training.
        recordings: What to train on, and to choose the best epoch by.
        progress: Folder to keep the progress in, and to go on from; None for nowhere.
    """
    from phc_snn.training.lightning import Machines, fit_loader

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
        config.make_optimization(),
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


def make_model(config: TrainConfig, recordings: Recordings) -> PHCSSM | Ensemble:
    """The untrained network for these recordings, or the ensemble."""
    generator = torch.Generator().manual_seed(config.seed)
    members = [_make_network(config, recordings, generator, i) for i in range(config.members)]
    return members[0] if len(members) == 1 else Ensemble(members)


def _make_network(
    config: TrainConfig, recordings: Recordings, generator: torch.Generator, member: int
) -> PHCSSM:
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
        delay=config.make_delays(member),
        plasticity=config.plasticity,
        release=config.release,
        dale=None if config.dale == "none" else config.dale,
        drive_transform=config.drive_transform,
        solver=config.make_solver(),
        label_smoothing=config.label_smoothing,
        rate_target=config.rate_target,
        rate_weight=config.rate_weight,
        voltage_weight=config.voltage_weight,
        generator=generator,
    )


@torch.no_grad()
def evaluate(
    model: PHCSSM | Ensemble, recordings: Any, solver: Solver, batch_size: int = _AT_ONCE
) -> Evaluation:
    """Accuracy of ``solver`` on recordings, items (x (T, D_in), label)."""
    began = time.perf_counter()
    decisions: list[int] = []
    labels: list[int] = []
    weight = next(model.parameters())
    for batch in event_loader(recordings, batch_size=batch_size):
        x, lengths, wanted = batch[:3]
        x = x.to(weight)  # where, and in the precision in which, it was trained
        lengths = lengths.to(weight.device)
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
