"""What each training step is given, as a function of its number: nothing else is remembered.

So a training that is cut off at any step goes on as if nothing had happened, and processes that
share a batch agree on it without a word.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from phc_snn.data import EventBatch, collate_events

Key = tuple[int, int]
"""A recording's number, and how often all have been seen before."""


def draws(*numbers: int) -> torch.Generator:
    """A source of random numbers that hangs on these numbers alone."""
    (state,) = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state) >> 1)


class StepSampler(Sampler[list[Key]]):
    """The recordings of each step: a new order for each pass over all of them.

    A pass ends with a batch of what is left, which may be smaller. With several processes each gets
    its part of every batch.

    Args:
        size: Number of recordings.
        batch_size: Recordings in a step, over all processes.
        seed: Of the orders.
        steps: Steps of an epoch; None for one pass.

    Attributes:
        epoch: Which one is iterated over; Lightning sets it.
    """

    def __init__(self, size: int, batch_size: int, seed: int, steps: int | None = None) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.in_pass = math.ceil(size / batch_size)
        self.steps = self.in_pass if steps is None else steps
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[Key]]:
        rank, processes = _place()
        smallest = self.size - (self.in_pass - 1) * self.batch_size
        if smallest < processes:
            raise ValueError(
                f"batch_size: got {self.batch_size}, which leaves {smallest} of {self.size} "
                f"recordings for the last batch of a pass, fewer than the {processes} processes "
                "that share it; choose another one"
            )
        order, of = [0], -1
        for step in range(self.epoch * self.steps, (self.epoch + 1) * self.steps):
            seen, place = divmod(step, self.in_pass)
            if seen != of:
                order = torch.randperm(self.size, generator=draws(self.seed, seen)).tolist()
                of = seen
            batch = order[place * self.batch_size : (place + 1) * self.batch_size]
            yield [(index, seen) for index in batch[rank::processes]]


def _place() -> tuple[int, int]:
    """This process's number, and how many share a batch."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class Augmented(Dataset[EventBatch]):
    """Batches of recordings, each with what training does to it; asked for by lists of `Key`.

    What is drawn for a recording hangs on the seed, the recording and the pass.

    Args:
        dataset: Items ``(x (T, D_in), label)``. One that draws has ``drawn(index, generator)``.
        dropout: Share of the values that are set to zero; the others grow to make up for it.
        seed: Of what is drawn.
    """

    def __init__(self, dataset: Dataset[Any], dropout: float = 0.0, seed: int = 0) -> None:
        self.dataset, self.dropout, self.seed = dataset, dropout, seed

    def __getitem__(self, keys: Sequence[Key]) -> EventBatch:
        return collate_events([self._item(*key) for key in keys])

    def _item(self, index: int, seen: int) -> tuple[Tensor, int]:
        drawn = getattr(self.dataset, "drawn", None)
        if drawn is None and not self.dropout:
            return self.dataset[index]  # type: ignore[no-any-return]
        generator = draws(self.seed, seen, index)
        x, label = self.dataset[index] if drawn is None else drawn(index, generator)
        if self.dropout:
            kept = torch.rand(x.shape, generator=generator, dtype=x.dtype) >= self.dropout
            x = x * kept / (1.0 - self.dropout)
        return x, label


class OfEqualLength(Dataset[tuple[Tensor, None, Tensor]]):
    """Batches of recordings that are one tensor, which a GPU can hold; no padding.

    Args:
        x: (samples, T, D_in).
        labels: (samples,).
    """

    def __init__(self, x: Tensor, labels: Tensor) -> None:
        self.x, self.labels = x.transpose(0, 1).contiguous(), labels

    def to(self, device: torch.device) -> None:
        """Keep the recordings on ``device`` from now on."""
        self.x, self.labels = self.x.to(device), self.labels.to(device)

    def __getitem__(self, keys: Sequence[Key]) -> tuple[Tensor, None, Tensor]:
        chosen = torch.tensor([index for index, _ in keys], device=self.x.device)
        return self.x[:, chosen], None, self.labels[chosen]


def training_loader(
    dataset: Dataset[Any],
    *,
    batch_size: int,
    seed: int,
    steps: int | None = None,
    dropout: float = 0.0,
) -> DataLoader[Any]:
    """The batches of each training step; see `StepSampler` and `Augmented`."""
    batches: Dataset[Any] = Augmented(dataset, dropout, seed)
    if isinstance(dataset, TensorDataset) and not dropout:
        batches = OfEqualLength(*dataset.tensors)
    sampler = StepSampler(len(dataset), batch_size, seed, steps)  # type: ignore[arg-type]
    return DataLoader(batches, batch_size=None, sampler=sampler)
