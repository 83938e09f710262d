"""A `PHCSSM` as a Lightning module, and the loop that trains it."""

import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from phc_snn.extras import require
from phc_snn.models import PHCSSM

lightning: Any = require("lightning.pytorch", extra="train")


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        epochs: Epochs; the last one may have been cut short by Ctrl-C.
        losses: Mean training loss of each.
        interrupted: Stopped by Ctrl-C; the model holds the weights of the last step.
        seconds: Time of the training.
    """

    epochs: int
    losses: list[float]
    interrupted: bool
    seconds: float


class Classifier(lightning.LightningModule):  # type: ignore[misc]
    """Adam on `PHCSSM.loss`, the learning rate falling to zero as a cosine over the training.

    Batches begin with (x (T, B, channels), lengths (B,) or None, labels (B,)), as an `EventBatch`
    of flattened frames does.
    """

    def __init__(
        self,
        model: PHCSSM,
        learning_rate: float,
        steps: int,
        *,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self.learning_rate = learning_rate
        self.steps = steps
        self.dropout = dropout
        self.generator = torch.Generator().manual_seed(seed)
        self.losses: list[float] = []
        self._epoch: list[Tensor] = []

    def training_step(self, batch: Sequence[Any], _: int) -> Tensor:
        x, lengths, labels = batch[:3]
        if self.dropout:
            kept = torch.rand(x.shape, generator=self.generator) >= self.dropout
            x = x * kept.to(x.device) / (1.0 - self.dropout)
        output = self.model(x, lengths=lengths)
        loss = self.model.loss(output, labels)
        if not bool(torch.isfinite(loss)):
            raise ValueError(
                f"learning_rate: {self.learning_rate:g} made the loss {float(loss.detach())} in "
                f"epoch {self.current_epoch + 1}; use a smaller one"
            )
        accuracy = (output.logits.argmax(-1) == labels).float().mean()
        self.log("loss", loss, on_step=False, on_epoch=True)
        self.log("accuracy", accuracy, on_step=False, on_epoch=True)
        self._epoch.append(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        self.losses.append(float(torch.stack(self._epoch).mean()))
        self._epoch.clear()

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        self.model.connectome.project_after(optimizer)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(self.steps, 1))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def fit(
    model: PHCSSM,
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
        epochs, batch_size, learning_rate: Of the training; see `Classifier`.
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
    return fit_loader(model, loader, epochs=epochs, learning_rate=learning_rate, device=device)


def _time_first(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, None, Tensor]:
    return torch.stack([x for x, _ in items], dim=1), None, torch.stack([y for _, y in items])


def fit_loader(
    model: PHCSSM,
    loader: Any,
    *,
    epochs: int,
    learning_rate: float,
    dropout: float = 0.0,
    device: str = "cpu",
    seed: int = 0,
) -> TrainingResult:
    """As `fit`, on the batches of a loader, such as `phc_snn.data.event_loader` makes.

    Args:
        model: Trained in place; moved back to the CPU at the end.
        loader: Of the batches that `Classifier` takes; it has a length.
        epochs, learning_rate: Of the training.
        dropout: Share of the input values that each training step sets to zero. Default 0.
        device: As `fit`.
        seed: Of the dropout.
    """
    module = Classifier(model, learning_rate, epochs * len(loader), dropout=dropout, seed=seed)
    with _quiet():
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator=device,
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            callbacks=[EpochBar(epochs)],
        )
    began = time.perf_counter()
    with _stop_on_interrupt(trainer) as interrupted, _quiet():
        trainer.fit(module, loader)
    seconds = time.perf_counter() - began
    model.cpu()
    return TrainingResult(len(module.losses), module.losses, bool(interrupted), seconds)


class EpochBar(lightning.Callback):  # type: ignore[misc]
    """One rich progress bar over all epochs, with loss and training accuracy.

    Lightning's own bars start anew in each epoch, which here takes a tenth of a second.
    """

    def __init__(self, epochs: int) -> None:
        progress = require("rich.progress", extra="cli")
        self.bar = progress.Progress(
            progress.TextColumn("Training"),
            progress.BarColumn(bar_width=20),
            progress.TextColumn("epoch {task.completed}/{task.total}"),
            progress.TextColumn(
                "training loss {task.fields[loss]}  accuracy {task.fields[accuracy]}"
            ),
            progress.TimeRemainingColumn(),
        )
        self.task = self.bar.add_task("", total=epochs, loss="-", accuracy="-")

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.bar.start()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        metrics = {
            name: f"{float(trainer.callback_metrics[name]):.3f}" for name in ("loss", "accuracy")
        }
        self.bar.update(self.task, advance=1, **metrics)

    def teardown(self, trainer: Any, module: Any, stage: str) -> None:
        self.bar.stop()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice, and the warnings of its own internals, off the user's screen."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=r".*LeafSpec.*")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _stop_on_interrupt(trainer: Any) -> Iterator[list[float]]:
    """Let a first Ctrl-C end the training after its step; a second one acts as usual.

    Lightning itself answers Ctrl-C with sys.exit, and the trained weights would be lost.
    """
    received: list[float] = []

    def stop(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        # One key press can arrive twice: from the terminal, and passed on by a launcher.
        if received and now - received[0] > 1.0:
            signal.signal(signal.SIGINT, previous)
            raise KeyboardInterrupt
        received.append(now)
        trainer.should_stop = True

    if threading.current_thread() is not threading.main_thread():
        yield received  # signals belong to the main thread; a caller's own handling stands
        return
    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, previous)
