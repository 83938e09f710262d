"""How a training ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field


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


def best_epoch(validation: Sequence[float]) -> int | None:
    """The epoch of the best accuracy, counted from 1, the latest of equal ones; None of none."""
    best = [i for i, accuracy in enumerate(validation, 1) if accuracy == max(validation)]
    return best[-1] if best else None


def waited(validation: Sequence[float]) -> int:
    """Validations since the first one of the best accuracy; 0 of none."""
    return len(validation) - 1 - validation.index(max(validation)) if validation else 0
