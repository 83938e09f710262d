"""What lies beside the C code: an example, a page, and what a program can read."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from phc_snn.firmware.library import FLAGS
from phc_snn.firmware.plan import Plan
from phc_snn.firmware.result import CLibrary


def metadata(
    library: CLibrary,
    plan: Plan,
    scaling: Mapping[str, Any] | None,
    classes: Sequence[str] | None,
    prepared: Mapping[str, Any] | None,
) -> dict[str, Any]:
    model = plan.model
    return {
        "name": library.name,
        "phc_snn": library.version,
        "weights_sha256": library.weight_hash,
        "build": library.build,
        "flags": list(FLAGS),
        "inputs": model.in_features,
        "neurons": model.network.features,
        "classes": list(classes) if classes is not None else model.num_classes,
        "readout": model.readout,
        "windows": model.windows,
        "window_steps": model.window_steps,
        "connections": library.connections,
        "states": list(library.states),
        "scaling": scaling and {"formula": _formula(scaling), **scaling},
        "prepared": prepared and dict(prepared),
        "budget": library.budget and asdict(library.budget),
        "deviation": library.deviation and asdict(library.deviation),
    }


def _formula(scaling: Mapping[str, Any]) -> str:
    formula: str = scaling.get(
        "formula", "(x - mean) / scale" if "mean" in scaling else "x / scale"
    )
    return formula


def example(name: str) -> str:
    big = name.upper()
    return f"""/* Samples in, one at a time; a decision out after each of them. */
#include <stdio.h>

#include "{name}.h"

/* Stands for a sensor: puts the next sample into x, scaled as README.md says, and returns 0 at the
 * end. Numbers are read with spaces between them. */
static int read_sample(float x[{big}_INPUTS])
{{
    int k;
    for (k = 0; k < {big}_INPUTS; ++k) {{
        const int found = scanf("%f", &x[k]);
        if (found != 1) {{
            if (found == 0 || k > 0) {{
                printf("expected %d numbers a sample\\n", {big}_INPUTS);
            }}
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
        if ({name}_step(&state, x)) {{
            printf("a number is NaN or infinite: this sample is left out\\n");
            continue;
        }}
        {name}_logits(&state, logits);
        printf("step %lu: class %d\\n", (unsigned long)state.steps, {name}_decide(logits));
    }}
    return 0;
}}
"""


def readme(
    library: CLibrary,
    plan: Plan,
    scaling: Mapping[str, Any] | None,
    classes: Sequence[str] | None,
    prepared: Mapping[str, Any] | None,
) -> str:
    name, model = library.name, plan.model
    lines = [
        f"# {name}",
        "",
        f"A recurrent spiking network as C99: {model.in_features} inputs, "
        f"{model.network.features} neurons, {model.num_classes} classes. Written by phc_snn "
        f"{library.version}; weights SHA-256 {library.weight_hash}, build {library.build}.",
        "",
        "```",
        f"cc {' '.join(FLAGS)} -O2 {name}.c example_main.c -o example -lm",
        "```",
        "",
        f"Copy `{name}.h` and `{name}.c` into a project, and compile them with these flags. The",
        "source refuses `-ffast-math` and extended precision, and asks for no contraction;",
        f"call `{name}_selftest(&state)` once on the device: 0 where all bits are right.",
        "",
        *_input(scaling, prepared),
        *_classes(classes),
        "Samples come one at a time:",
        "",
        "```c",
        f"static {name}_state state;",
        f"{name}_reset(&state);           /* before each recording */",
        f"{name}_step(&state, x);         /* for each sample; 1: NaN, Inf, overflow */",
        f"{name}_logits(&state, logits);  /* whenever a decision is wanted */",
        f"{name}_clear_readout(&state);   /* where input has no end: to decide anew */",
        "```",
        "",
        f"The logits are {_decided_by(plan)} since the reset.",
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


def _input(scaling: Mapping[str, Any] | None, prepared: Mapping[str, Any] | None) -> list[str]:
    before = []
    if prepared:
        before = [
            "Recordings have to be prepared as they were in training, before all else:",
            "",
            "```",
            *(f"{part} = {value}" for part, value in prepared.items()),
            "```",
            "",
        ]
    if scaling is None:
        return [*before, "The input has to be scaled as it was in training.", ""]
    parts = [f"{part} = {scaling[part]}" for part in ("mean", "scale") if part in scaling]
    return [
        *before,
        f"The input has to be scaled as it was in training, `{_formula(scaling)}` with",
        "",
        "```",
        *parts,
        "```",
        "",
    ]


def _classes(classes: Sequence[str] | None) -> list[str]:
    if classes is None:
        return []
    named = ", ".join(f"{i} {label}" for i, label in enumerate(classes))
    return [f"Classes: {named}.", ""]


def _decided_by(plan: Plan) -> str:
    model = plan.model
    if model.windows == 1:
        return "of the mean of all steps"
    return (
        f"of the means of {model.windows} windows of {model.window_steps} steps, the last without "
        "an end,"
    )
