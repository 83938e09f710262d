"""A trained model as two files: ``model.safetensors`` and ``model.json`` (how to build it)."""

import json
from pathlib import Path
from typing import Any

import torch

from phc_snn.ensemble import Ensemble
from phc_snn.extras import require
from phc_snn.files import write_json
from phc_snn.models import PHCSSM
from phc_snn.training.progress import write_tensors

FORMAT = 1
"""Version of the checkpoint's layout; another one is refused."""


def save_model(model: PHCSSM | Ensemble, folder: Path | str, **extra: Any) -> None:
    """Write ``model.safetensors`` and ``model.json`` into ``folder``, each atomically.

    Args:
        model: The model; weights are written from any device.
        folder: Made if it is missing.
        extra: JSON values to keep beside the model's own config (data set, classes, scaling).
    """
    if not isinstance(model, (PHCSSM, Ensemble)):
        raise TypeError(
            f"model: got {type(model).__name__}, expected a PHCSSM or an Ensemble; save the "
            "state_dict of others by torch.save"
        )
    folder = Path(folder)
    write_tensors(folder / "model.safetensors", model.state_dict())
    write_json(folder / "model.json", {"format": FORMAT, "model": model.config(), **extra})


def load_model(folder: Path | str, device: torch.device | str = "cpu") -> PHCSSM:
    """Read a network back, as `load_classifier`, which reads ensembles too.

    Raises:
        FileNotFoundError: As `load_classifier`.
        ValueError: As `load_classifier`, or an ensemble, which is not one network.
    """
    found = load_classifier(folder, device)
    if isinstance(found, Ensemble):
        raise ValueError(
            f"folder: {run_folder(folder)} holds an ensemble of {len(found.members)} networks, "
            "expected one network; load_classifier reads it"
        )
    return found


def load_classifier(folder: Path | str, device: torch.device | str = "cpu") -> PHCSSM | Ensemble:
    """Read a network or an ensemble back; its behaviour is that of the saved one, in every bit.

    Args:
        folder: A run's folder, or one of the two files in it.
        device: Where to put the model.

    Raises:
        FileNotFoundError: One of the two files is missing.
        ValueError: A file that is not such a checkpoint, is damaged, or is of another version.
    """
    safetensors = require("safetensors.torch", extra="train")
    config = read_config(folder)
    folder = run_folder(folder)
    structure = config["model"]
    kind = Ensemble if "members" in structure else PHCSSM
    model: PHCSSM | Ensemble = kind.from_config(structure)
    try:
        tensors = safetensors.load_file(str(folder / "model.safetensors"), device="cpu")
        dtypes = {t.dtype for t in tensors.values() if t.is_floating_point()}
        model.to(dtypes.pop() if len(dtypes) == 1 else torch.get_default_dtype())
        model.load_state_dict(tensors)
    except Exception as error:
        raise ValueError(
            f"folder: {folder / 'model.safetensors'} is damaged or does not fit model.json: {error}"
        ) from error
    return model.to(device)


def run_folder(folder: Path | str) -> Path:
    """The folder of a run, given itself or one of the two files in it."""
    folder = Path(folder)
    is_file = folder.suffix in (".safetensors", ".json") and not folder.is_dir()
    return folder.parent if is_file else folder


def read_config(folder: Path | str) -> dict[str, Any]:
    """What ``model.json`` holds: the model's config under ``"model"``, and all that was kept.

    Raises:
        FileNotFoundError, ValueError: As `load_model`.
    """
    folder = run_folder(folder)
    for name in ("model.json", "model.safetensors"):
        if not (folder / name).is_file():
            begun = "; the run is not complete, go on with it by --resume"
            raise FileNotFoundError(
                f"folder: {folder / name} does not exist; expected a run's folder"
                + (begun if (folder / "settings.toml").is_file() else "")
            )
    path = folder / "model.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"folder: {path} is not JSON: {error}") from error
    if not isinstance(config, dict) or "model" not in config or "format" not in config:
        raise ValueError(f"folder: {path} is not a phc_snn checkpoint")
    if config["format"] != FORMAT:
        raise ValueError(
            f"folder: {path} has format {config['format']!r}, this version reads {FORMAT}; load it "
            "with the version of phc_snn that wrote it"
        )
    return config
