"""What a library takes on a microcontroller: bytes by the compiler, instructions by QEMU."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from phc_snn.firmware.library import FLAGS
from phc_snn.firmware.programs import count_program
from phc_snn.firmware.targets import CORTEX_M4, build, execute, roomy, run


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


def measure_budget(source: str, header: str, prefix: str) -> Budget:
    """Compile for the microcontroller, and count.

    Raises:
        ChildProcessError: The compiler or QEMU is missing or fails.
    """
    if CORTEX_M4.missing:
        raise ChildProcessError(f"{', '.join(CORTEX_M4.missing)} not found")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"{prefix}.c").write_text(source, encoding="utf-8")
        (folder / f"{prefix}.h").write_text(header, encoding="utf-8")
        (folder / "_count.c").write_text(count_program(prefix), encoding="utf-8")
        object_file = f"{prefix}.o"
        options = ("-c", "-fstack-usage", "-ffunction-sections", "-fdata-sections")
        run(
            [*CORTEX_M4.compiler, *FLAGS, "-O2", *options, f"{prefix}.c", "-o", object_file], folder
        )
        sized = run([f"{CORTEX_M4.tools}size", "-A", object_file], folder)
        flash = _flash(sized)
        stack = _stack((folder / f"{prefix}.su").read_text(), prefix)
        board = roomy(CORTEX_M4, folder)
        program = build(board, folder, [f"{prefix}.c", "_count.c"], "count.elf")
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
    frames: dict[str, int] = {}
    for line in listed.splitlines():
        place, size, _ = line.split("\t")
        # A compiler that splits a function calls the rest of step step.part.0.
        function = place.rsplit(":", 1)[-1].split(".")[0]
        frames[function] = frames.get(function, 0) + int(size)
    step = frames.get(f"{prefix}_step", 0) + frames.get(f"{prefix}_encode", 0)
    deepest = max(step, frames.get(f"{prefix}_logits", 0), frames.get(f"{prefix}_hash", 0))
    return frames.get(f"{prefix}_selftest", 0) + deepest
