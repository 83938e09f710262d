"""Multivariate time series of the UEA archive, read by aeon."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phc_snn.data.series import Sequences, TimeSeriesDataset
from phc_snn.data.ts_format import check_ts
from phc_snn.extras import require

PARTS = ("train", "test")
"""As the archive splits its sets."""

Cases = np.ndarray | list[np.ndarray]
"""(samples, T, channels), or (T, channels) of each sample."""


def load_uea(name: str = "BasicMotions", folder: Path | str | None = None) -> TimeSeriesDataset:
    """Load a set of the UEA archive, split as the archive splits it.

    The set's files are looked through first (`phc_snn.data.ts_format.check_ts`), unless aeon
    downloads them.

    Args:
        name: As the archive spells it. ``"BasicMotions"`` (4 activities, 6 channels of a smart
            watch at 10 Hz, T = 100, 40 + 40 samples) and ``"JapaneseVowels"`` (9 speakers, 12
            channels, T of 7 to 29, 270 + 370 samples) come with aeon and need no download.
        folder: Where ``<name>/<name>_TRAIN.ts`` and ``_TEST.ts`` lie; None (default) for aeon's own
            folder, to which aeon downloads other sets.

    Returns:
        Sequences as they are, as tensors (samples, T, channels) where all have one length, and
        otherwise each of its own length. ``load_uea(...).standardized()`` scales them.

    Raises:
        MissingExtraError: aeon is not installed.
        FileNotFoundError: The set is not in ``folder``, or cannot be downloaded.
        ValueError: A damaged file, values that are NaN or Inf, or labels of the test part that do
            not occur in the training part.

    Example:
        >>> load_uea("BasicMotions").train_x.shape
        torch.Size([40, 100, 6])
    """
    parts = read_parts(name, folder)
    classes = tuple(str(label) for label in np.unique(parts["train"][1]))
    unknown = sorted(set(map(str, parts["test"][1])) - set(classes))
    if unknown:
        raise ValueError(f"{name} (test): labels {unknown} do not occur in the training part")
    train, test = (parts[part] for part in PARTS)
    train_x, test_x = as_sequences(train[0], test[0])
    channels = train_x[0].shape[-1]
    return TimeSeriesDataset(
        name,
        classes,
        train_x,
        class_numbers(train[1], classes),
        test_x,
        class_numbers(test[1], classes),
        mean=torch.zeros(channels),
        scale=torch.ones(channels),
    )


def read_parts(name: str, folder: Path | str | None) -> dict[str, tuple[Cases, np.ndarray]]:
    """Part -> its sequences, float32, and its labels.

    Raises:
        As `load_uea`.
    """
    datasets = require("aeon.datasets", extra="uea")
    files = _files(name, folder, Path(str(datasets.__file__)).parent / "data")
    if files is None:
        parts = _download(datasets, name)
    else:
        for path in files.values():
            check_ts(path)
        parts = {part: datasets.load_from_ts_file(str(path)) for part, path in files.items()}
    return {part: (_sequences(name, part, x), np.asarray(y)) for part, (x, y) in parts.items()}


def as_sequences(*parts: Cases) -> list[Sequences]:
    """Each part as one tensor, if the sequences of all parts have one length; as tuples if not.

    Args:
        parts: Sequences of each part, at least one in each.
    """
    if len({len(x) for part in parts for x in part}) == 1:
        return [
            torch.from_numpy(part if isinstance(part, np.ndarray) else np.stack(part))
            for part in parts
        ]
    return [tuple(torch.from_numpy(np.ascontiguousarray(x)) for x in part) for part in parts]


def class_numbers(labels: Sequence[Any] | np.ndarray, classes: tuple[str, ...]) -> Tensor:
    """(samples,) places of ``labels`` in ``classes``, int64."""
    numbers = {label: i for i, label in enumerate(classes)}
    return torch.tensor([numbers[str(label)] for label in labels], dtype=torch.int64)


def _files(name: str, folder: Path | str | None, aeons: Path) -> dict[str, Path] | None:
    """Part -> file; None for a set that aeon has to look for."""
    place = (aeons if folder is None else Path(folder).expanduser()) / name
    files = {part: place / f"{name}_{part.upper()}.ts" for part in PARTS}
    for path in files.values():
        if not path.is_file():
            if folder is None:
                return None
            pool = place / f"{name}.npz"
            there = f"; {pool} is there, which the protocol uea reads" if pool.is_file() else ""
            raise FileNotFoundError(
                f"folder: {path} does not exist; expected the archive's file{there}"
            )
    return files


def _download(datasets: Any, name: str) -> dict[str, tuple[Any, Any]]:
    try:
        # Of sets of unequal lengths aeon would rather take a version that was padded or cut.
        return {
            part: datasets.load_classification(name, split=part, load_equal_length=False)
            for part in PARTS
        }
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"data: no set {name!r} is at hand, and aeon could not download it; check the spelling "
            f"(BasicMotions is always there), or give the folder of its .ts files ({error})"
        ) from error


def _sequences(name: str, part: str, x: Any) -> Cases:
    """aeon's (channels, T) of each sample as (T, channels), float32."""
    wrong = sum(int((~np.isfinite(one)).sum()) for one in x)
    if wrong:
        raise ValueError(f"{name} ({part}): {wrong} values are NaN or Inf, expected finite ones")
    if isinstance(x, np.ndarray):
        turned: np.ndarray = x.transpose(0, 2, 1).astype(np.float32, copy=True)
        return turned
    return [one.T.astype(np.float32) for one in x]
