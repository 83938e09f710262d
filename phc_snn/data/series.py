"""Labelled time series, split in parts, of one length or each of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from phc_snn.checks import check_positive

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

        return replace(
            self._mapped(lambda x: (x - mean) / scale),
            mean=self.mean + self.scale * mean,
            scale=self.scale * scale,
        )

    def averaged(self, steps: int) -> "TimeSeriesDataset":
        """Every ``steps`` steps as their mean, and what is left over at the end as its own mean.

        A sequence of T steps then has ``ceil(T / steps)``.

        Raises:
            ValueError: ``steps`` is not a positive integer.
        """
        check_positive("steps", steps)
        return self._mapped(lambda x: _averaged(x, steps))

    def unshifted(self) -> "TimeSeriesDataset":
        """Of a set whose C channels are one row at C delays: the whole recordings in that row.

        In some sets of the archive, SelfRegulationSCP1 and MotorImagery among them, channel c is
        what an array of electrodes, one behind the other, holds from ``c * C`` on: the array was
        read with C in the place of T. Its whole stretches of T are electrodes; what is left of
        another one is dropped. One channel remains of SelfRegulationSCP1, two of MotorImagery.

        Raises:
            ValueError: A set that is not so, that was scaled, or of sequences that differ in
                length.

        Example:
            >>> array = torch.arange(8.0)  # of electrodes of T = 4 steps
            >>> x = torch.stack([array[:4], array[2:6]], dim=-1)[None]  # C = 2
            >>> y, zero, one = torch.zeros(1).long(), torch.zeros(2), torch.ones(2)
            >>> dataset = TimeSeriesDataset("made", ("a",), x, y, x, y, mean=zero, scale=one)
            >>> dataset.unshifted().train_x.flatten().tolist()
            [0.0, 1.0, 2.0, 3.0]
        """
        if bool((self.mean != 0).any() or (self.scale != 1).any()):
            raise ValueError(f"unshifted: {self.name} was scaled; scale it afterwards")
        found = self._mapped(lambda x: _unshifted(self.name, x))
        channels = found.channels
        return replace(found, mean=torch.zeros(channels), scale=torch.ones(channels))

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> "TimeSeriesDataset":
        """All sequences changed; ``change`` takes and returns (..., T, channels)."""

        def changed(x: Sequences) -> Sequences:
            return change(x) if isinstance(x, Tensor) else tuple(change(one) for one in x)

        return replace(
            self,
            train_x=changed(self.train_x),
            test_x=changed(self.test_x),
            validation_x=None if self.validation_x is None else changed(self.validation_x),
        )


def _averaged(x: Tensor, steps: int) -> Tensor:
    parts = x.split(steps, dim=-2)  # type: ignore[no-untyped-call]
    return torch.stack([part.mean(-2) for part in parts], dim=-2)


def row_of_windows(x: Tensor) -> Tensor:
    """(..., T + (C - 1) * C) of (..., T, C), whose channel c is what the row holds from c * C on.

    Example:
        >>> row_of_windows(torch.tensor([[0, 2], [1, 3], [2, 4], [3, 5]])).tolist()
        [0, 1, 2, 3, 4, 5]
    """
    channels = x.shape[-1]
    ends = [x[..., -channels:, c] for c in range(1, channels)]
    return torch.cat([x[..., 0], *ends], dim=-1)


def _unshifted(name: str, x: Tensor) -> Tensor:
    """(..., T, electrodes) of (..., T, C)."""
    steps, channels = x.shape[-2:]
    shifted = 1 < channels < steps and torch.equal(x[..., :-channels, 1:], x[..., channels:, :-1])
    if not shifted:
        raise ValueError(
            f"unshifted: {name} is not a set whose channels are one row, each {channels} steps "
            "(their number) after the one before; leave it as it is"
        )
    row = row_of_windows(x)
    electrodes = row.shape[-1] // steps
    whole = row[..., : electrodes * steps]
    return whole.reshape(*row.shape[:-1], electrodes, steps).mT.contiguous()


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
