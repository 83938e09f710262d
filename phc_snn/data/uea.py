"""Multivariate time series of the UEA archive, read by aeon."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phc_snn.extras import require


@dataclass(frozen=True)
class TimeSeriesDataset:
    """Labelled sequences of equal length, as the archive splits them.

    Attributes:
        name: Name of the set.
        classes: Class names, in the order of the label numbers.
        train_x, test_x: (samples, T, channels), float32.
        train_y, test_y: (samples,) class numbers.
        mean, scale: (channels,) what has been subtracted from the raw data, and then divided by.
    """

    name: str
    classes: tuple[str, ...]
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    mean: Tensor
    scale: Tensor

    @property
    def channels(self) -> int:
        return self.train_x.shape[-1]

    def standardized(self) -> "TimeSeriesDataset":
        """Each channel shifted and scaled to mean 0 and variance 1 over the training samples."""
        mean = self.train_x.mean(dim=(0, 1))
        spread = self.train_x.std(dim=(0, 1))
        # A channel that is constant in training stays as it is: any scale would be an invention.
        constant = spread <= 1e-6 * self.train_x.abs().amax(dim=(0, 1))
        return self.scaled(mean, torch.where(constant, torch.ones_like(spread), spread))

    def scaled(self, mean: Tensor, scale: Tensor) -> "TimeSeriesDataset":
        """``(x - mean) / scale`` for each channel; ``mean`` and ``scale`` are (channels,)."""
        return replace(
            self,
            train_x=(self.train_x - mean) / scale,
            test_x=(self.test_x - mean) / scale,
            mean=self.mean + self.scale * mean,
            scale=self.scale * scale,
        )


def load_uea(name: str = "BasicMotions", folder: Path | str | None = None) -> TimeSeriesDataset:
    """Load a set of the UEA archive.

    Args:
        name: As the archive spells it. ``"BasicMotions"`` (4 activities, 6 channels of a smart
            watch at 10 Hz, T = 100, 40 + 40 samples) comes with aeon and needs no download.
        folder: Where ``<name>/<name>_TRAIN.ts`` and ``_TEST.ts`` lie; None for aeon's own folder,
            to which aeon downloads other sets.

    Raises:
        MissingExtraError: aeon is not installed.
        FileNotFoundError: The set is not in ``folder``, or cannot be downloaded.
        ValueError: Sequences of unequal length, or values that are NaN or Inf.
    """
    datasets = require("aeon.datasets", extra="uea")
    if folder is not None:
        for part in ("TRAIN", "TEST"):
            path = Path(folder) / name / f"{name}_{part}.ts"
            if not path.is_file():
                raise FileNotFoundError(
                    f"folder: {path} does not exist; expected the archive's file"
                )
    try:
        parts = {
            part: datasets.load_classification(
                name, split=part, extract_path=None if folder is None else str(folder)
            )
            for part in ("train", "test")
        }
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"data: no set {name!r} is at hand, and aeon could not download it; check the spelling "
            f"(BasicMotions is always there), or give the folder of its .ts files ({error})"
        ) from error
    classes = tuple(str(label) for label in np.unique(parts["train"][1]))
    arrays = {part: _as_tensors(name, part, x, y, classes) for part, (x, y) in parts.items()}
    channels = arrays["train"][0].shape[-1]
    return TimeSeriesDataset(
        name,
        classes,
        *arrays["train"],
        *arrays["test"],
        mean=torch.zeros(channels),
        scale=torch.ones(channels),
    )


def _as_tensors(
    name: str, part: str, x: object, y: np.ndarray, classes: tuple[str, ...]
) -> tuple[Tensor, Tensor]:
    """(samples, channels, T) of numpy to (samples, T, channels) of torch, and class numbers."""
    if not isinstance(x, np.ndarray):
        raise ValueError(f"{name} ({part}): sequences of unequal length, expected one length")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} ({part}): {int((~np.isfinite(x)).sum())} values are NaN or Inf")
    unknown = sorted(set(map(str, y)) - set(classes))
    if unknown:
        raise ValueError(f"{name} ({part}): labels {unknown} do not occur in the training part")
    numbers = {label: i for i, label in enumerate(classes)}
    labels = torch.tensor([numbers[str(label)] for label in y])
    return torch.from_numpy(x.transpose(0, 2, 1).astype(np.float32, copy=True)), labels
