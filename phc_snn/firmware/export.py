"""`export_c`: a trained model as a C99 library, and what is known about it."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phc_snn.files import write_texts
from phc_snn.firmware.budget import measure_budget
from phc_snn.firmware.documents import example, metadata, readme
from phc_snn.firmware.names import check_name
from phc_snn.firmware.reference import BitReference, check_recordings, trace
from phc_snn.firmware.result import CLibrary, Deviation
from phc_snn.firmware.source import Source
from phc_snn.firmware.targets import CORTEX_M4, fault, told
from phc_snn.models import PHCSSM
from phc_snn.solvers import Sequential


def export_c(
    model: PHCSSM,
    folder: Path | str,
    *,
    name: str = "network",
    inputs: Tensor | None = None,
    scaling: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    prepared: Mapping[str, Any] | None = None,
) -> CLibrary:
    """Write a model as a C99 library that computes its bits: no allocation, float32, one state.

    The files are ``<name>.h``, ``<name>.c``, ``example_main.c``, ``README.md`` and
    ``metadata.json``, all written at once when all is known to be right. Called again, it replaces
    them, but for the example, which is yours to change. Every operation is
    one of IEEE 754 in a fixed order, printed from the equations that the model itself states; sums
    are float32, one term after the other (`phc_snn.firmware.BitReference` is the same in torch).

    Args:
        model: A trained model, float32, of neurons whose equations are scalar operations (`ALIF`,
            `LIF`, the SiLIF family, ...).
        folder: Made if it is missing.
        name: Prefix of files and symbols: a C identifier.
        inputs: (T, B, D_in) on which the C code's arithmetic is compared with `Sequential`; None
            leaves that out.
        scaling: How the input was scaled in training, ``(x - mean) / scale``: ``{"mean": [...],
            "scale": [...]}``, a number or D_in of them each; ``{"scale": ...}`` alone for ``x /
            scale``; ``{"formula": "..."}`` beside it if it is another one. For ``metadata.json``
            and the page.
        classes: Names of the classes, for the same.
        prepared: What else was done to recordings before that, JSON values by their names: for
            the same.

    Raises:
        TypeError: Something else than a `PHCSSM`.
        ValueError: A name that is no identifier, weights or inputs that are not finite float32,
            scaling or classes that do not fit, or a model that has no C code; nothing is written.
        OSError: The folder cannot be written.
        ChildProcessError: The compiler for a Cortex-M4F and QEMU work, but not with this code.

    Example:
        >>> import tempfile, phc_snn as phc
        >>> model = phc.PHCSSM(in_features=6, num_classes=4, neurons=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     library = phc.export_c(model, folder, name="motion")
        ...     sorted(path.name for path in library.folder.iterdir())
        ['README.md', 'example_main.c', 'metadata.json', 'motion.c', 'motion.h']
    """
    place, reference = check_export(model, folder, name, scaling, classes, prepared)
    plan, model = reference.plan, reference.model
    version = _version()
    source = Source(reference, name, version)
    budget, unmeasured = None, ""
    try:
        budget = measure_budget(source.code, source.header, name)
    except ChildProcessError as error:
        unmeasured = fault(CORTEX_M4)  # without the tools, or with broken ones, there is none
        if not unmeasured:
            raise ChildProcessError(
                f"{CORTEX_M4.name} runs other programs, and not this one ({told(error)}); nothing "
                "was written"
            ) from error
    library = CLibrary(
        place,
        name,
        version,
        source.weight_hash,
        source.build,
        tuple(state for state, _ in plan.states),
        int((plan.weight != 0).sum()),
        source.selftest_spikes,
        budget,
        unmeasured,
        None if inputs is None else deviation(model, inputs),
    )
    content = metadata(library, plan, scaling, classes, prepared)
    about = json.dumps(content, indent=2, allow_nan=False)
    texts = {
        "metadata.json": about + "\n",
        f"{name}.h": source.header,
        f"{name}.c": source.code,
        "README.md": readme(library, plan, scaling, classes, prepared),
    }
    if not (place / "example_main.c").exists():
        texts["example_main.c"] = example(name)
    try:
        write_texts({place / file: text for file, text in texts.items()})
    except OSError as error:
        raise OSError(f"folder: cannot write to {place} ({error.strerror})") from error
    return library


def check_export(
    model: PHCSSM,
    folder: Path | str,
    name: str,
    scaling: Mapping[str, Any] | None,
    classes: Sequence[str] | None,
    prepared: Mapping[str, Any] | None,
) -> tuple[Path, BitReference]:
    """Refuse what `export_c` refuses, before any work; the folder, and the model in order."""
    check_name(name)
    place = _check_folder(folder, name)
    reference = BitReference(model)
    _check_scaling(scaling, model.in_features)
    _check_classes(classes, model.num_classes)
    _check_prepared(prepared)
    return place, reference


def _check_scaling(scaling: Any, inputs: int) -> None:
    """Refuse what cannot be applied to a sample."""
    if scaling is None:
        return
    expected = f"scale, and mean if there is one: a number, or {inputs}, no scale 0"
    if not isinstance(scaling, Mapping) or not {"scale"} <= set(scaling) <= set(_SCALING):
        raise ValueError(f"scaling: got {scaling!r}, expected {expected}")
    for part in ("mean", "scale"):
        values = scaling.get(part, 0.0 if part == "mean" else None)
        each = values if isinstance(values, list | tuple) else [values] * inputs
        numbers = all(map(_is_number, each))
        if not numbers or len(each) != inputs or (part == "scale" and 0 in each):
            raise ValueError(f"scaling: got {part} = {values!r}, expected {expected}")
    if not isinstance(scaling.get("formula", ""), str):
        raise ValueError(f"scaling: got formula = {scaling['formula']!r}, expected text")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e38


_SCALING = ("mean", "scale", "formula")


def _check_classes(classes: Any, count: int) -> None:
    if classes is None:
        return
    if (
        isinstance(classes, str)
        or not isinstance(classes, Sequence)
        or len(classes) != count
        or not all(isinstance(label, str) for label in classes)
    ):
        raise ValueError(f"classes: got {classes!r}, expected {count} names")


def _check_prepared(prepared: Any) -> None:
    if prepared is None:
        return
    try:
        fits = isinstance(prepared, Mapping) and bool(json.dumps(dict(prepared), allow_nan=False))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f"prepared: got {prepared!r}, expected JSON values by their names")


def _check_folder(folder: Path | str, name: str) -> Path:
    """The folder; refused if it can be none, or holds what is no export of this name."""
    if not isinstance(folder, str | os.PathLike) or not str(folder):
        raise ValueError(f"folder: got {folder!r}, expected the name of a folder")
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise ValueError(f"folder: {place} is a file, expected a folder, or none yet")
    files = (f"{name}.h", f"{name}.c", "example_main.c", "README.md", "metadata.json")
    for file in files:
        if (place / file).exists() and not (place / file).is_file():
            raise ValueError(f"folder: {place / file} is no file; choose another folder")
    there = [file for file in files if (place / file).exists()]
    if not there:
        return place
    try:
        content = json.loads((place / "metadata.json").read_text(encoding="utf-8"))
        own = content["name"] == name and "weights_sha256" in content
    except (OSError, ValueError, KeyError, TypeError):
        own = False
    if not own:
        raise ValueError(
            f"folder: {place} has {', '.join(there)}, which would be overwritten and are no export "
            f"of {name!r}; choose another folder"
        )
    return place


def _version() -> str:
    from phc_snn import __version__  # which is not there yet when this module is imported

    return __version__


@torch.no_grad()
def deviation(model: PHCSSM, inputs: Tensor) -> Deviation:
    """Compare the arithmetic of the C code with `Sequential` on ``inputs`` (T, B, D_in).

    The latter runs where the model is, on a GPU too.

    Raises:
        TypeError, ValueError: As `export_c`; input that is empty or not finite.

    Example:
        >>> import torch, phc_snn as phc
        >>> model = phc.PHCSSM(in_features=6, num_classes=4, neurons=16)
        >>> phc.firmware.deviation(model, torch.zeros(10, 2, 6)).differing_spikes
        0
    """
    reference = BitReference(model)
    inputs = check_recordings(reference.model, inputs)
    device = next(model.parameters()).device
    truth = model(inputs.to(device), solver=Sequential())
    spikes, voltage = truth.solution.spikes.cpu(), truth.solution.voltage.cpu()
    found = trace(reference, inputs)
    error = (found["voltage"] - voltage).double()
    if not bool(torch.isfinite(error).all()):
        raise ValueError("inputs: so large that the network overflows; scale them as in training")
    return Deviation(
        error.numel(),
        int((found["spikes"] != spikes).sum()),
        float(error.square().mean().sqrt()),
        float(error.abs().max()),
        float((found["logits"][-1].argmax(-1) == truth.logits.cpu().argmax(-1)).double().mean()),
    )
