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
        flash, state: Bytes of code and tables, and of what the caller owns.
        stack: Bytes below the caller's own that the self-test, the deepest call, used in QEMU.
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
        raise ChildProcessError(CORTEX_M4.lacks)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"{prefix}.c").write_text(source, encoding="utf-8")
        (folder / f"{prefix}.h").write_text(header, encoding="utf-8")
        (folder / "_count.c").write_text(count_program(prefix), encoding="utf-8")
        object_file = f"{prefix}.o"
        options = ("-c", "-ffunction-sections", "-fdata-sections")
        run(
            [*CORTEX_M4.compiler, *FLAGS, "-O2", *options, f"{prefix}.c", "-o", object_file], folder
        )
        sized = run([f"{CORTEX_M4.tools}size", "-A", object_file], folder)
        flash = _flash(sized)
        board = roomy(CORTEX_M4, folder)
        program = build(board, folder, [f"{prefix}.c", "_count.c"], "count.elf")
        said = execute(CORTEX_M4, program)
        try:
            failed, state, stack, ticks, steps = map(int, said.split())
        except ValueError as error:
            raise ChildProcessError(
                f"{CORTEX_M4.runner[0]}: wrote {said!r}, expected five numbers"
            ) from error
    if failed:
        raise ChildProcessError(f"{CORTEX_M4.name}: the self-test says {failed}")
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
