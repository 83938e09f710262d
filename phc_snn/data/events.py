"""Event recordings (N-MNIST, DVS Gesture, SHD, SSC), read by tonic and counted in frames."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from phc_snn.checks import check_positive
from phc_snn.data.frame_cache import FrameCache
from phc_snn.data.frames import SparseFrames, count_events, frame_shape
from phc_snn.extras import require


@dataclass(frozen=True)
class EventSet:
    """How tonic keeps a set.

    Attributes:
        kind: tonic's class, and its folder.
        splits: Split -> tonic's arguments for it, and its file or folder.
        recordings: Pattern of the recordings' files in that folder; None where it is one HDF5 file.
    """

    kind: str
    splits: dict[str, tuple[dict[str, Any], str]]
    recordings: str | None = None


def _halves(train: str, test: str) -> dict[str, tuple[dict[str, Any], str]]:
    return {"train": ({"train": True}, train), "test": ({"train": False}, test)}


_SSC_SPLITS = ("train", "valid", "test")
EVENT_SETS: dict[str, EventSet] = {
    "nmnist": EventSet("NMNIST", _halves("Train", "Test"), "*/*.bin"),
    "dvsgesture": EventSet("DVSGesture", _halves("ibmGestureTrain", "ibmGestureTest"), "*/*.npy"),
    "shd": EventSet("SHD", _halves("shd_train.h5", "shd_test.h5")),
    "ssc": EventSet("SSC", {part: ({"split": part}, f"ssc_{part}.h5") for part in _SSC_SPLITS}),
}
"""Name -> set."""


class EventDataset(Dataset[tuple[Tensor, int]]):
    """Recordings as frames of event counts; `load_events` makes them.

    An item is ``(frames, label)``: frames (T, *shape), float32 counts, where T is each recording's
    own, and the class number. The order is that of the files' names.

    Attributes:
        name, split: Of the set.
        classes: Class names, in the order of the label numbers.
        labels: (recordings,) class numbers, int64.
        shape: Of a frame: (polarities, height, width) of a camera, (units,) of audio.
        window: Time of a frame, ms.
        downsample: Cells of the sensor, in each direction, that make one of the frame.
    """

    def __init__(
        self,
        name: str,
        split: str,
        source: Any,
        labels: np.ndarray,
        place: Path,
        *,
        window: float = 10.0,
        downsample: int = 1,
        cache: Path | None = None,
        in_memory: bool = False,
    ) -> None:
        self.name, self.split = name, split
        self.window, self.downsample = window, downsample
        self.classes = tuple(c.decode() if isinstance(c, bytes) else str(c) for c in source.classes)
        self.shape = frame_shape(source.sensor_size, downsample)
        self._source, self._place = source, place
        # tonic takes some sets' files in the order in which the file system lists them.
        self._order: list[int] = sorted(
            range(len(source)), key=lambda i: source.data[i] if source.data else i
        )
        self.labels = torch.from_numpy(labels.astype(np.int64))[self._order]
        self._window = round(1000 * window)
        self._held: dict[int, SparseFrames] | None = {} if in_memory else None
        self._cache: FrameCache | None = None
        if cache is not None:
            settings: dict[str, Any] = {
                "set": name,
                "split": split,
                "sensor": list(source.sensor_size),
            }
            settings |= {"window_us": self._window, "downsample": downsample}
            self._cache = FrameCache(cache, f"{name}-{split}", settings, self.shape)

    @property
    def features(self) -> int:
        """Cells of a frame: D_in of a network that takes frames as ``frames.flatten(2)``."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Frames and label of a recording.

        Raises:
            IndexError: There is no such recording.
            ValueError: A file that cannot be read as a recording, or a window that is too short.
        """
        number = range(len(self))[index]
        label = int(self.labels[number])
        if self._held is None:
            return self._read(number).dense(), label
        if number not in self._held:
            self._held[number] = self._read(number)
        return self._held[number].dense(), label

    def _read(self, number: int) -> SparseFrames:
        """From the cache, if there is one."""
        if self._cache is None:
            return self._count(number)
        return self._cache.get(number, self._identity(number), lambda: self._count(number))

    def _file(self, number: int) -> Path:
        files = self._source.data
        return Path(files[self._order[number]]) if files else self._place

    def _identity(self, number: int) -> list[Any]:
        file = self._file(number)
        about = file.stat()
        return [number, str(file.relative_to(self._place)), about.st_size, about.st_mtime_ns]

    def _count(self, number: int) -> SparseFrames:
        sensor = self._source.sensor_size
        try:
            if self.name == "nmnist" and self._file(number).stat().st_size % 5:
                raise ValueError("it was cut short: an event takes 5 bytes")  # tonic reads on
            events, _ = self._source[self._order[number]]
            if self.name == "dvsgesture":
                # tonic makes microseconds of the file's milliseconds in the file's own 16 bits.
                events["t"] = np.load(self._file(number))[:, 3].astype(np.int64) * 1000
            return count_events(events, sensor, window=self._window, downsample=self.downsample)
        except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.name}: recording {number} of {self._file(number)} cannot be read: {error}"
            ) from error


def load_events(
    name: str,
    folder: Path | str,
    *,
    split: str = "train",
    window: float = 10.0,
    downsample: int = 1,
    cache: Path | str | None = None,
    in_memory: bool = False,
    download: bool = False,
) -> EventDataset:
    """Load a set of event recordings, which tonic reads, as frames of event counts.

    A recording's first frame begins with its first event, and its last frame holds its last event:
    each event is counted once. Sets that are there in part are read as they are.

    Args:
        name: ``"nmnist"``, ``"dvsgesture"``, ``"shd"`` or ``"ssc"``.
        folder: tonic's ``save_to``, in which the set has a folder of its own: ``NMNIST/Train``,
            ``DVSGesture/ibmGestureTrain``, ``SHD/shd_train.h5``, ``SSC/ssc_train.h5``.
        split: ``"train"`` or ``"test"``; of SSC ``"valid"`` too. Default ``"train"``.
        window: Time of one frame, ms, to the microsecond. Default 10.
        downsample: Cells of the sensor, in each direction, that make one of the frame. Default 1.
        cache: Folder to keep the frames in, so that each recording is read and counted once; None
            (default) for nowhere.
        in_memory: Keep the frames of recordings that were asked for in memory too, without their
            zeros: about 5 bytes for each cell of a frame that saw an event. Default False.
        download: Let tonic fetch what it misses. Default False: nothing touches the network.

    Raises:
        MissingExtraError: tonic is not installed.
        FileNotFoundError: The set is not in ``folder``, or there is no recording in it.
        ValueError: An unknown set or split, a window or downsampling outside its range, or a set
            that tonic cannot read.

    Example:
        >>> train = load_events("nmnist", "data", downsample=2)  # doctest: +SKIP
        >>> frames, label = train[0]  # doctest: +SKIP
        >>> frames.shape  # doctest: +SKIP
        torch.Size([31, 2, 17, 17])
    """
    if name not in EVENT_SETS:
        raise ValueError(f"name: got {name!r}, expected one of {sorted(EVENT_SETS)}")
    known = EVENT_SETS[name]
    if split not in known.splits:
        raise ValueError(f"split: got {split!r}, {name} has {list(known.splits)}")
    check_positive("downsample", downsample)
    if not 0.001 <= window < math.inf:
        raise ValueError(f"window: got {window} ms, expected a time of at least 0.001 ms")
    datasets = require("tonic.datasets", extra="events")
    arguments, part = known.splits[split]
    folder = Path(folder).expanduser()
    place = folder / known.kind / part
    if not download:
        _check_is_there(folder, place, known)
    unreadable: tuple[type[Exception], ...] = (ValueError, KeyError, IndexError)
    if not download:
        unreadable += (OSError,)  # of a download it is the network that speaks
    try:
        source = _open(getattr(datasets, known.kind), folder, arguments, download)
        labels = _labels(source, place)
    except unreadable as error:
        raise ValueError(f"folder: {place} is not {name} as tonic reads it: {error}") from error
    return EventDataset(
        name,
        split,
        source,
        labels,
        place,
        window=window,
        downsample=downsample,
        cache=None if cache is None else Path(cache).expanduser(),
        in_memory=in_memory,
    )


def _check_is_there(folder: Path, place: Path, known: EventSet) -> None:
    if not place.exists():
        hint = f"; give its parent {folder.parent}" if (folder / place.name).exists() else ""
        raise FileNotFoundError(
            f"folder: {place} does not exist, expected it as tonic lays it out{hint}; "
            "download=True fetches the set"
        )
    if known.recordings is not None and next(place.glob(known.recordings), None) is None:
        raise FileNotFoundError(f"folder: {place} holds no recordings {known.recordings}")


def _open(kind: Any, folder: Path, arguments: dict[str, Any], download: bool) -> Any:
    """tonic's data set; unless downloads are wanted, one that reads what is there."""
    if download:
        return kind(str(folder), **arguments)
    # tonic calls a set missing, and fetches it, if the archive it came in or any file is not there.
    # The name stays: tonic finds the set's folder by it.
    present = type(kind.__name__, (kind,), {"_check_exists": lambda self: True})
    source = present(str(folder), **arguments)
    source.__class__ = kind  # itself again, so that it can be pickled for a loader's workers
    return source


def _labels(source: Any, place: Path) -> np.ndarray:
    """Class numbers of all recordings, without reading their events."""
    if source.targets:
        labels: np.ndarray = np.array(source.targets)
    else:
        with require("h5py", extra="events").File(place, "r") as file:
            labels = file["labels"][()]
    if not len(labels):
        raise ValueError("there are no recordings in it")
    if labels.min() < 0 or labels.max() >= len(source.classes):
        kinds = len(source.classes)
        raise ValueError(f"labels from {labels.min()} to {labels.max()} of {kinds} classes")
    return labels
