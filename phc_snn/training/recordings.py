"""A data set as `train` takes it: sequences of any length, standardised, with their labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from phc_snn.data import EVENT_SETS, EventDataset, load_events, load_uea

WINDOW = 10.0
"""Default time of a frame, ms."""
DOWNSAMPLE = {"nmnist": 2, "dvsgesture": 4, "shd": 5, "ssc": 5}
"""Default downsampling of each event set: 578, 2048 and 140 cells in a frame."""
_SMALLEST_SCALE = 0.05


@dataclass(frozen=True)
class Recordings:
    """Training and test part of a set.

    Attributes:
        classes: Class names, in the order of the label numbers.
        features: D_in.
        train, test: Items ``(x (T, D_in), label)``.
        about: JSON values that say how to read the set in the same way.
    """

    classes: tuple[str, ...]
    features: int
    train: Dataset[Any]
    test: Dataset[Any]
    about: dict[str, Any]


class Standardized(Dataset[tuple[Tensor, int]]):
    """Frames, flattened, as ``(log(1 + count) - mean) / scale``; mean and scale are (D_in,).

    The logarithm keeps a few cells that see very many events from drowning the others.
    """

    def __init__(self, dataset: EventDataset, mean: Tensor, scale: Tensor) -> None:
        self.dataset, self.mean, self.scale = dataset, mean, scale

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        frames, label = self.dataset[index]
        return (torch.log1p(frames.flatten(1)) - self.mean) / self.scale, label


def read_recordings(
    data: str,
    data_dir: Path | None,
    *,
    window: float | None = None,
    downsample: int | None = None,
    cache: Path | None = None,
) -> Recordings:
    """Read an event set or a set of the UEA archive.

    Mean and scale come from the training part alone.

    Args:
        data: ``"nmnist"``, ``"dvsgesture"``, ``"shd"``, ``"ssc"``, or the name of a UEA set.
        data_dir: Folder of the event sets, as `load_events` takes it, or of the UEA sets.
        window, downsample, cache: As `load_events`; None for the set's default.

    Raises:
        FileNotFoundError: The set is not there.
        ValueError: Settings of event sets for another one, or values outside their range.
    """
    if data not in EVENT_SETS:
        for name, value in (("window", window), ("downsample", downsample), ("cache", cache)):
            if value is not None:
                raise ValueError(
                    f"{name}: got {value}, but {data} has no events; the sets that have are "
                    f"{', '.join(EVENT_SETS)}"
                )
        return _series(data, data_dir)
    if data_dir is None:
        raise ValueError(
            f"data_dir: got none, expected the folder in which {EVENT_SETS[data].kind} lies"
        )
    window = WINDOW if window is None else window
    downsample = DOWNSAMPLE[data] if downsample is None else downsample
    train, test = (
        load_events(
            data,
            data_dir,
            split=split,
            window=window,
            downsample=downsample,
            cache=cache,
            in_memory=True,
        )
        for split in ("train", "test")
    )
    mean, scale = log_moments(train)
    about = {
        "events": {"window": window, "downsample": downsample},
        "scaling": {"mean": mean.tolist(), "scale": scale.tolist()},
    }
    return Recordings(
        train.classes,
        train.features,
        Standardized(train, mean, scale),
        Standardized(test, mean, scale),
        about,
    )


def log_moments(dataset: EventDataset) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of ``log(1 + count)`` in each cell, over all frames; (D_in,).

    The deviation of a cell that hardly ever sees an event is raised to a small part of the largest:
    one stray event would otherwise outweigh all else.
    """
    steps = 0
    total = torch.zeros(dataset.features, dtype=torch.float64)
    squares = torch.zeros_like(total)
    for i in range(len(dataset)):
        values = torch.log1p(dataset[i][0].flatten(1)).double()
        steps += len(values)
        total += values.sum(0)
        squares += values.square().sum(0)
    mean = total / max(steps, 1)
    scale = (squares / max(steps, 1) - mean.square()).clamp(min=0.0).sqrt()
    largest = scale.max() if scale.max() > 0 else torch.ones_like(scale.max())
    return mean.float(), scale.clamp(min=_SMALLEST_SCALE * largest).float()


def _series(name: str, folder: Path | None) -> Recordings:
    dataset = load_uea(name, folder).standardized()
    return Recordings(
        dataset.classes,
        dataset.channels,
        TensorDataset(dataset.train_x, dataset.train_y),
        TensorDataset(dataset.test_x, dataset.test_y),
        about={"scaling": {"mean": dataset.mean.tolist(), "scale": dataset.scale.tolist()}},
    )
