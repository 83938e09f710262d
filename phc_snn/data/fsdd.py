"""The Free Spoken Digit Dataset: speech as frames that a causal network can take one by one."""

import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils.data import Dataset

from phc_snn.checks import check_positive
from phc_snn.data.sound import FilterBank, read_wav, samples_of

RATE = 8000
"""Samples per second of a recording."""
Split = Literal["train", "validation", "test"]
_NAME = re.compile(r"([0-9])_([A-Za-z]+)_(0|[1-9][0-9]*)\.wav")
_TEST, _VALIDATION = 5, 10
"""First index of each speaker and digit that is not in the test part, and not in the validation."""
_LOWEST, _HIGHEST = 60.0, 3800.0
"""Of the filter bank, Hz: a little more than a telephone transmits."""


class SpokenDigits(Dataset[tuple[Tensor, int]]):
    """Recordings of one part as frames; `load_fsdd` makes them.

    An item is ``(frames, label)``: frames (T, features), float32, where T is each recording's own,
    and the digit.

    Attributes:
        split: ``"train"``, ``"validation"`` or ``"test"``.
        names: File name of each recording.
        labels: (recordings,) digits, int64.
        window: Time of a frame, ms.
        bands: Of the filter bank; None where a frame is its samples.
        mean, scale: (features,) what has been subtracted from the raw frames, and then divided by.
    """

    def __init__(
        self,
        split: Split,
        names: list[str],
        frames: list[Tensor],
        *,
        window: float,
        bands: int | None,
        mean: Tensor,
        scale: Tensor,
    ) -> None:
        self.split, self.names = split, names
        self.labels = torch.tensor([int(name[0]) for name in names])
        self.window, self.bands = window, bands
        self.mean, self.scale = mean, scale
        self._frames = [(frame - mean) / scale for frame in frames]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(str(digit) for digit in range(10))

    @property
    def features(self) -> int:
        return len(self.mean)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._frames[index], int(self.labels[index])


def load_fsdd(
    place: Path | str, *, window: float = 10.0, bands: int | None = 40
) -> dict[Split, SpokenDigits]:
    """Read the Free Spoken Digit Dataset as its training, validation and test part.

    The test part is the set's own: the recordings with the indices 0 to 4 of each speaker and
    digit (300 of 3,000). Of its training recordings those from 5 to 9 validate (300), the others
    train (2,400). All speakers are in all parts. Frames are standardised, each feature by mean and
    deviation over all training frames.

    Args:
        place: Folder with files ``{digit}_{speaker}_{index}.wav`` (8 kHz, 16 bit, mono), or with a
            folder ``recordings`` or ``fsdd.zip`` that has them; or a zip file. A zip file is read
            as it is.
        window: Time of a frame, ms; a recording's last frame is filled up with silence. Default 10.
        bands: Logarithmic energies in a frame, as `log_bands`; None for its raw samples. Default
            40.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: A file with another name, rate, width or number of channels, cut short or
            empty; recordings that are missing; a window or bands out of range.

    Example:
        >>> from pathlib import Path
        >>> from phc_snn.data import load_fsdd
        >>> if Path("data/fsdd.zip").is_file():
        ...     digits = load_fsdd("data/fsdd.zip", window=10.0)
        ...     frames, digit = digits["train"][0]  # (T, 40), 0 to 9
    """
    to_frames = _framing(window, bands)
    recordings = _recordings(Path(place).expanduser())
    keys = sorted(recordings, key=_key)
    names: dict[Split, list[str]] = {split: [] for split in get_args(Split)}
    for name in keys:
        names[_split_of(_key(name)[2])].append(name)
    frames = {
        split: [
            to_frames(read_wav(recordings[name].read(), recordings[name].name, RATE))
            for name in own
        ]
        for split, own in names.items()
    }
    seen = torch.cat(frames["train"]).double()
    scale = seen.std(0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0).float()
    mean = seen.mean(0).float()
    return {
        split: SpokenDigits(
            split, own, frames[split], window=window, bands=bands, mean=mean, scale=scale
        )
        for split, own in names.items()
    }


def log_bands(samples: Tensor, *, hop: int, bands: int) -> Tensor:
    """Logarithmic energies from 60 to 3,800 Hz of the last ``3 * hop`` samples; `FilterBank`.

    Args:
        samples: (n,) from -1 to 1, at 8 kHz.
        hop: Samples from one step to the next.
        bands: Number of bands.

    Returns:
        (ceil(n / hop), bands), of the dtype of ``samples``.
    """
    return _bank(hop, bands)(samples)


@lru_cache(maxsize=8)
def _bank(hop: int, bands: int) -> FilterBank:
    return FilterBank(RATE, hop, 3 * hop, bands, _LOWEST, _HIGHEST)


def _framing(window: float, bands: int | None) -> Callable[[Tensor], Tensor]:
    """What makes frames (T, features) of samples (n,)."""
    hop = samples_of("window", window, RATE)
    if bands is None:
        return lambda samples: _raw_frames(samples, hop)
    check_positive("bands", bands)
    return lambda samples: log_bands(samples, hop=hop, bands=bands)


def _raw_frames(samples: Tensor, hop: int) -> Tensor:
    """(ceil(n / hop), hop): each sample once, in its order."""
    return torch.nn.functional.pad(samples, (0, -len(samples) % hop)).reshape(-1, hop)


@dataclass(frozen=True)
class _File:
    """A file in a folder or in a zip file."""

    name: str
    read: Callable[[], bytes]


def _recordings(place: Path) -> dict[str, _File]:
    """File name -> file of all recordings, none missing."""
    found = _zipped(place) if place.suffix == ".zip" and place.is_file() else _in_folder(place)
    for name, file in found.items():
        if _NAME.fullmatch(name) is None:
            raise ValueError(
                f"{file.name}: expected names like 7_jackson_32.wav (digit, speaker, index)"
            )
    _check_complete(found, place)
    return found


def _in_folder(place: Path) -> dict[str, _File]:
    for folder in (place, place / "recordings"):
        files = sorted(folder.glob("*.wav"))
        if files:
            return {file.name: _File(str(file), file.read_bytes) for file in files}
    if (place / "fsdd.zip").is_file():
        return _zipped(place / "fsdd.zip")
    raise FileNotFoundError(
        f"place: {place} has no *.wav, no recordings/*.wav and no fsdd.zip; expected the "
        "recordings of the Free Spoken Digit Dataset"
    )


def _zipped(place: Path) -> dict[str, _File]:
    found: dict[str, _File] = {}
    try:
        archive = zipfile.ZipFile(place)
    except zipfile.BadZipFile as error:
        raise ValueError(f"place: {place} is no zip file ({error}); get it again") from error
    for member in archive.namelist():
        name = member.rsplit("/", 1)[-1]
        # What macOS adds to an archive beside each file is not a recording.
        if not name.endswith(".wav") or member.startswith("__MACOSX/"):
            continue
        if name in found:
            raise ValueError(f"{place}: holds {name} twice, expected each recording once")
        found[name] = _File(f"{place}/{member}", _reader(archive, member))
    if not found:
        raise FileNotFoundError(f"place: {place} holds no *.wav")
    return found


def _reader(archive: zipfile.ZipFile, member: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return archive.read(member)
        except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
            # A RuntimeError where it is encrypted, or packed by a method that is not there.
            raise ValueError(f"{archive.filename}/{member}: cannot be read ({error})") from error

    return read


def _key(name: str) -> tuple[str, str, int]:
    """Digit, speaker and index of a file name."""
    digit, speaker, index = name.removesuffix(".wav").split("_")
    return digit, speaker, int(index)


def _split_of(index: int) -> Split:
    return "test" if index < _TEST else "validation" if index < _VALIDATION else "train"


def _check_complete(found: dict[str, Any], place: Path) -> None:
    """Refuse a set that has lost files: its accuracies would be those of another one."""
    keys = {_key(name) for name in found}
    speakers = sorted({speaker for _, speaker, _ in keys})
    count = max(max(index for *_, index in keys), _VALIDATION) + 1
    missing = [
        f"{digit}_{speaker}_{index}.wav"
        for digit in map(str, range(10))
        for speaker in speakers
        for index in range(count)
        if (digit, speaker, index) not in keys
    ]
    if missing:
        raise ValueError(
            f"place: {place} lacks {len(missing)} recordings, {missing[0]} first; expected the "
            f"indices 0 to {count - 1} of each digit for {', '.join(speakers)}"
        )
