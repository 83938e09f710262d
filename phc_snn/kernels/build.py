"""Generated modules: written to a folder of the user's cache, imported, compiled when called.

They are files because numba keeps what it compiled beside a function's file; and so that they can
be read.
"""

import hashlib
import importlib.util
import logging
import os
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from types import ModuleType

from phc_snn.files import write_text

_log = logging.getLogger("phc_snn")

_lock = threading.Lock()


def folder() -> Path:
    """Where generated modules are kept: ``$PHC_SNN_CACHE``, or ``phc_snn`` in the user's cache."""
    chosen = os.environ.get("PHC_SNN_CACHE")
    if chosen:
        return Path(chosen)
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    base = os.environ.get(variable)
    if base:
        return Path(base) / "phc_snn"
    return Path.home() / ("AppData/Local" if sys.platform == "win32" else ".cache") / "phc_snn"


@cache
def _writable_folder() -> Path:
    place = None
    try:
        place = folder()
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return place
    except (OSError, RuntimeError) as error:  # the latter where there is no home
        _log.warning(
            "kernels cannot be kept in %s (%s); they are compiled in each run", place, error
        )
        return Path(_until_the_end().name)


@cache
def _until_the_end() -> "tempfile.TemporaryDirectory[str]":
    """A folder that goes when this process ends."""
    return tempfile.TemporaryDirectory(prefix="phc_snn_", ignore_cleanup_errors=True)


def load(text: str, kind: str, depends_on: str = "") -> ModuleType:
    """Import a module of this text.

    Args:
        text: Python.
        kind: The start of its name.
        depends_on: The source of what it calls: what numba keeps has that built in.
    """
    with _lock:
        return _load(text, kind, depends_on)


def _load(text: str, kind: str, depends_on: str) -> ModuleType:
    digest = hashlib.sha256((text + depends_on).encode()).hexdigest()[:20]
    name = f"phc_snn_{kind}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    path = _writable_folder() / f"{name}.py"
    if not _holds(path, text):
        write_text(path, text)
    # Triton keeps what it compiled in a place of its own.
    if kind != "gpu" and not any((path.parent / "__pycache__").glob(f"{name}.*.nbi")):
        _announce(path.parent)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import the generated module {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


@cache
def _announce(place: Path) -> None:
    if _until_the_end.cache_info().currsize:
        return  # it was said that they cannot be kept
    _log.warning("compiling kernels for this machine, once; they are kept in %s", place)
