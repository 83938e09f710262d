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
from functools import cache
from pathlib import Path
from types import ModuleType

from phc_snn.files import write_text

_log = logging.getLogger("phc_snn")


def folder() -> Path:
    """Where generated modules are kept: ``$PHC_SNN_CACHE``, or ``phc_snn`` in the user's cache."""
    chosen = os.environ.get("PHC_SNN_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "phc_snn"


@cache
def _writable_folder() -> Path:
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return place
    except OSError as error:
        _log.warning(
            "kernels cannot be kept in %s (%s); they are compiled in each run", place, error
        )
        return Path(tempfile.mkdtemp(prefix="phc_snn_"))


def load(text: str, kind: str, depends_on: str = "") -> ModuleType:
    """Import a module of this text.

    Args:
        text: Python.
        kind: The start of its name.
        depends_on: The source of what it calls: what numba keeps has that built in.
    """
    digest = hashlib.sha256((text + depends_on).encode()).hexdigest()[:20]
    name = f"phc_snn_{kind}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    path = _writable_folder() / f"{name}.py"
    if not path.exists():
        write_text(path, text)
    # Triton keeps what it compiled in a place of its own.
    if kind != "gpu" and not any((path.parent / "__pycache__").glob(f"{name}.*.nbi")):
        _announce(path.parent)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import the generated module {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@cache
def _announce(place: Path) -> None:
    _log.warning("compiling kernels for this machine, once; they are kept in %s", place)
