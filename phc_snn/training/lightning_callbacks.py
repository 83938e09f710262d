"""What is done between the epochs of a training: kept, chosen, shown."""

import math
import time
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from phc_snn.extras import require
from phc_snn.files import write_text
from phc_snn.training.batches import OfEqualLength
from phc_snn.training.lightning_module import Classifier
from phc_snn.training.progress import read_checkpoint, write_checkpoint
from phc_snn.training.result import waited

lightning: Any = require("lightning.pytorch", extra="train")
_plugins: Any = require("lightning.pytorch.plugins.io", extra="train")

_ON_THE_GPU = 4 << 30
"""Bytes of recordings that a GPU keeps at most."""


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
        if self.patience is not None and waited(found) > self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights = state["weights"]


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


class EpochTable(lightning.Callback):  # type: ignore[misc]
    """``metrics.csv``: a line for each epoch, those before a training was cut off included."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "logs" / "metrics.csv"

    def on_train_epoch_end(self, trainer: Any, module: Classifier) -> None:
        if not trainer.is_global_zero or not module.losses:
            return
        rows = [{"epoch": i, **module.measured(i)} for i in range(1, len(module.losses) + 1)]
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        write_text(self.path, "\n".join(lines) + "\n")


class KeptOnTheDevice(lightning.Callback):  # type: ignore[misc]
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
        if not module.losses:  # Ctrl-C came before the first step
            return
        found = f"training loss {module.losses[-1]:.3f}  accuracy {module.accuracies[-1]:.3f}"
        if module.validation:
            found += f"  validation {module.validation[-1]:.3f}"
        self.bar.update(self.task, advance=1, found=found)

    def teardown(self, trainer: Any, module: Classifier, stage: str) -> None:
        self.bar.stop()
