"""Machines that the C code is compiled for and run on: this one, and two that QEMU stands for."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phc_snn.firmware.library import FLAGS

BOARD = Path(__file__).parent / "mps2"
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wdouble-promotion", "-Wconversion", "-pedantic")


@dataclass(frozen=True)
class Target:
    """A machine.

    Attributes:
        name: Of the machine.
        compiler: Command, and the options that the machine needs.
        linked: Options and files that a whole program needs besides.
        runner: Command that runs a program.
        tools: Name of the prefix of ``nm``, ``size`` and ``objdump``.
    """

    name: str
    compiler: tuple[str, ...]
    linked: tuple[str, ...] = ("-lm",)
    runner: tuple[str, ...] = ()
    tools: str = ""

    @property
    def missing(self) -> list[str]:
        """Commands that are not there."""
        commands = [self.compiler[0], *self.runner[:1], f"{self.tools}nm"]
        return [command for command in commands if shutil.which(command) is None]


HOST = Target("this machine", ("gcc",))
CORTEX_A76 = Target(
    "Cortex-A76",
    ("aarch64-linux-gnu-gcc", "-mcpu=cortex-a76"),
    ("-static", "-lm"),
    ("qemu-aarch64", "-cpu", "cortex-a76"),
    "aarch64-linux-gnu-",
)
CORTEX_M4 = Target(
    "Cortex-M4F",
    ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    (
        str(BOARD / "startup.c"),
        "-T",
        str(BOARD / "mps2.ld"),
        "-nostartfiles",
        "--specs=nano.specs",
        "--specs=rdimon.specs",
        "-Wl,--gc-sections",
        "-lm",
    ),
    (
        "qemu-system-arm",
        "-M",
        "mps2-an386",
        "-cpu",
        "cortex-m4",
        "-nographic",
        "-monitor",
        "none",
        "-serial",
        "none",
        "-icount",
        "shift=0",
        "-semihosting-config",
        "enable=on,target=native",
        "-kernel",
    ),
    "arm-none-eabi-",
)
TARGETS = (HOST, CORTEX_A76, CORTEX_M4)


def run(command: Sequence[str], folder: Path, timeout: float = 600.0) -> str:
    """The standard output of a command.

    Raises:
        ChildProcessError: It ended with an error, or not in time.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ChildProcessError(f"{command[0]}: not done after {timeout:g} s") from error
    if done.returncode:
        raise ChildProcessError(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def roomy(target: Target, folder: Path) -> Target:
    """The board with all of its memory, 4 MB each, so that any network can be measured."""
    script = BOARD / "mps2.ld"
    if str(script) not in target.linked:
        return target
    text = script.read_text(encoding="utf-8").replace("128K", "4M").replace("40K", "4M")
    own = folder / "roomy.ld"
    own.write_text(text, encoding="utf-8")
    linked = tuple(str(own) if part == str(script) else part for part in target.linked)
    return replace(target, linked=linked)


def build(
    target: Target, folder: Path, sources: Sequence[str], program: str, options: Sequence[str] = ()
) -> Path:
    """Compile and link files of a folder; the program lies beside them."""
    command = [*target.compiler, *FLAGS, "-O2", *options, *sources, "-o", program]
    run([*command, *target.linked], folder)
    return folder / program


def execute(target: Target, program: Path, timeout: float = 600.0) -> str:
    """Run a program in its folder."""
    return run([*target.runner, str(program.resolve())], program.parent, timeout)


def symbols(target: Target, file: Path) -> set[str]:
    """What an object file wants of other libraries."""
    listed = run([f"{target.tools}nm", "-u", file.name], file.parent)
    return {line.split()[-1] for line in listed.splitlines() if line.strip()}


@dataclass(frozen=True)
class Budget:
    """What the library takes on a microcontroller.

    Attributes:
        flash, state, stack: Bytes: code and tables; what the caller owns; the deepest call.
        instructions: Of a step, counted by QEMU, which knows no cycles: a mean over many.
    """

    flash: int
    state: int
    stack: int
    instructions: int


def record_program(prefix: str, states: Sequence[str]) -> str:
    """A program that runs sequences of a file, and writes all bits of every step to another."""
    big = prefix.upper()
    written = "\n".join(
        f"            fwrite(state.{name}, sizeof state.{name}, 1, to);"
        for name in ("voltage", *states, "spikes")
    )
    return f"""#include <stdint.h>
#include <stdio.h>
#include "{prefix}.h"

static {prefix}_state state;

int main(void)
{{
    FILE *from = fopen("input.bin", "rb"), *to = fopen("output.bin", "wb");
    uint32_t sequences, steps, n, t;
    float x[{big}_INPUTS], logits[{big}_CLASSES];
    if (!from || !to || fread(&sequences, sizeof sequences, 1, from) != 1) {{
        return 1;
    }}
    for (n = 0; n < sequences; ++n) {{
        if (fread(&steps, sizeof steps, 1, from) != 1) {{
            return 1;
        }}
        {prefix}_reset(&state);
        for (t = 0; t < steps; ++t) {{
            if (fread(x, sizeof x, 1, from) != 1) {{
                return 1;
            }}
            {prefix}_step(&state, x);
            {prefix}_logits(&state, logits);
{written}
            fwrite(logits, sizeof logits, 1, to);
        }}
    }}
    fclose(to);
    printf("selftest %d\\n", {prefix}_selftest(&state));
    return 0;
}}
"""


def write_input(path: Path, sequences: Sequence[Tensor]) -> None:
    """Sequences (T, D_in) as the program of `record_program` reads them."""
    parts = [np.uint32(len(sequences)).tobytes()]
    for x_seq in sequences:
        parts += [np.uint32(len(x_seq)).tobytes(), x_seq.to(torch.float32).numpy().tobytes()]
    path.write_bytes(b"".join(parts))


def measure_budget(source: str, header: str, prefix: str) -> Budget:
    """Compile for the microcontroller, and count.

    Raises:
        ChildProcessError: The compiler or QEMU is missing or fails.
    """
    if CORTEX_M4.missing:
        raise ChildProcessError(f"{', '.join(CORTEX_M4.missing)}: not found")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"{prefix}.c").write_text(source, encoding="utf-8")
        (folder / f"{prefix}.h").write_text(header, encoding="utf-8")
        (folder / "count_steps.c").write_text(_counting(prefix), encoding="utf-8")
        object_file = f"{prefix}.o"
        options = ("-c", "-fstack-usage", "-ffunction-sections", "-fdata-sections")
        run(
            [*CORTEX_M4.compiler, *FLAGS, "-O2", *options, f"{prefix}.c", "-o", object_file], folder
        )
        sized = run([f"{CORTEX_M4.tools}size", "-A", object_file], folder)
        flash = _flash(sized)
        stack = _stack((folder / f"{prefix}.su").read_text(), prefix)
        board = roomy(CORTEX_M4, folder)
        program = build(board, folder, [f"{prefix}.c", "count_steps.c"], "count.elf")
        state, ticks, steps = map(int, execute(CORTEX_M4, program).split())
    # One instruction lasts a nanosecond there, and the clock of the board ticks every 40.
    return Budget(flash, state, stack, round(40 * ticks / steps))


def _flash(sized: str) -> int:
    """Bytes of code and constants, the self-test included."""
    total = 0
    for line in sized.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[0].startswith((".text", ".rodata", ".data")):
            total += int(parts[1])
    return total


def _stack(listed: str, prefix: str) -> int:
    """The deepest call: the self-test calls a step, and that the encoder."""
    frames = {}
    for line in listed.splitlines():
        place, size, _ = line.split("\t")
        frames[place.rsplit(":", 1)[-1]] = int(size)
    step = frames.get(f"{prefix}_step", 0) + frames.get(f"{prefix}_encode", 0)
    deepest = max(step, frames.get(f"{prefix}_logits", 0), frames.get(f"{prefix}_hash", 0))
    return frames.get(f"{prefix}_selftest", 0) + deepest


def _counting(prefix: str) -> str:
    big = prefix.upper()
    return f"""#include <stdint.h>
#include <stdio.h>
#include "{prefix}.h"

#define CONTROL (*(volatile uint32_t *)0xE000E010u)
#define RELOAD (*(volatile uint32_t *)0xE000E014u)
#define VALUE (*(volatile uint32_t *)0xE000E018u)

static {prefix}_state state;

int main(void)
{{
    float x[{big}_INPUTS];
    uint32_t random = 1u, began, ticks = 0u;
    unsigned int t, k;
    {prefix}_reset(&state);
    RELOAD = 0xFFFFFFu;
    VALUE = 0u;
    CONTROL = 5u;
    for (t = 0; t < 200u; ++t) {{
        for (k = 0; k < {big}_INPUTS; ++k) {{
            random = random * 1664525u + 1013904223u;
            x[k] = ((float)(random >> 16) - 32768.0f) / 16384.0f;
        }}
        began = VALUE;
        {prefix}_step(&state, x);
        ticks += (began - VALUE) & 0xFFFFFFu;
    }}
    printf("%u %u 200\\n", (unsigned)sizeof state, (unsigned)ticks);
    return 0;
}}
"""
