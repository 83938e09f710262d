"""Google Speech Commands: spoken words as frames that a causal network can take one by one."""

from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.utils.data import Dataset

from phc_snn.checks import check_positive
from phc_snn.data.sound import FilterBank, read_wav, samples_of

RATE = 16000
"""Samples per second of a recording."""
Split = Literal["train", "validation", "test"]
LISTS: dict[str, str] = {"validation": "validation_list.txt", "test": "testing_list.txt"}
"""Part -> the file of the set that lists its recordings; all others train."""
_LOWEST, _HIGHEST = 20.0, 8000.0
"""Of the filter bank, Hz."""


class SpeechCommands(Dataset[tuple[Tensor, int]]):
    """Recordings of one part as frames; `load_speech_commands` makes them.

    An item is ``(frames, label)``: frames (T, bands), float32, where T is each recording's own (100
    of a whole second), and the class number. A recording is read when it is asked for.

    Attributes:
        split: ``"train"``, ``"validation"`` or ``"test"``.
        names: ``word/file.wav`` of each recording.
        classes: Words, sorted, in the order of the class numbers.
        labels: (recordings,) class numbers, int64.
        bank: What makes the frames.
    """

    def __init__(
        self,
        split: Split,
        place: Path,
        names: list[str],
        classes: tuple[str, ...],
        bank: FilterBank,
        *,
        in_memory: bool = False,
    ) -> None:
        self.split, self.names, self.classes, self.bank = split, names, classes, bank
        number = {word: i for i, word in enumerate(classes)}
        self.labels = torch.tensor([number[_word(name)] for name in names], dtype=torch.long)
        self._place = place
        self._held: dict[int, Tensor] | None = {} if in_memory else None

    @property
    def features(self) -> int:
        return self.bank.bands

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Frames and label of a recording.

        Raises:
            IndexError: There is no such recording.
            FileNotFoundError: Its file has gone.
            ValueError: A file of another format, cut short or empty.
        """
        number = range(len(self))[index]
        label = int(self.labels[number])
        if self._held is None:
            return self._read(number), label
        if number not in self._held:
            self._held[number] = self._read(number)
        return self._held[number].clone(), label  # who changes it changes no other epoch

    def _read(self, number: int) -> Tensor:
        path = self._place / self.names[number]
        return self.bank(read_wav(path.read_bytes(), str(path), RATE))


def load_speech_commands(
    folder: Path | str,
    *,
    window: float = 10.0,
    span: float = 25.0,
    bands: int = 40,
    in_memory: bool = False,
) -> dict[Split, SpeechCommands]:
    """Read Google Speech Commands (Warden 2018) as its training, validation and test part.

    The parts are those of the set's own lists. Every folder of the set is a class, but not those
    that begin with ``_``, as the background noise does: 35 in the second version. Nothing is
    downloaded.

    A frame is the logarithm of the energy in bands equally wide on the mel scale from 20 to 8,000
    Hz, of the last ``span``; no sample of the future is in it. Frames are not standardised: the
    BatchNorm of a `phc_snn.StackedSNN` does that.

    Args:
        folder: Holds a folder ``word`` for each class with files ``*.wav`` (16 kHz, 16 bit, mono),
            ``validation_list.txt`` and ``testing_list.txt``.
        window: Time of a frame, ms; a recording's last frame is filled up with silence. Default 10.
        span: Time of the sound in a frame's spectrum, ms, not less than ``window``. Default 25.
        bands: Default 40.
        in_memory: Keep the frames of recordings that were asked for: 16 kB a second with the
            defaults. Default False.

    Raises:
        FileNotFoundError: The folder, one of its lists, or a recording that they name is missing.
        ValueError: Lists that name a recording twice or not as ``word/file.wav``, a part without
            recordings, or a window, span or bands out of range.

    Example:
        >>> from phc_snn.data import load_speech_commands
        >>> words = load_speech_commands("speech_commands_v0.02")  # doctest: +SKIP
        >>> frames, label = words["train"][0]  # doctest: +SKIP
        >>> frames.shape, words["train"].classes[label]  # doctest: +SKIP
        (torch.Size([100, 40]), 'backward')
    """
    check_positive("bands", bands)
    hop, width = (samples_of(*each, RATE) for each in (("window", window), ("span", span)))
    if width < hop:
        raise ValueError(
            f"span: got {span} ms, expected at least the window, {window} ms; what lies between "
            "two spans would not be heard"
        )
    place = Path(folder).expanduser()
    words = _words(place)
    names: dict[Split, list[str]] = {"train": [], "validation": [], "test": []}
    part_of = _listed(place)
    for word in words:
        for path in sorted((place / word).glob("*.wav")):
            name = f"{word}/{path.name}"
            names[part_of.pop(name, "train")].append(name)
    if part_of:
        name, split = next(iter(part_of.items()))
        raise FileNotFoundError(
            f"folder: {place} lacks {len(part_of)} recordings that its lists name, {place / name} "
            f"first ({LISTS[split]}); get the set again"
        )
    for split in get_args(Split):
        if not names[split]:
            raise ValueError(f"folder: {place} has no recordings for the {split} part")
    bank = FilterBank(RATE, hop, width, bands, _LOWEST, _HIGHEST)
    return {
        split: SpeechCommands(split, place, own, words, bank, in_memory=in_memory)
        for split, own in names.items()
    }


def _word(name: str) -> str:
    return name.split("/")[0]


def _words(place: Path) -> tuple[str, ...]:
    """The classes, sorted."""
    if not place.is_dir():
        raise FileNotFoundError(
            f"folder: {place} is no folder, expected the recordings of Speech Commands in it"
        )
    found = (path.name for path in place.iterdir() if path.is_dir())
    words = tuple(sorted(name for name in found if not name.startswith(("_", "."))))
    if not words:
        raise FileNotFoundError(
            f"folder: {place} has no folders of words, expected the recordings of Speech Commands"
        )
    return words


def _listed(place: Path) -> dict[str, Split]:
    """Recording -> its part, of those that are listed."""
    found: dict[str, Split] = {}
    for split in get_args(Split):
        if split not in LISTS:
            continue
        path = place / LISTS[split]
        if not path.is_file():
            raise FileNotFoundError(
                f"folder: {path} is missing, expected the list of the {split} part"
            )
        for line in path.read_text(encoding="utf-8").split():
            if line.count("/") != 1 or not line.endswith(".wav"):
                raise ValueError(f"{path}: names {line!r}, expected names like bed/ab_nohash_0.wav")
            if line in found:
                raise ValueError(
                    f"{path}: names {line} a second time, expected each recording in one part"
                )
            found[line] = split
    return found
