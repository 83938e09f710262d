"""A `PHCSSM` as a Lightning module, and the loop that trains it."""

import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from phc_snn.extras import require
from phc_snn.files import write_text
from phc_snn.models import PHCSSM
from phc_snn.readout import weighted_mean
from phc_snn.synapses import RSTDP
from phc_snn.training.batches import OfEqualLength
from phc_snn.training.graphed import GraphedStep
from phc_snn.training.progress import NAME, read_checkpoint, write_checkpoint
from phc_snn.training.run import Log, Precision, Schedule

lightning: Any = require("lightning.pytorch", extra="train")
_plugins: Any = require("lightning.pytorch.plugins.io", extra="train")

_HISTORY = ("losses", "accuracies", "validation")
"""What a `Classifier` knows of the epochs before."""

_ON_THE_GPU = 4 << 30
"""Bytes of recordings that a GPU keeps at most."""


@dataclass(frozen=True)
class Optimization:
    """How each step changes the weights.

    Attributes:
        learning_rate: Of Adam, at the start.
        schedule: ``"cosine"``, falling to zero over the training, or ``"constant"``.
        weight_decay: Share of each weight that goes for each unit of learning rate (AdamW).
        clip: Norm to which the gradient is cut; None for not at all.
    """

    learning_rate: float
    schedule: Schedule = "cosine"
    weight_decay: float = 0.0
    clip: float | None = None


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


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        epochs: Epochs; the last one may have been cut short by Ctrl-C.
        losses: Mean training loss of each.
        interrupted: Stopped by Ctrl-C; the model holds the weights of the last step, or the best.
        seconds: Time of the training.
        validation: Accuracy on the validation part after each epoch; none without one.
        best_epoch: The one whose weights the model holds, counted from 1; None without validation.
    """

    epochs: int
    losses: list[float]
    interrupted: bool
    seconds: float
    validation: list[float] = field(default_factory=list)
    best_epoch: int | None = None


class Classifier(lightning.LightningModule):  # type: ignore[misc]
    """Adam on `PHCSSM.loss`.

    Batches begin with (x (T, B, channels), lengths (B,) or None, labels (B,)), as an `EventBatch`
    of flattened frames does. On a GPU the step is recorded once and replayed (`GraphedStep`), where
    batches have one length. With several processes the loss is that of the whole batch.

    Args:
        model: Trained in place.
        optimization: See there.
        steps: Of the whole training, for the schedule.
        rstdp: Changes the weights after each step of the optimiser, by the batch's accuracy.
    """

    def __init__(
        self,
        model: PHCSSM,
        optimization: Optimization,
        steps: int,
        rstdp: RSTDP | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.optimization = optimization
        self.steps = steps
        self.rstdp = rstdp
        self.losses: list[float] = []
        self.validation: list[float] = []
        self.accuracies: list[float] = []
        self._epoch: list[Tensor] = []
        self._right: list[Tensor] = []
        self._seen = 0
        self._graphed: GraphedStep[tuple[Tensor, Tensor]] | None = None

    def configure_optimizers(self) -> Any:
        given = self.optimization
        options: dict[str, Any] = {"lr": given.learning_rate, "weight_decay": given.weight_decay}
        if self.device.type == "cuda":
            # A recorded step reads the rate anew only if it is a tensor.
            rate = torch.tensor(given.learning_rate, device=self.device)
            options |= {"lr": rate, "capturable": True}
        make = torch.optim.AdamW if given.weight_decay else torch.optim.Adam
        optimizer = make(self.parameters(), **options)
        self.model.connectome.project_after(optimizer)
        if given.schedule == "constant":
            return optimizer
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(self.steps, 1))
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_train_start(self) -> None:
        alone = self.trainer.world_size == 1
        self._graphed = GraphedStep(self._step) if self.device.type == "cuda" and alone else None

    def training_step(self, batch: Sequence[Any], _: int) -> None:
        x, lengths, labels = batch[:3]
        if self._graphed is not None and lengths is None:
            loss, right = self._graphed(x, labels)
        else:
            loss, right = self._step(x, labels, lengths)
        if not loss.is_cuda:
            self._check(loss)
        self._epoch.append(loss)
        self._right.append(right)
        self._seen += len(labels)
        schedule = self.lr_schedulers()
        if schedule is not None:
            schedule.step()

    def _step(
        self, x: Tensor, labels: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step of the optimiser: the loss, and how many decisions were right."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        optimizer.zero_grad()
        output = self.model(x, lengths=lengths)
        across = mean_of_processes if self.trainer.world_size > 1 else None
        loss = self.model.loss(output, labels, across=across)
        self.manual_backward(loss)
        if self.optimization.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.optimization.clip)
        optimizer.step()
        right = output.logits.detach().argmax(-1) == labels
        if self.rstdp is not None:
            accuracy = weighted_mean(right.to(x.dtype).mean(), len(labels), across)
            reward = self.rstdp.reward(accuracy, self.model.num_classes)
            spikes = output.solution.spikes.detach()
            self.rstdp.update(self.model.connectome, spikes, reward, lengths, across=across)
        return loss.detach(), right.sum()

    def end_epoch(self) -> None:
        """Sum up the epoch."""
        if not self._epoch:  # Ctrl-C came before its first step
            return
        losses = torch.stack(self._epoch).cpu()
        for loss in losses:
            self._check(loss)
        self.losses.append(float(losses.mean()))
        right = torch.stack(self._right).sum()
        counts = torch.stack([right, torch.full_like(right, self._seen)])
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(counts)
        self.accuracies.append(float(counts[0] / counts[1].clamp(min=1)))
        self._epoch.clear()
        self._right.clear()
        self._seen = 0
        for logger in self.trainer.loggers:
            logger.log_metrics(self.measured(len(self.losses)), step=len(self.losses))
            logger.save()

    def measured(self, epoch: int) -> dict[str, float]:
        """What was measured in an epoch, counted from 1."""
        found = {"loss": self.losses[epoch - 1], "accuracy": self.accuracies[epoch - 1]}
        if self.validation:
            found["validation"] = self.validation[epoch - 1]
        return found

    def _check(self, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            rate, epoch = self.optimization.learning_rate, self.current_epoch + 1
            raise ValueError(
                f"learning_rate: {rate:g} made the loss {float(loss)} in epoch {epoch}; use a "
                "smaller one"
            )

    def ends_here(self) -> bool:
        """Whether no epoch follows."""
        last = self.current_epoch + 1 >= self.trainer.max_epochs
        return bool(last or self.trainer.should_stop)

    def on_validation_epoch_start(self) -> None:
        self._decided: list[Tensor] = []

    def validation_step(self, batch: Sequence[Any], _: int) -> None:
        x, lengths, labels = batch[:3]
        self._decided.append(self.model(x, lengths=lengths).logits.argmax(-1) == labels)

    def on_validation_epoch_end(self) -> None:
        self.validation.append(float(torch.cat(self._decided).double().mean()))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name in _HISTORY:
            checkpoint[name] = getattr(self, name)
        checkpoint["finished"] = self.ends_here()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name in _HISTORY:
            setattr(self, name, checkpoint[name])


def mean_of_processes(x: Tensor) -> Tensor:
    """The mean of ``x`` over all processes; its gradient is that of this one's part.

    Lightning's strategies average the gradients of all processes, and so it is that of the mean.
    """
    total = x.detach().clone()
    torch.distributed.all_reduce(total)
    return x + (total / torch.distributed.get_world_size() - x.detach())


class BestWeights(lightning.Callback):  # type: ignore[misc]
    """Keeps the weights of the best validation accuracy, the latest of equal ones.

    All but the weights follows from the accuracies so far, which a training that was cut off knows:
    Lightning's own early stopping has a state, and settles it after the epoch has been kept.

    Args:
        patience: End after more validations than this without a better one; None for never.
    """

    def __init__(self, patience: int | None = None) -> None:
        self.patience = patience
        self.weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: Any, module: Classifier) -> None:
        found = module.validation
        if found[-1] == max(found):
            self.weights = {n: t.detach().clone() for n, t in module.model.state_dict().items()}
        waited = len(found) - 1 - found.index(max(found))
        if self.patience is not None and waited > self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights = state["weights"]


def best_epoch(validation: Sequence[float]) -> int | None:
    """The epoch of the best accuracy, counted from 1, the latest of equal ones; None of none."""
    best = [i for i, accuracy in enumerate(validation, 1) if accuracy == max(validation)]
    return best[-1] if best else None


class SumUp(lightning.Callback):  # type: ignore[misc]
    """Ends the epoch before the other callbacks look at it; the module's own hook comes after."""

    def on_train_epoch_end(self, trainer: Any, module: Classifier) -> None:
        module.end_epoch()


class SaveProgress(lightning.Callback):  # type: ignore[misc]
    """Keeps where the training stands after an epoch, but one that Ctrl-C has cut short.

    Args:
        folder: Where.
        seconds: Time from one to the next at least; the last epoch is always kept.
        interrupted: Not empty after Ctrl-C.
    """

    def __init__(self, folder: Path, seconds: float, interrupted: list[float]) -> None:
        self.folder, self.seconds, self.interrupted = folder, seconds, interrupted
        self._last = -math.inf

    def on_train_epoch_end(self, trainer: Any, module: Classifier) -> None:
        if self.interrupted:
            return
        due = time.monotonic() - self._last >= self.seconds
        # All processes take part in it, and so all have to agree.
        if trainer.strategy.broadcast(due) or module.ends_here():
            trainer.save_checkpoint(self.folder / f"epoch-{trainer.current_epoch + 1}")
            self._last = time.monotonic()


class SafeFiles(_plugins.CheckpointIO):  # type: ignore[misc]
    """Lightning's checkpoints as safetensors and JSON, see `phc_snn.training.progress`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        write_checkpoint(checkpoint, Path(path).parent, Path(path).name)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        found = read_checkpoint(Path(path).parent)
        if found is None:
            raise FileNotFoundError(f"resume: {path} does not exist")
        return found

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


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
    model: PHCSSM,
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
    callbacks: list[Any] = [SumUp(), _KeptOnTheDevice(loader), EpochBar(epochs)]
    if validation is not None:
        callbacks.append(best)
    before = None
    if log == "csv" and folder is not None:
        callbacks.append(EpochTable(folder))
    if folder is not None:
        callbacks.append(SaveProgress(folder, seconds, interrupted))
        before = read_checkpoint(folder)
    # Before anything is loaded into it: Lightning converts it only afterwards.
    if machines.precision == "64-true":
        model.double()
    module = Classifier(model, optimization, epochs * len(loader), rstdp)
    began = time.perf_counter()
    if before is not None and before["finished"]:
        _restore(module, best, before)
    else:
        with _quiet():
            trainer = lightning.Trainer(
                max_epochs=epochs,
                accelerator=machines.device,
                devices=machines.devices,
                num_nodes=machines.nodes,
                strategy=machines.strategy,
                precision=machines.precision,
                logger=_logger(log, folder, 0 if before is None else len(before["losses"])),
                plugins=[SafeFiles()],
                callbacks=callbacks,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                enable_progress_bar=False,
            )
        path = None if before is None or folder is None else folder / NAME
        with _stop_on_interrupt(trainer, interrupted), _quiet():
            trainer.fit(module, loader, validation, ckpt_path=path, weights_only=False)
    seconds = time.perf_counter() - began
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


class EpochTable(lightning.Callback):  # type: ignore[misc]
    """``metrics.csv``: a line for each epoch, those before a training was cut off included."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "logs" / "metrics.csv"

    def on_train_epoch_end(self, trainer: Any, module: Classifier) -> None:
        if not trainer.is_global_zero:
            return
        rows = [{"epoch": i, **module.measured(i)} for i in range(1, len(module.losses) + 1)]
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        write_text(self.path, "\n".join(lines) + "\n")


class _KeptOnTheDevice(lightning.Callback):  # type: ignore[misc]
    """Recordings of one length stay on the GPU where they fit, and are not sent in each step."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.batches = loader.dataset

    def on_fit_start(self, trainer: Any, module: Classifier) -> None:
        batches = self.batches
        if isinstance(batches, OfEqualLength) and batches.x.nbytes <= _ON_THE_GPU:
            batches.to(module.device)


class EpochBar(lightning.Callback):  # type: ignore[misc]
    """One rich progress bar over all epochs, with loss and accuracies.

    Lightning's own bars start anew in each epoch, which here takes a tenth of a second.
    """

    def __init__(self, epochs: int) -> None:
        progress = require("rich.progress", extra="cli")
        self.bar = progress.Progress(
            progress.TextColumn("Training"),
            progress.BarColumn(bar_width=20),
            progress.TextColumn("epoch {task.completed}/{task.total}"),
            progress.TextColumn("{task.fields[found]}"),
            progress.TimeRemainingColumn(),
        )
        self.task = self.bar.add_task("", total=epochs, found="")

    def on_train_start(self, trainer: Any, module: Classifier) -> None:
        self.bar.update(self.task, completed=len(module.losses))
        if trainer.is_global_zero:
            self.bar.start()

    def on_train_epoch_end(self, trainer: Any, module: Classifier) -> None:
        found = f"training loss {module.losses[-1]:.3f}  accuracy {module.accuracies[-1]:.3f}"
        if module.validation:
            found += f"  validation {module.validation[-1]:.3f}"
        self.bar.update(self.task, advance=1, found=found)

    def teardown(self, trainer: Any, module: Classifier, stage: str) -> None:
        self.bar.stop()


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
