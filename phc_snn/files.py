"""Files that are either complete or not there: written beside their place, synced, then moved."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` fill a temporary file in the folder of ``path``, then put it in place."""
    write_together({path: write})


def write_together(files: Mapping[Path, Callable[[Path], None]]) -> None:
    """As `write_atomically`: all are filled before the first is put in place, in their order."""
    filled: dict[Path, Path] = {}
    try:
        for path, write in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(
                dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
            )
            os.close(handle)
            filled[path] = temporary = Path(name)
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())  # as any other new file; mkstemp gives 0600
        for path, temporary in filled.items():
            temporary.replace(path)
    finally:
        for temporary in filled.values():
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_texts({path: text})


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write several texts as UTF-8: all of them, or none if the disk is full, say."""

    def writing(text: str) -> Callable[[Path], None]:
        def write(temporary: Path) -> None:
            temporary.write_text(text, encoding="utf-8")

        return write

    write_together({path: writing(text) for path, text in texts.items()})


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically; NaN and Inf are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
