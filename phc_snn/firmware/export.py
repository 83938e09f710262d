"""`export_c`: a trained model as a C99 library, and what is known about it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phc_snn.files import write_text
from phc_snn.firmware.budget import measure_budget
from phc_snn.firmware.documents import example, metadata, readme
from phc_snn.firmware.golden import golden
from phc_snn.firmware.plan import make_plan
from phc_snn.firmware.reference import BitReference, trace
from phc_snn.firmware.result import CLibrary, Deviation
from phc_snn.firmware.source import Source
from phc_snn.firmware.targets import CORTEX_M4
from phc_snn.models import PHCSSM
from phc_snn.solvers import Sequential


def export_c(
    model: PHCSSM,
    folder: Path | str,
    *,
    name: str = "network",
    inputs: Tensor | None = None,
    scaling: Mapping[str, Any] | None = None,
) -> CLibrary:
    """Write a model as a C99 library that computes its bits: no allocation, float32, one state.

    The files are ``<name>.h``, ``<name>.c``, ``example_main.c``, ``README.md`` and
    ``metadata.json``, each written atomically, once all is known to be right. Every operation is
    one of IEEE 754 in a fixed order, printed from the equations that the model itself states; sums
    are float32, one term after the other (`phc_snn.firmware.BitReference` is the same in torch).

    Args:
        model: A trained model, float32, of neurons whose equations are scalar operations (`ALIF`,
            `LIF`, the SiLIF family, ...).
        folder: Made if it is missing.
        name: Prefix of files and symbols: a C identifier.
        inputs: (T, B, D_in) on which the C code's arithmetic is compared with `Sequential`; None
            leaves that out.
        scaling: How the input was scaled in training, to be kept in ``metadata.json``.

    Raises:
        TypeError: Something else than a `PHCSSM`.
        ValueError: A name that is no identifier, weights that are not finite float32, or a model
            that has no C code; nothing is written.
        OSError: The folder cannot be written.

    Example:
        >>> import tempfile, phc_snn as phc
        >>> model = phc.PHCSSM(in_features=6, num_classes=4, neurons=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     library = phc.export_c(model, folder, name="motion")
        ...     sorted(path.name for path in library.folder.iterdir())
        ['README.md', 'example_main.c', 'metadata.json', 'motion.c', 'motion.h']
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
        raise ValueError(
            f"name: got {name!r}, expected a C identifier in lower case of at most 32 characters"
        )
    if name in _TAKEN:
        raise ValueError(f"name: got {name!r}, a file of which is there already; choose another")
    place = Path(folder)
    _check_folder(place, name)
    plan = make_plan(model)
    version = _version()
    source = Source(plan, name, version, golden(BitReference(model)))
    missing = bool(CORTEX_M4.missing)
    library = CLibrary(
        place,
        name,
        version,
        source.weight_hash,
        tuple(state for state, _ in plan.states),
        int((plan.weight != 0).sum()),
        None if missing else measure_budget(source.code, source.header, name),
        None if inputs is None else deviation(model, inputs),
    )
    try:
        about = json.dumps(metadata(library, plan, scaling), indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"scaling: got {scaling!r}, expected JSON values ({error})") from error
    texts = {
        f"{name}.h": source.header,
        f"{name}.c": source.code,
        "example_main.c": example(name),
        "README.md": readme(library, plan),
        "metadata.json": about + "\n",
    }
    place.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        write_text(place / file, text)
    return library


_TAKEN = {
    *("example_main", "assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646"),
    *("limits", "locale", "math", "setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint"),
    *("stdio", "stdlib", "string", "tgmath", "time", "wchar", "wctype", "main"),
}
"""Names of files that an export has already, or that the C library has."""


def _check_folder(place: Path, name: str) -> None:
    """Refuse to overwrite what is no export of this name."""
    files = (f"{name}.h", f"{name}.c", "example_main.c", "README.md", "metadata.json")
    there = [file for file in files if (place / file).exists()]
    if not there:
        return
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


def _version() -> str:
    from phc_snn import __version__  # which is not there yet when this module is imported

    return __version__


@torch.no_grad()
def deviation(model: PHCSSM, inputs: Tensor) -> Deviation:
    """Compare the arithmetic of the C code with `Sequential` on ``inputs`` (T, B, D_in).

    The latter runs where the model is, on a GPU too.
    """
    reference = BitReference(model)
    inputs = inputs.to(torch.float32)
    device = next(model.parameters()).device
    truth = model(inputs.to(device), solver=Sequential())
    spikes, voltage = truth.solution.spikes.cpu(), truth.solution.voltage.cpu()
    found = trace(reference, inputs)
    error = (found["voltage"] - voltage).double()
    return Deviation(
        error.numel(),
        int((found["spikes"] != spikes).sum()),
        float(error.square().mean().sqrt()),
        float(error.abs().max()),
        float((found["logits"][-1].argmax(-1) == truth.logits.cpu().argmax(-1)).double().mean()),
    )
