"""The loop that trains a `PHCSSM` or an `Ensemble`."""

import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from phc_snn.ensemble import Ensemble
from phc_snn.extras import require
from phc_snn.models import PHCSSM
from phc_snn.synapses import RSTDP
from phc_snn.training.lightning_callbacks import (
    BestWeights,
    EpochBar,
    EpochTable,
    KeptOnTheDevice,
    SafeFiles,
    SaveProgress,
    SumUp,
)
from phc_snn.training.lightning_module import Classifier
from phc_snn.training.optimization import Optimization
from phc_snn.training.progress import NAME, read_checkpoint
from phc_snn.training.result import TrainingResult, best_epoch
from phc_snn.training.run import Log, Precision

lightning: Any = require("lightning.pytorch", extra="train")


@dataclass(frozen=True)
class Machines:
    """Where to train, in Lightning's words.

    Attributes:
        device: Lightning's ``accelerator``: ``"cpu"``, ``"cuda"``, ``"auto"``.
        devices, nodes: Processes of a machine, and machines.
        strategy: How they share the work: ``"auto"``, ``"ddp"``, or another one of Lightning's.
        precision: Lightning's: ``"32-true"`` or ``"64-true"``.
    """

    device: str = "cpu"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    precision: Precision = "32-true"


def fit(
    model: PHCSSM | Ensemble,
    x: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    device: str = "cpu",
    seed: int = 0,
) -> TrainingResult:
    """Train in place, with a progress bar. Ctrl-C stops after the step under way.

    Args:
        model: Trained in place; moved back to the CPU at the end.
        x: (samples, T, channels).
        labels: (samples,).
        epochs, batch_size: Of the training.
        learning_rate: Of Adam at the start, falling to zero as a cosine over the training.
        device: As Lightning's ``accelerator``: ``"cpu"``, ``"cuda"``, ``"auto"``.
        seed: Of the order of the samples.
    """
    loader = DataLoader(
        TensorDataset(x, labels),
        batch_size=batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
        collate_fn=_time_first,
    )
    return fit_loader(
        model, loader, Optimization(learning_rate), epochs=epochs, machines=Machines(device)
    )


def _time_first(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, None, Tensor]:
    return torch.stack([x for x, _ in items], dim=1), None, torch.stack([y for _, y in items])


def fit_loader(
    model: PHCSSM | Ensemble,
    loader: DataLoader[Any],
    optimization: Optimization,
    *,
    epochs: int,
    rstdp: RSTDP | None = None,
    machines: Machines | None = None,
    validation: DataLoader[Any] | None = None,
    patience: int | None = None,
    folder: Path | None = None,
    seconds: float = 5.0,
    log: Log = "none",
) -> TrainingResult:
    """As `fit`, on the batches of a loader, such as `training_loader` or `event_loader` makes.

    Args:
        model: Trained in place; moved back to the CPU at the end. With ``validation`` it gets the
            weights of the best epoch, the latest of equal ones.
        loader: Of the batches that `Classifier` takes; its length is that of an epoch.
        optimization: How the weights change.
        epochs: Of the training.
        rstdp: Plasticity beside the gradient, after each of its steps; None for none.
        machines: Where; None for the CPU of this process.
        validation: Of the batches to choose the best epoch by; None for the last epoch's weights.
        patience: End after more epochs than this without a better one; None for never.
        folder: Where the training keeps how far it is, after each epoch, and goes on from; None for
            nowhere. It goes on with the same bits only if the batches are a function of the step,
            as `training_loader`'s are.
        seconds: Time from keeping that to the next time, at least.
        log: ``"csv"`` or ``"tensorboard"`` beside that, in ``logs``.
    """
    machines = Machines() if machines is None else machines
    best = BestWeights(patience)
    interrupted: list[float] = []
    callbacks: list[Any] = [SumUp(), KeptOnTheDevice(loader), EpochBar(epochs)]
    if validation is not None:
        callbacks.append(best)
    before = None
    if log == "csv" and folder is not None:
        callbacks.append(EpochTable(folder))
    if folder is not None:
        callbacks.append(SaveProgress(folder, seconds, interrupted))
        before = read_checkpoint(folder)
        if before is not None and before.get("stacked"):
            raise ValueError(
                f"resume: {folder} was begun by a sweep with the engine stacked; go on with that"
            )
    # Before anything is loaded into it: Lightning converts it only afterwards.
    if machines.precision == "64-true":
        model.double()
    module = Classifier(model, optimization, epochs * len(loader), rstdp)
    if before is not None and before["finished"]:
        _restore(module, best, before)
    else:
        logger = _logger(log, folder, 0 if before is None else len(before["losses"]))
        trainer = _trainer(machines, epochs, callbacks, logger)
        path = None if before is None or folder is None else folder / NAME
        with _stop_on_interrupt(trainer, interrupted), _quiet():
            trainer.fit(module, loader, validation, ckpt_path=path, weights_only=False)
    seconds = module.seconds
    model.cpu()
    if best.weights:
        model.load_state_dict(best.weights)
    return TrainingResult(
        len(module.losses),
        module.losses,
        bool(interrupted),
        seconds,
        module.validation,
        best_epoch(module.validation),
    )


def _trainer(machines: Machines, epochs: int, callbacks: list[Any], logger: Any) -> Any:
    with _quiet():
        return lightning.Trainer(
            max_epochs=epochs,
            accelerator=machines.device,
            devices=machines.devices,
            num_nodes=machines.nodes,
            strategy=machines.strategy,
            precision=machines.precision,
            logger=logger,
            plugins=[SafeFiles()],
            callbacks=callbacks,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )


def _restore(module: Classifier, best: BestWeights, checkpoint: dict[str, Any]) -> None:
    """Put a training that had ended where it ended."""
    module.load_state_dict(checkpoint["state_dict"])
    module.on_load_checkpoint(checkpoint)
    with suppress(KeyError):
        best.load_state_dict(checkpoint["callbacks"][best.state_key])


def _logger(log: Log, folder: Path | None, epochs: int) -> Any:
    """Lightning's logger for TensorBoard, going on after so many epochs; False for none."""
    if log != "none" and folder is None:
        raise ValueError(f"log: got {log!r} without a folder to write to; give folder")
    if log != "tensorboard":
        return False
    require("tensorboard", extra="tensorboard")
    # What a run that was cut off had written of later epochs is not shown.
    return lightning.loggers.TensorBoardLogger(
        folder, name="logs", version="", purge_step=epochs + 1
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice, and the warnings of its own internals, off the user's screen."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=r".*LeafSpec.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _stop_on_interrupt(trainer: Any, received: list[float]) -> Iterator[None]:
    """Let a first Ctrl-C end the training after its step; a second one acts as usual.

    Lightning itself answers Ctrl-C with sys.exit, and the trained weights would be lost. When it
    came is noted in ``received``.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        # One key press can arrive twice: from the terminal, and passed on by a launcher.
        if received and now - received[0] > 1.0:
            signal.signal(signal.SIGINT, previous)
            raise KeyboardInterrupt
        received.append(now)
        trainer.should_stop = True

    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread; a caller's own handling stands
        return
    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
