"""Settings of a job: one dataclass, whose names a TOML file and the command line have too.

What a setting means, and between which numbers it lies, stands at its field and nowhere else:
`check_settings` refuses by it, ``phc-snn COMMAND --help`` prints it.
"""

import json
import math
import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from phc_snn.files import write_text

C = TypeVar("C")


@dataclass(frozen=True)
class Bounds:
    """Numbers that a setting takes: from ``least`` to ``most``; both are taken themselves."""

    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        if self.least is None or self.most is None:
            return f"{self.least} or more" if self.most is None else f"{self.most} or less"
        return f"{self.least} to {self.most}"


def setting(
    default: Any,
    meaning: str,
    *,
    least: float | None = None,
    most: float | None = None,
    short: str | None = None,
) -> Any:
    """A field of a dataclass of settings, with what it means, and a short option beside its own."""
    metadata = {"help": meaning, "bounds": Bounds(least, most), "short": short}
    return field(default=default, metadata=metadata)


def required(meaning: str) -> Any:
    """A setting without a default."""
    return field(metadata={"help": meaning, "bounds": Bounds()})


def kinds_of(settings: type[Any]) -> dict[str, Any]:
    """Name -> type of each setting."""
    hints = get_type_hints(settings)
    return {f.name: hints[f.name] for f in fields(settings)}


def check_settings(config: Any) -> None:
    """Refuse a value of another type, outside its bounds, or not among its choices.

    Raises:
        ValueError: One that is; it is named.
    """
    hints = kinds_of(type(config))
    for f in fields(config):
        value = getattr(config, f.name)
        _check_kind(f.name, value, hints[f.name])
        bounds = f.metadata["bounds"]
        numbers = value if isinstance(value, tuple) else (value,)
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if not math.isfinite(number):
                raise ValueError(f"{f.name}: got {number}, expected a finite number")
            above = bounds.least is None or number >= bounds.least
            if not (above and (bounds.most is None or number <= bounds.most)):
                raise ValueError(f"{f.name}: got {number}, expected {bounds}")


def _check_kind(name: str, value: Any, hint: Any) -> None:
    if _fits(value, hint):
        return
    options = [x for part in _parts(hint) if get_origin(part) is Literal for x in get_args(part)]
    if options:
        near = get_close_matches(str(value), map(str, options), n=1)
        mend = f"; did you mean {near[0]!r}?" if near else ""
        listed = ", ".join(map(repr, options))
        raise ValueError(f"{name}: got {value!r}, expected one of {listed}{mend}")
    expected = " or ".join(_WORDS.get(part, str(part)) for part in _parts(hint))
    raise ValueError(f"{name}: got {value!r}, expected {expected}")


_WORDS: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    str: "a text",
    bool: "true or false",
    Path: "a path",
    type(None): "nothing",
    tuple[int, ...]: "integers",
}


def _parts(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    for part in _parts(hint):
        if get_origin(part) is Literal:
            if value in get_args(part):
                return True
        elif get_origin(part) is tuple:
            if isinstance(value, tuple) and all(_fits(x, get_args(part)[0]) for x in value):
                return True
        elif part is float:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return True
        elif isinstance(value, part) and not (part is int and isinstance(value, bool)):
            return True
    return False


def from_mapping(
    settings: type[C], values: Mapping[str, Any], origin: str = "", *, presets: bool = True
) -> C:
    """The settings that these JSON or TOML values say; all others have their defaults.

    Args:
        settings: A dataclass of settings.
        values: Name -> value. Paths are strings there, tuples are lists. What a value brings with
            it (``settings.presets``, if it has that) holds where nothing else is said.
        origin: File that they come from, for the errors; "" for none.
        presets: False takes the values as all that was said, for those that `plain` gave.

    Raises:
        ValueError: An unknown name, a missing one, or a value that `check_settings` refuses.
    """
    hints = kinds_of(settings)
    origin = f"{origin}: " if origin else ""
    for name in values:
        if name not in hints:
            near = get_close_matches(name, hints, n=1)
            mend = f"; did you mean {near[0]}?" if near else ""
            if isinstance(values[name], Mapping):
                mend = " but a table; a grid of runs is for phc-snn sweep"
            raise ValueError(f"{origin}{name} is not a setting{mend}")
    own: tuple[Any, ...] = fields(settings)  # type: ignore[arg-type]
    missing = [f.name for f in own if f.default is MISSING and f.name not in values]
    if missing:
        raise ValueError(f"{origin}{', '.join(missing)} is missing")
    brings = getattr(settings, "presets", None)
    if presets and brings:
        values = {**brings(values), **values}
    config = settings(**{name: from_plain(value, hints[name]) for name, value in values.items()})
    try:
        check_settings(config)
    except ValueError as error:
        raise ValueError(f"{origin}{error}") from None
    return config


def from_plain(value: Any, hint: Any) -> Any:
    """A value of a file as a setting of this type has it; what does not fit stays as it is."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and Path in _parts(hint) and str not in _parts(hint):
        return Path(value)
    if isinstance(value, int) and not isinstance(value, bool) and float in _parts(hint):
        return float(value)
    return value


def plain(config: Any) -> dict[str, Any]:
    """The settings as values of JSON and TOML; those that are None are left out."""
    found = {f.name: getattr(config, f.name) for f in fields(config)}
    return {
        name: str(v) if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v
        for name, v in found.items()
        if v is not None
    }


def read_settings(settings: type[C], path: Path) -> C:
    """The settings of a TOML file that `write_settings` wrote, which says all that is not None.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not TOML, or what `from_mapping` refuses.
    """
    return from_mapping(settings, read_toml(path), str(path), presets=False)


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not TOML.
    """
    if not path.is_file():
        raise FileNotFoundError(f"config: {path} does not exist; expected a TOML file of settings")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"config: {path} is not TOML: {error}") from error


def write_settings(config: Any, path: Path) -> None:
    """Write a TOML file that `read_settings` reads, atomically."""
    # TOML writes strings, numbers, booleans and lists of these as JSON does, but for one character.
    lines = [f"{name} = {_text(v)}\n" for name, v in plain(config).items()]
    write_text(path, "".join(lines))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
