"""Frames of events as `train` takes them: moved about, and scaled."""

import math

import torch
from torch import Tensor
from torch.utils.data import Dataset

from phc_snn.data import EventDataset


class ShiftedFrames(Dataset[tuple[Tensor, int]]):
    """Frames of another data set, which training moves by up to ``cells`` in every direction.

    `drawn` gives a recording at a place of its own; what leaves the frame is lost, and what comes
    in is empty. Few recordings then serve as many.
    """

    def __init__(self, dataset: EventDataset, cells: int) -> None:
        self.dataset, self.cells = dataset, cells

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.dataset[index]

    def drawn(self, index: int, generator: torch.Generator) -> tuple[Tensor, int]:
        frames, label = self.dataset[index]
        axes = min(frames.dim() - 1, 2)  # height and width of a camera, the units of audio
        places = torch.randint(2 * self.cells + 1, (axes,), generator=generator).tolist()
        moved = torch.nn.functional.pad(frames, [self.cells] * (2 * axes))
        for axis, (place, size) in enumerate(zip(places, frames.shape[-axes:], strict=True)):
            moved = moved.narrow(axis - axes, place, size)
        return moved, label


class ScaledFrames(Dataset[tuple[Tensor, int]]):
    """Frames, flattened, as ``log(1 + count) / scale``.

    The logarithm keeps a few cells that see very many events from drowning the others. A cell
    without events stays 0: most are, and their silence is no signal. How many events a frame has in
    all hardly matters, because the encoder normalises each step.
    """

    def __init__(self, dataset: EventDataset | ShiftedFrames, scale: float) -> None:
        self.dataset, self.scale = dataset, scale

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._scaled(*self.dataset[index])

    def drawn(self, index: int, generator: torch.Generator) -> tuple[Tensor, int]:
        """As the data set below draws it, if it does."""
        if isinstance(self.dataset, ShiftedFrames):
            return self._scaled(*self.dataset.drawn(index, generator))
        return self[index]

    def _scaled(self, frames: Tensor, label: int) -> tuple[Tensor, int]:
        return torch.log1p(frames.flatten(1)) / self.scale, label


def log_deviation(dataset: EventDataset) -> float:
    """Standard deviation of ``log(1 + count)`` over all cells of all frames; 1 if it is 0."""
    count = 0
    total = squares = 0.0
    for i in range(len(dataset)):
        values = torch.log1p(dataset[i][0]).double()
        count += values.numel()
        total += float(values.sum())
        squares += float(values.square().sum())
    mean = total / max(count, 1)
    variance = squares / max(count, 1) - mean**2
    return math.sqrt(variance) if variance > 0 else 1.0
