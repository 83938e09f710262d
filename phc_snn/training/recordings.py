"""A data set as `train` takes it: sequences of any length, scaled, with their labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from phc_snn.data import (
    EVENT_SETS,
    Sequences,
    TimeSeriesDataset,
    load_events,
    load_fsdd,
    load_published,
    load_sequential_mnist,
    load_uea,
)
from phc_snn.training.event_frames import ScaledFrames, ShiftedFrames, log_deviation

WINDOW = 10.0
"""Default time of a frame, ms."""
DOWNSAMPLE = {"nmnist": 2, "dvsgesture": 4, "shd": 5, "ssc": 5}
"""Default downsampling of each event set: 578, 2048 and 140 cells in a frame."""
SHIFT = {"nmnist": 1, "dvsgesture": 1, "shd": 0, "ssc": 0}
"""Default shift of each event set's training recordings, cells of the frame."""

Protocol = Literal["archive", "uea"]
"""How a set is split: as it comes, or as `load_published` does."""


@dataclass(frozen=True)
class Recordings:
    """Training and test part of a set, and a validation part where the protocol has one.

    Attributes:
        classes: Class names, in the order of the label numbers.
        features: D_in.
        train, test: Items ``(x (T, D_in), label)``.
        about: JSON values that say how to read the set in the same way.
        validation: To choose the best epoch by, as ``train``; None where the set has none.
    """

    classes: tuple[str, ...]
    features: int
    train: Dataset[Any]
    test: Dataset[Any]
    about: dict[str, Any]
    validation: Dataset[Any] | None = None


class SequenceDataset(Dataset[tuple[Tensor, int]]):
    """Sequences (T, D_in), each of its own length, and their labels."""

    def __init__(self, x: tuple[Tensor, ...], y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.x[index], int(self.y[index])


def read_recordings(
    data: str,
    data_dir: Path | None,
    *,
    window: float | None = None,
    downsample: int | None = None,
    cache: Path | None = None,
    shift: int | None = None,
    seed: int = 0,
    protocol: Protocol = "archive",
    standardize: bool | None = None,
    average: int | None = None,
    unshift: bool | None = None,
) -> Recordings:
    """Read an event set, a set of pixels or speech, or a set of the UEA archive.

    Whatever scales the input comes from the training part alone.

    Args:
        data: ``"nmnist"``, ``"dvsgesture"``, ``"shd"``, ``"ssc"``, ``"psmnist"`` (permuted),
            ``"smnist"``, ``"fsdd"``, or the name of a UEA set.
        data_dir: Folder of the event sets, as `load_events` takes it, of MNIST's files
            (`load_sequential_mnist`), of the speech (`load_fsdd`), or of the UEA sets.
        window, downsample, cache: As `load_events`; None for the set's default. ``"fsdd"`` takes
            the window too.
        shift: Cells by which `ShiftedFrames` moves the training recordings at most; None for the
            set's default.
        seed: Of the split of ``protocol="uea"``. Default 0.
        protocol: ``"archive"`` (default) takes the parts that the set comes in. ``"uea"`` pools and
            splits a UEA set as the published benchmark does (`load_published`), with a validation
            part; ``about["protocol"]`` then holds seed, samples of each part, and what is missing.
        standardize: Whether a UEA set is scaled to mean 0 and variance 1 of each channel; None
            (default) for what the protocol does: ``"archive"`` does, ``"uea"`` does not.
        average: Steps of a UEA set that become one, their mean; None (default) for none.
        unshift: Whether a UEA set whose channels are one row at many delays becomes the electrodes
            in that row, as `TimeSeriesDataset.unshifted`; None (default) for not.

    Raises:
        FileNotFoundError: The set is not there.
        ValueError: Settings of one kind of set for another, or values outside their range.

    Example:
        >>> found = read_recordings("BasicMotions", None, protocol="uea", seed=2345)
        >>> len(found.train), len(found.validation), len(found.test)
        (56, 12, 12)
    """
    if protocol not in get_args(Protocol):
        raise ValueError(f"protocol: got {protocol!r}, expected one of {get_args(Protocol)}")
    of_events = {"downsample": downsample, "cache": cache, "shift": shift}
    order = {"average": average, "unshift": unshift}
    scaling = {"standardize": standardize}
    split = {"protocol": None if protocol == "archive" else protocol}
    if data in OTHER_SETS:
        return OTHER_SETS[data](data, data_dir, window, of_events | scaling | order | split)
    if data in EVENT_SETS:
        if protocol != "archive":
            _refuse({"protocol": repr(protocol)}, f"{data} is an event set; leave it at 'archive'")
        _refuse(order, f"{data} is an event set; leave it out")
        own = "whose counts are scaled in their own way; leave it out"
        _refuse(scaling, f"{data} is an event set, {own}")
        return _events(data, data_dir, window, downsample, cache, shift)
    names = ", ".join(EVENT_SETS)
    _refuse(
        {"window": window, **of_events},
        f"{data} has no events; the sets that have are {names}",
    )
    published = protocol == "uea"
    load = partial(load_published, seed=seed) if published else load_uea
    dataset = rearranged(load(data, data_dir), average, unshift)
    if not published if standardize is None else standardize:
        dataset = dataset.standardized()
    changed = average is not None or bool(unshift)
    series = {"series": {"average": average, "unshift": unshift}} if changed else {}
    return _series(dataset, series, seed)


def _refuse(settings: Mapping[str, Any], reason: str) -> None:
    """Settings of another kind of set; those that are None were not given."""
    for name, value in settings.items():
        if value is not None:
            raise ValueError(f"{name}: got {value}, but {reason}")


def _events(
    data: str,
    data_dir: Path | None,
    window: float | None,
    downsample: int | None,
    cache: Path | None,
    shift: int | None,
) -> Recordings:
    if data_dir is None:
        raise ValueError(
            f"data_dir: got none, expected the folder in which {EVENT_SETS[data].kind} lies"
        )
    window = WINDOW if window is None else window
    downsample = DOWNSAMPLE[data] if downsample is None else downsample
    shift = SHIFT[data] if shift is None else shift
    if shift < 0:
        raise ValueError(f"shift: got {shift}, expected 0 or more cells")
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
    scale = log_deviation(train)
    about = {
        "events": {"window": window, "downsample": downsample},
        "scaling": {"scale": scale},
    }
    return Recordings(
        train.classes,
        train.features,
        ScaledFrames(ShiftedFrames(train, shift), scale),
        ScaledFrames(test, scale),
        about,
    )


def rearranged(
    dataset: TimeSeriesDataset, average: int | None, unshift: bool | None
) -> TimeSeriesDataset:
    """What `read_recordings` does to a UEA set before it is scaled."""
    if unshift:
        dataset = dataset.unshifted()
    return dataset if average is None else dataset.averaged(average)


def _series(dataset: TimeSeriesDataset, about: dict[str, Any], seed: int) -> Recordings:
    scaling = {"mean": dataset.mean.tolist(), "scale": dataset.scale.tolist()}
    about = {"scaling": scaling, **about}
    train, test = _items(dataset.train_x, dataset.train_y), _items(dataset.test_x, dataset.test_y)
    validation = None
    if dataset.validation_x is not None and dataset.validation_y is not None:
        validation = _items(dataset.validation_x, dataset.validation_y)
        about["protocol"] = _about_split(dataset, "uea", seed)
    return Recordings(dataset.classes, dataset.channels, train, test, about, validation)


def _items(x: Sequences, y: Tensor) -> Dataset[Any]:
    return TensorDataset(x, y) if isinstance(x, Tensor) else SequenceDataset(x, y)


def _about_split(dataset: TimeSeriesDataset, protocol: Protocol, seed: int) -> dict[str, Any]:
    """What ``about`` keeps of a split, as JSON values."""
    labels = {
        "train": dataset.train_y,
        "validation": dataset.validation_y,
        "test": dataset.test_y,
    }
    samples = {part: len(y) for part, y in labels.items() if y is not None}
    return {"name": protocol, "seed": seed, "samples": samples, "missing": dataset.missing}


def _pixels(
    data: str, folder: Path | None, window: float | None, unfit: dict[str, Any]
) -> Recordings:
    folder = _folder_for(data, folder, {"window": window, **unfit})
    seed = 0 if data == "psmnist" else None
    digits = load_sequential_mnist(folder, seed=seed)
    return Recordings(
        digits.classes,
        1,
        TensorDataset(digits.train_x, digits.train_y),
        TensorDataset(digits.test_x, digits.test_y),
        about={"pixels": {"seed": seed}, "split": digits.split, "scaling": {"scale": 255}},
        validation=TensorDataset(digits.validation_x, digits.validation_y),
    )


def _speech(
    data: str, folder: Path | None, window: float | None, unfit: dict[str, Any]
) -> Recordings:
    folder = _folder_for(data, folder, unfit)
    parts = load_fsdd(folder, window=WINDOW if window is None else window)
    train = parts["train"]
    return Recordings(
        train.classes,
        train.features,
        train,
        parts["test"],
        about={
            "speech": {"window": train.window, "bands": train.bands},
            "scaling": {"mean": train.mean.tolist(), "scale": train.scale.tolist()},
        },
        validation=parts["validation"],
    )


def _folder_for(data: str, folder: Path | None, unfit: dict[str, Any]) -> Path:
    _refuse(unfit, f"{data} takes no such setting; leave it out")
    if folder is None:
        raise ValueError(
            f"data_dir: got none, expected the folder in which the files of {data} lie"
        )
    return folder


OTHER_SETS: dict[str, Callable[..., Recordings]] = {
    "psmnist": _pixels,
    "smnist": _pixels,
    "fsdd": _speech,
}
"""Name of each set that is neither one of events nor the archive's -> what reads it."""
