"""Recordings of different lengths as one padded batch that knows how long each of them is."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from phc_snn.checks import check_positive
from phc_snn.padding import own_steps


class EventBatch(NamedTuple):
    """Padded frames, and what is padding.

    Attributes:
        frames: (T, B, ...), zero after a recording's end; (B, T, ...) with ``batch_first``.
        lengths: (B,) steps of each recording, int64.
        labels: (B,) class numbers, int64.
        batch_first: Which of the two ``frames`` is. Default False.
    """

    frames: Tensor
    lengths: Tensor
    labels: Tensor
    batch_first: bool = False

    @property
    def mask(self) -> Tensor:
        """True on a recording's own steps: (T, B), or (B, T) with ``batch_first``."""
        own = own_steps(self.lengths, self.frames.shape[int(self.batch_first)])
        return own.T if self.batch_first else own


def collate_events(items: Sequence[tuple[Tensor, int]], *, batch_first: bool = False) -> EventBatch:
    """Pad recordings to the longest of them.

    Args:
        items: (frames (T, ...), label) of each recording.
        batch_first: Give frames (B, T, ...) instead of (T, B, ...). Default False.

    Raises:
        ValueError: No recordings, or frames of different shapes.

    Example:
        >>> import torch
        >>> batch = collate_events([(torch.ones(3, 2), 0), (torch.ones(1, 2), 1)])
        >>> batch.frames.shape, batch.lengths.tolist()
        (torch.Size([3, 2, 2]), [3, 1])
        >>> batch.mask.int()
        tensor([[1, 1],
                [1, 0],
                [1, 0]], dtype=torch.int32)
    """
    if not len(items):
        raise ValueError("items: got none, expected at least one recording")
    frames = [frames for frames, _ in items]
    shapes = sorted({tuple(f.shape[1:]) for f in frames})
    if len(shapes) > 1:
        raise ValueError(f"items: got frames of the shapes {shapes}, expected one for all")
    return EventBatch(
        pad_sequence(frames, batch_first=batch_first),
        torch.tensor([len(f) for f in frames]),
        torch.tensor([label for _, label in items]),
        batch_first,
    )


def event_loader(
    dataset: Dataset[tuple[Tensor, int]],
    *,
    batch_size: int,
    shuffle: bool = False,
    generator: torch.Generator | None = None,
    batch_first: bool = False,
    workers: int = 0,
) -> DataLoader[tuple[Tensor, int]]:
    """A `torch.utils.data.DataLoader` of `EventBatch`.

    Args:
        dataset: As `load_events` returns; any data set of (frames (T, ...), label).
        batch_size: Recordings in a batch; the last batch may have fewer.
        shuffle: Draw the recordings in a new order each time. Default False.
        generator: Source of that order; torch's default one if None.
        batch_first: As `collate_events`.
        workers: Processes that read ahead. Default 0: read in this one.

    Raises:
        ValueError: A batch size below 1.
    """
    check_positive("batch_size", batch_size)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle,
        generator=generator,
        num_workers=workers,
        collate_fn=partial(collate_events, batch_first=batch_first),
    )
