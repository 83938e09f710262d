"""`export_c`: a trained model as a C99 library, and what is known about it."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phc_snn.files import write_text
from phc_snn.firmware.golden import golden
from phc_snn.firmware.plan import Plan, make_plan
from phc_snn.firmware.reference import BitReference
from phc_snn.firmware.source import FLAGS, Source
from phc_snn.firmware.targets import CORTEX_M4, Budget, measure_budget
from phc_snn.models import PHCSSM
from phc_snn.solvers import Sequential

FLASH, RAM = 128 * 1024, 40 * 1024
"""Bytes of the microcontroller that the published work names."""
_NEAR = 0.8
"""Share of a budget from which on it is worth a warning."""


@dataclass(frozen=True)
class Deviation:
    """How far the arithmetic of the C code is from that of the torch modes, on some input.

    Attributes:
        steps: Neuron-steps that were compared.
        differing_spikes: Neuron-steps at which one fires and the other does not.
        voltage_rmse, voltage_max: Of the voltages.
        decisions: Share of samples on which both decide alike.
    """

    steps: int
    differing_spikes: int
    voltage_rmse: float
    voltage_max: float
    decisions: float


@dataclass(frozen=True)
class CLibrary:
    """What `export_c` wrote.

    Attributes:
        folder: Where.
        name: Prefix of every symbol, and of the files.
        weight_hash: First 16 digits of the SHA-256 of the weights.
        states: Names of what the state holds of each neuron, beside voltage and spikes.
        connections: Weights of the connectome that are not zero.
        budget: On the microcontroller; None without its compiler.
        deviation: From the torch modes; None without input to measure it on.
    """

    folder: Path
    name: str
    weight_hash: str
    states: tuple[str, ...]
    connections: int
    budget: Budget | None
    deviation: Deviation | None

    def warnings(self, flash: int = FLASH, ram: int = RAM) -> list[str]:
        """What comes near a budget, in words."""
        if self.budget is None:
            return [
                f"flash, stack and instructions were not measured: {', '.join(CORTEX_M4.missing)} "
                "not found"
            ]
        found = []
        used = {
            "flash": (self.budget.flash, flash),
            "RAM": (self.budget.state + self.budget.stack, ram),
        }
        for name, (bytes_used, limit) in used.items():
            if bytes_used > _NEAR * limit:
                verb = "passes" if bytes_used > limit else "comes near"
                found.append(f"{name}: {bytes_used:,} bytes {verb} the budget of {limit:,}")
        return found


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
    reference = BitReference(model)
    source = Source(plan, name, _version())
    source.write(golden(reference))
    missing = bool(CORTEX_M4.missing)
    library = CLibrary(
        Path(folder),
        name,
        source.weight_hash,
        tuple(state for state, _ in plan.states),
        source.connections,
        None if missing else measure_budget(source.code, source.header, name),
        None if inputs is None else deviation(model, inputs),
    )
    try:
        metadata = json.dumps(_metadata(library, plan, scaling), indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"scaling: got {scaling!r}, expected JSON values ({error})") from error
    texts = {
        f"{name}.h": source.header,
        f"{name}.c": source.code,
        "example_main.c": _example(name),
        "README.md": _readme(library, plan),
        "metadata.json": metadata + "\n",
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
    metadata = place / "metadata.json"
    files = (f"{name}.h", f"{name}.c", "example_main.c", "README.md", "metadata.json")
    there = [file for file in files if (place / file).exists()]
    if not there:
        return
    try:
        content = json.loads(metadata.read_text(encoding="utf-8"))
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
    """Compare the arithmetic of the C code with `Sequential` on ``inputs`` (T, B, D_in)."""
    inputs = inputs.to(torch.float32)
    truth = model(inputs, solver=Sequential())
    reference = BitReference(model)
    state = reference.initial_state(inputs.shape[1])
    spikes, voltages, logits = [], [], reference.logits(state)
    for x_t in inputs.unbind(0):
        fired, voltage, logits, state = reference.advance(x_t, state)
        spikes.append(fired)
        voltages.append(voltage)
    error = (torch.stack(voltages) - truth.solution.voltage).double()
    return Deviation(
        error.numel(),
        int((torch.stack(spikes) != truth.solution.spikes).sum()),
        float(error.square().mean().sqrt()),
        float(error.abs().max()),
        float((logits.argmax(-1) == truth.logits.argmax(-1)).double().mean()),
    )


def _metadata(library: CLibrary, plan: Plan, scaling: Mapping[str, Any] | None) -> dict[str, Any]:
    model = plan.model
    return {
        "name": library.name,
        "phc_snn": _version(),
        "weights_sha256": library.weight_hash,
        "flags": list(FLAGS),
        "inputs": model.in_features,
        "neurons": model.network.features,
        "classes": model.num_classes,
        "connections": library.connections,
        "states": list(library.states),
        "scaling": scaling,
        "model": model.config(),
        "budget": library.budget and asdict(library.budget),
        "deviation": library.deviation and asdict(library.deviation),
    }


def _example(name: str) -> str:
    big = name.upper()
    return f"""/* Samples in, one at a time; a decision out after each of them. */
#include <stdio.h>

#include "{name}.h"

/* Stands for a sensor: puts the next sample into x, and returns 0 at the end. */
static int read_sample(float x[{big}_INPUTS])
{{
    int k;
    for (k = 0; k < {big}_INPUTS; ++k) {{
        if (scanf("%f", &x[k]) != 1) {{
            return 0;
        }}
    }}
    return 1;
}}

int main(void)
{{
    static {name}_state state;
    float x[{big}_INPUTS], logits[{big}_CLASSES];
    const int failed = {name}_selftest(&state);
    if (failed) {{
        printf("this machine computes other bits (%d)\\n", failed);
        return failed;
    }}
    {name}_reset(&state);
    while (read_sample(x)) {{
        {name}_step(&state, x);
        {name}_logits(&state, logits);
        printf("step %lu: class %d\\n", (unsigned long)state.steps, {name}_decide(logits));
    }}
    return 0;
}}
"""


def _readme(library: CLibrary, plan: Plan) -> str:
    name, model = library.name, plan.model
    lines = [
        f"# {name}",
        "",
        f"A recurrent spiking network as C99: {model.in_features} inputs, "
        f"{model.network.features} neurons, {model.num_classes} classes. Written by phc_snn "
        f"{_version()}; weights SHA-256 {library.weight_hash}...",
        "",
        "```",
        f"cc {' '.join(FLAGS)} -O2 {name}.c example_main.c -o example -lm",
        "```",
        "",
        f"Copy `{name}.h` and `{name}.c` into a project, and compile them with these flags. The",
        "source refuses `-ffast-math` and extended precision, and asks for no contraction;",
        f"call `{name}_selftest(&state)` once on the device: 0 where all bits are right.",
        "",
        "The input has to be scaled as it was in training: `metadata.json` says how, if it is",
        "known. Samples come one at a time:",
        "",
        "```c",
        f"static {name}_state state;",
        f"{name}_reset(&state);",
        f"{name}_step(&state, x);         /* for each sample */",
        f"{name}_logits(&state, logits);  /* whenever a decision is wanted */",
        "```",
        "",
        "Nothing is allocated, nothing calls itself, and nothing is kept outside of the state that",
        "the caller owns.",
    ]
    if library.budget is not None:
        budget = library.budget
        lines += [
            "",
            "| on a Cortex-M4F | |",
            "|---|---|",
            f"| code and tables | {budget.flash:,} bytes of flash |",
            f"| state | {budget.state:,} bytes of RAM |",
            f"| stack | {budget.stack:,} bytes |",
            f"| a step | {budget.instructions:,} instructions, counted by QEMU; no cycles |",
        ]
    if library.deviation is not None:
        d = library.deviation
        lines += [
            "",
            f"Beside the network in torch, over {d.steps:,} neuron-steps: {d.differing_spikes:,} "
            f"spikes differ, voltages by {d.voltage_rmse:.1e} (root mean square) and at most "
            f"{d.voltage_max:.1e}; {100 * d.decisions:.1f} % of the decisions are the same.",
        ]
    return "\n".join(lines) + "\n"
