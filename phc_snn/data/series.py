"""Labelled time series, split in parts, of one length or each of its own."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

Sequences = Tensor | tuple[Tensor, ...]
"""(samples, T, channels) where all have one length; otherwise (T, channels) of each sample."""


@dataclass(frozen=True)
class TimeSeriesDataset:
    """Labelled sequences, split in training, test and, where there is one, validation part.

    Attributes:
        name: Name of the set.
        classes: Class names, in the order of the label numbers.
        train_x, test_x: Float32. (samples, T, channels) where all sequences of the set have one
            length, otherwise a tuple of (T, channels), each sample of its own length T.
        train_y, test_y: (samples,) class numbers, int64.
        mean, scale: (channels,) what has been subtracted from the raw data, and then divided by.
        validation_x, validation_y: As the other parts; None (default) without such a part.
        missing: Part -> samples that belong to it but are not at hand. Empty (default) if the set
            is complete.
    """

    name: str
    classes: tuple[str, ...]
    train_x: Sequences
    train_y: Tensor
    test_x: Sequences
    test_y: Tensor
    mean: Tensor
    scale: Tensor
    validation_x: Sequences | None = None
    validation_y: Tensor | None = None
    missing: dict[str, int] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Values of a step."""
        return self.train_x[0].shape[-1]

    def standardized(self) -> "TimeSeriesDataset":
        """Each channel shifted and scaled to mean 0 and variance 1 over the training samples.

        Over all their steps: of sequences of different lengths, long ones count more. No other part
        is looked at.
        """
        # Sequences of different lengths, one after the other, are one long sample.
        x = self.train_x
        x = x if isinstance(x, Tensor) else torch.cat(x)[None]
        mean = x.mean(dim=(0, 1))
        spread = x.std(dim=(0, 1))
        # A channel that is constant in training stays as it is: any scale would be an invention.
        constant = spread <= 1e-6 * x.abs().amax(dim=(0, 1))
        return self.scaled(mean, torch.where(constant, torch.ones_like(spread), spread))

    def scaled(self, mean: Tensor, scale: Tensor) -> "TimeSeriesDataset":
        """``(x - mean) / scale`` for each channel; ``mean`` and ``scale`` are (channels,)."""

        def scaled(x: Sequences) -> Sequences:
            if isinstance(x, Tensor):
                return (x - mean) / scale
            return tuple((one - mean) / scale for one in x)

        return replace(
            self,
            train_x=scaled(self.train_x),
            test_x=scaled(self.test_x),
            validation_x=None if self.validation_x is None else scaled(self.validation_x),
            mean=self.mean + self.scale * mean,
            scale=self.scale * scale,
        )


def stacked(x: Sequences) -> Tensor:
    """Sequences of one length as the tensor (samples, T, channels) that they are.

    Raises:
        ValueError: Sequences of different lengths.

    Example:
        >>> stacked(torch.zeros(3, 5, 2)).shape
        torch.Size([3, 5, 2])
    """
    if isinstance(x, Tensor):
        return x
    lengths = [len(one) for one in x]
    raise ValueError(
        f"data: got sequences of {min(lengths)} to {max(lengths)} steps, expected one length for "
        "all; phc-snn train takes sequences of any length"
    )
