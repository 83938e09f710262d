"""Checks of the archive's ``.ts`` files: what is wrong in which line, and what to do about it.

aeon reads these files, but it passes on missing values, and what it says about a damaged file
seldom leads to the place. So a file is looked through before it is read, in one pass over its
lines. numpy reads the values of a line at once; no list of numbers is made.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

_LARGEST = float(np.finfo(np.float32).max)
_FETCH = "fetch the file again"
_FLAGS = {"timestamps": False, "univariate": True, "equallength": True, "targetlabel": False}
"""What a header means, to aeon, that does not say it."""


def check_ts(path: Path) -> None:
    """Refuse a ``.ts`` file that cannot be read as it is meant, whole.

    A case is a line ``1,2,3:4,5,6:label``: values of one dimension after the other, then the label.

    Args:
        path: Of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: An empty file, one without data, or one that was cut; a header that contradicts
            itself, or says what is not supported; cases that differ in dimensions, or in steps
            where the header says that they do not; dimensions of one case that differ in steps;
            missing values, infinite ones and other text; a label that is missing, or not in
            ``@classLabel``. The message names the file and the line, counted from 1.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.ts")
        ...     text = "@univariate true\\n@classLabel true x y\\n@data\\n1,2:x\\n3,?:y\\n"
        ...     _ = path.write_text(text)
        ...     try:
        ...         check_ts(path)
        ...     except ValueError as error:
        ...         print(str(error).partition("; ")[0].partition("a.ts, ")[2])
        line 5: dimension 1, value 2: found '?', a missing value, expected a finite number
    """
    lines = _lines(path)
    last = None
    header = _Header()
    for line in lines:
        last = line
        if header.takes(line):
            break
    else:
        if last is None:
            raise ValueError(f"{path}: found an empty file, expected a header and cases; {_FETCH}")
        last.refuse(f"found the end of the file, expected a line @data and cases; {_FETCH}")
    form = header.form(last)
    for line in lines:
        last = line
        form.check(line)
    if form.steps_of is None:
        last.refuse(f"found the end of the file, expected cases after @data; {_FETCH}")


@dataclass(frozen=True)
class _Line:
    """A line of a file, and where it is."""

    path: Path
    number: int
    content: bytes

    def refuse(self, what: str) -> NoReturn:
        """Raise the ValueError that says where ``what`` was found."""
        cut = not self.content.endswith(b"\n")  # as only the last line may be
        hint = " (the file ends in the middle of this line, so it may have been cut)" if cut else ""
        raise ValueError(f"{self.path}, line {self.number}: {what}{hint}")


def _lines(path: Path) -> Iterator[_Line]:
    with path.open("rb") as file:
        for number, content in enumerate(file, 1):
            yield _Line(path, number, content)


class _Header:
    """What the lines up to ``@data`` say."""

    def __init__(self) -> None:
        self.flags = dict(_FLAGS)
        self.dimensions: int | None = None
        self.classes: frozenset[str] | None = None

    def takes(self, line: _Line) -> bool:
        """Take a line in; whether it is the last one, ``@data``."""
        try:
            words = line.content.decode().lower().split()
        except UnicodeDecodeError as error:
            line.refuse(
                f"found the byte {error.object[error.start]:#x}, expected UTF-8; save the "
                "file as UTF-8"
            )
        if not words or not words[0].startswith("@"):
            # Prose, mostly behind # or %; aeon passes over all of it. A case has numbers in front.
            if words and words[0][0] in "-.0123456789" and "," in words[0]:
                line.refuse(
                    "found a case in the header, expected @data before the first one; add it"
                )
            return False
        key, values = words[0][1:], words[1:]
        if key in self.flags:
            if values not in (["true"], ["false"]):
                line.refuse(f"found {' '.join(values)!r}, expected @{key} true or false; mend it")
            self.flags[key] = values == ["true"]
        elif key in ("dimensions", "dimension"):
            self.dimensions = self._count(line, values)
        elif key == "problemname" and not values:
            line.refuse("found no name, expected one after @problemName; add it")
        elif key == "data" and values:
            line.refuse("found text after @data, expected cases from the next line on; move it")
        elif key == "classlabel":
            self.classes = frozenset(values[1:]) if values[:1] == ["true"] else frozenset()
        return key == "data"

    def _count(self, line: _Line, values: list[str]) -> int:
        if len(values) != 1 or not values[0].isdecimal() or int(values[0]) < 1:
            line.refuse(f"found {' '.join(values)!r}, expected the number of dimensions; mend it")
        return int(values[0])

    def form(self, line: _Line) -> "_Form":
        """The form that cases have to have; ``line`` is that of ``@data``."""
        if self.flags["timestamps"]:
            line.refuse(
                "found a header with @timeStamps true, expected values without their "
                "times; write the values alone, at equal distances in time"
            )
        if self.flags["targetlabel"] or not self.classes:
            line.refuse(
                "found a header without classes, expected @classLabel true and all labels "
                "after it; add the line, as only classification is read"
            )
        if self.flags["univariate"]:
            if self.dimensions not in (None, 1):
                line.refuse(
                    f"found a header with @dimensions {self.dimensions} that does not say "
                    "@univariate false, expected both to agree; add the line"
                )
            self.dimensions = 1
        return _Form(self.classes, self.flags["equallength"], self.dimensions, "the header says")


class _Form:
    """The form that a file's cases have; the first case settles what the header leaves open.

    Attributes:
        classes: Labels, in small letters, as aeon reads them.
        equal: Whether all cases have as many steps as the first.
        dimensions: Of a case.
        told_by: Who says so.
        steps_of: Steps of the first case, and its line.
    """

    def __init__(
        self, classes: frozenset[str], equal: bool, dimensions: int | None, told_by: str
    ) -> None:
        self.classes, self.equal = classes, equal
        self.dimensions, self.told_by = dimensions, told_by
        self.steps_of: tuple[int, int] | None = None

    def check(self, line: _Line) -> None:
        """Refuse a line that is no case of this form."""
        content = line.content.strip()
        if not content:
            line.refuse("found an empty line, expected a case; delete the line")
        *channels, label = content.split(b":")
        self._check_dimensions(line, len(channels))
        steps = _check_steps(line, channels)
        _check_values(line, channels, steps)
        self._check_label(line, label)
        if self.steps_of is None:
            self.steps_of = (steps, line.number)
        expected, first = self.steps_of
        if self.equal and steps != expected:
            line.refuse(
                f"found {steps} steps, expected {expected} as in line {first}; write @equalLength "
                "false into the header if cases may differ, otherwise fetch the file again"
            )

    def _check_dimensions(self, line: _Line, found: int) -> None:
        if found < 1 and self.dimensions is None:
            line.refuse(
                "found no colon, expected dimensions and a label with colons between them; mend "
                f"the line, or {_FETCH}"
            )
        if self.dimensions is None:
            self.dimensions, self.told_by = found, f"line {line.number} has"
        if found != self.dimensions:
            line.refuse(
                f"found {found + 1} parts between colons, expected {self.dimensions + 1}: "
                f"{self.dimensions} dimensions, as {self.told_by}, and the label; mend the line or "
                f"the header, or {_FETCH}"
            )

    def _check_label(self, line: _Line, label: bytes) -> None:
        text = label.decode(errors="replace").strip()
        if text.lower() not in self.classes:
            known = ", ".join(sorted(self.classes)[:20])
            line.refuse(
                f"found the label {text[:40]!r}, expected one of @classLabel ({known}); add it "
                f"there if it is one, otherwise {_FETCH}"
            )


def _check_steps(line: _Line, channels: list[bytes]) -> int:
    """Steps of a case."""
    counts = [channel.count(b",") + 1 for channel in channels]
    for i, count in enumerate(counts):
        if count != counts[0]:
            line.refuse(
                f"found {count} values in dimension {i + 1}, expected {counts[0]} as in dimension "
                f"1; mend the line, or {_FETCH}"
            )
    return counts[0]


def _check_values(line: _Line, channels: list[bytes], steps: int) -> None:
    try:
        with warnings.catch_warnings():
            # Of text that is no number some versions of numpy warn, and stop there.
            warnings.simplefilter("ignore", DeprecationWarning)
            values = np.fromstring(b",".join(channels), sep=",")
    except ValueError:
        _refuse_value(line, channels)
    # What is NaN is not at most anything.
    if len(values) != steps * len(channels) or not float(np.abs(values).max()) <= _LARGEST:
        _refuse_value(line, channels)


def _refuse_value(line: _Line, channels: list[bytes]) -> NoReturn:
    """Name the first value that is none."""
    for i, channel in enumerate(channels, 1):
        for j, token in enumerate(channel.split(b","), 1):
            text = token.decode(errors="replace").strip()
            wrong = _what_is_wrong(text)
            if wrong is not None:
                what, mend = wrong
                line.refuse(
                    f"dimension {i}, value {j}: found {text[:40]!r}, {what}, expected a finite "
                    f"number; {mend}"
                )
    line.refuse(f"found values that are not numbers, expected finite ones; {_FETCH}")


def _what_is_wrong(text: str) -> tuple[str, str] | None:
    """What a value is that is no finite number, and the mend; None if it is one."""
    if text.lower().lstrip("+-") in ("", "?", "nan"):
        return "a missing value", "fill it in, or leave the case out"
    try:
        value = float(text)
    except ValueError:
        return "not a number", f"mend it, or {_FETCH}"
    if not abs(value) <= _LARGEST:
        return "beyond what float32 holds", "rescale the data, or leave the case out"
    # Python takes more for a number than files may hold.
    return ("not a number", "mend it") if "_" in text or not text.isascii() else None
