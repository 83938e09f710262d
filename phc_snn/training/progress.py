"""Where a training stands, on disk: complete, or not there.

Tensors lie in ``<step>.safetensors``, all else in ``checkpoint.json``, which names them and is
replaced last. A process that is killed at any moment leaves the one before.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from phc_snn.extras import require
from phc_snn.files import write_atomically, write_json

FORMAT = 2
"""Version of the layout; another one is refused."""

NAME = "checkpoint.json"


def write_checkpoint(content: dict[str, Any], folder: Path, name: str) -> None:
    """Keep nested dicts, lists and tuples of tensors and plain values; ``name`` is the tensors'.

    Raises:
        TypeError: A value that is neither.
        OSError: The disk is full, or the folder cannot be written to.
    """
    tensors: dict[str, Tensor] = {}
    tree = _without_tensors(content, tensors)
    path = folder / f"{name}.safetensors"
    write_tensors(path, tensors)
    head = {"format": FORMAT, "tensors": path.name, "sha256": _hash(path), "content": tree}
    write_json(folder / NAME, head)
    for other in folder.glob("*.safetensors"):
        if other != path:
            with suppress(OSError):
                other.unlink()


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """What `write_checkpoint` kept; None if it never did.

    Raises:
        ValueError: Files that are damaged, or of another version.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    safetensors = require("safetensors.torch", extra="train")
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        version = head["format"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"resume: {path} is no checkpoint ({error!r})") from error
    if version != FORMAT:
        raise ValueError(
            f"resume: {path} has format {version!r}, this version reads {FORMAT}; go on with the "
            "version of phc_snn that wrote it"
        )
    tensors_path = folder / str(head.get("tensors"))
    try:
        if _hash(tensors_path) != head["sha256"]:
            raise ValueError("its content is not what was written")
        tensors = safetensors.load_file(str(tensors_path), device="cpu")
        content: dict[str, Any] = _with_tensors(head["content"], tensors)
    except Exception as error:
        raise ValueError(f"resume: {tensors_path} is damaged or missing: {error}") from error
    return content


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file, atomically, from any device."""
    safetensors = require("safetensors.torch", extra="train")
    # Tensors that share memory would be refused.
    plain = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}

    def write(temporary: Path) -> None:
        try:
            safetensors.save_file(plain, str(temporary))
        except Exception as error:
            if isinstance(error, OSError):
                raise
            # The library reports a full disk with an error of its own.
            raise OSError(f"cannot write {path}: {error}") from error

    write_atomically(path, write)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _without_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """``value`` for JSON: what JSON cannot say is an object with one key that begins with $."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else {"$float": repr(value)}
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value
        return {"$tensor": name}
    if isinstance(value, dict):
        pairs = [[_without_tensors(k, tensors), _without_tensors(v, tensors)]
                 for k, v in value.items()]  # fmt: skip
        if all(isinstance(k, str) and not k.startswith("$") for k in value):
            return dict(pairs)
        return {"$dict": pairs}
    if isinstance(value, list):
        return [_without_tensors(v, tensors) for v in value]
    if isinstance(value, tuple):
        return {"$tuple": [_without_tensors(v, tensors) for v in value]}
    raise TypeError(f"checkpoint: cannot keep a {type(value).__name__}")


def _with_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_with_tensors(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$float" in value:
        return float(value["$float"])
    if "$tuple" in value:
        return tuple(_with_tensors(v, tensors) for v in value["$tuple"])
    if "$dict" in value:
        return {_with_tensors(k, tensors): _with_tensors(v, tensors) for k, v in value["$dict"]}
    return {k: _with_tensors(v, tensors) for k, v in value.items()}
