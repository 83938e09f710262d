"""Frames of recordings on disk, one small file each, so that events are read and counted once."""

import hashlib
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from phc_snn.data.frames import SparseFrames
from phc_snn.files import write_atomically

FORMAT = 1
"""Version of the files' layout and of how events are counted; files of another are made anew."""


class FrameCache:
    """Files ``<folder>/<name>-<digest of the settings>/<number>.npz``, filled as they are wanted.

    Each file holds the settings and the identity of the recording that it was made of. It is used
    only if they are those wanted now. Files of a recording that has changed are made anew; so are
    damaged files, with a warning.

    Args:
        folder: Made if it is missing.
        name: For people to recognise the folder by.
        settings: All that changes the frames, as JSON values.
        shape: Of one frame.
    """

    def __init__(
        self, folder: Path, name: str, settings: dict[str, Any], shape: tuple[int, ...]
    ) -> None:
        self._settings = {"format": FORMAT, **settings}
        self._shape = shape
        text = json.dumps(self._settings, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.folder = folder / f"{name}-{digest}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, number: int, identity: Any, make: Callable[[], SparseFrames]) -> SparseFrames:
        """The frames of recording ``number``, from their file or from ``make``, which fills it.

        Args:
            number: Of the recording.
            identity: What changes when the recording does, as a JSON value.
            make: Reads the recording and counts its events.
        """
        path = self.folder / f"{number:06d}.npz"
        wanted = json.dumps([self._settings, identity], sort_keys=True)
        frames = self._read(path, wanted)
        if frames is None:
            frames = make()
            write_atomically(path, lambda temporary: _write(temporary, frames, wanted))
        return frames

    def _read(self, path: Path, wanted: str) -> SparseFrames | None:
        if not path.exists():
            return None
        try:
            # Never with pickle: a file that anyone may have put here must not run code.
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                if str(file["made_of"]) != wanted:
                    return None  # the recording has changed
                steps, cells, counts = int(file["steps"]), file["cells"], file["counts"]
                frames = SparseFrames(steps, self._shape, cells, counts)
            _check(frames)
        except Exception as error:  # what an archive raises depends on where it is damaged
            warnings.warn(
                f"cache: {path} is damaged or not of this cache, and is made anew ({error})",
                stacklevel=2,
            )
            return None
        return frames


def _write(path: Path, frames: SparseFrames, made_of: str) -> None:
    content: dict[str, Any] = {**frames._asdict(), "made_of": made_of}
    del content["shape"]
    with path.open("wb") as file:
        np.savez_compressed(file, **content)


def _check(frames: SparseFrames) -> None:
    cells, counts = frames.cells, frames.counts
    kinds = cells.dtype.kind + counts.dtype.kind
    if kinds != "uu" or cells.ndim != 1 or cells.shape != counts.shape:
        raise ValueError("not one count for each cell")
    size = frames.steps * math.prod(frames.shape)
    if len(cells) and not (cells[-1] < size and np.all(cells[1:] > cells[:-1])):
        raise ValueError("cells that are not in the frames")
