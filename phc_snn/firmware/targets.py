"""Machines that the C code is compiled for and run on: here, on a GPU, and two in QEMU."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

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
        flags: Options that the bits hang on.
        warnings: Options by which no warning is let pass.
        gpu: Whether it is a GPU, for which programs are CUDA (``programs.record_on_gpu``).
    """

    name: str
    compiler: tuple[str, ...]
    linked: tuple[str, ...] = ("-lm",)
    runner: tuple[str, ...] = ()
    tools: str = ""
    flags: tuple[str, ...] = FLAGS
    warnings: tuple[str, ...] = WARNINGS
    gpu: bool = False

    @property
    def missing(self) -> list[str]:
        """What is not there: commands, a device."""
        commands = [self.compiler[0], *self.runner[:1], *([] if self.gpu else [f"{self.tools}nm"])]
        absent = [command for command in commands if shutil.which(command) is None]
        if self.gpu and not torch.cuda.is_available():
            absent.append("CUDA device")
        return absent

    @property
    def lacks(self) -> str:
        """`missing` in words; empty if all is there."""
        return f"there is no {', no '.join(self.missing)}" if self.missing else ""


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
GPU = Target(
    "GPU",
    ("nvcc", "-arch=native"),
    (),
    flags=("-fmad=false", "-ftz=false", "-prec-div=true", "-prec-sqrt=true"),
    warnings=("-Werror", "all-warnings"),
    gpu=True,
)
TARGETS = (HOST, CORTEX_A76, CORTEX_M4, GPU)


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


def told(error: ChildProcessError) -> str:
    """What a command says went wrong, in one line: the first that names an error, or the last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = [line for line in lines if "error" in line.lower()]
    return (found or lines or [""])[0 if found else -1]


def fault(target: Target) -> str:
    """Why no program at all runs on a machine; empty if one does."""
    if target.missing:
        return target.lacks
    source = "probe.cu" if target.gpu else "probe.c"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / source).write_text(_PROBE, encoding="utf-8")
        try:
            said = execute(target, build(target, folder, [source], "probe.elf"))
        except ChildProcessError as error:
            return told(error)
    return "" if said.split() == ["5"] else f"a program that writes 5 wrote {said!r}"


_PROBE = """#include <stdio.h>
int main(void) { printf("%d\\n", 5); return 0; }
"""


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
    command = [*target.compiler, *target.flags, "-O2", *options, *sources, "-o", program]
    run([*command, *target.linked], folder)
    return folder / program


def execute(target: Target, program: Path, timeout: float = 600.0) -> str:
    """Run a program in its folder."""
    return run([*target.runner, str(program.resolve())], program.parent, timeout)


def symbols(target: Target, file: Path) -> set[str]:
    """What an object file wants of other libraries."""
    listed = run([f"{target.tools}nm", "-u", file.name], file.parent)
    return {line.split()[-1] for line in listed.splitlines() if line.strip()}
