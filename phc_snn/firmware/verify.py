"""The C code run on a machine, and every bit of every step compared with the reference."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phc_snn.firmware.names import check_name
from phc_snn.firmware.programs import record_on_gpu, record_program, write_input
from phc_snn.firmware.reference import BitReference, Trace, check_recordings, trace
from phc_snn.firmware.source import Source
from phc_snn.firmware.targets import HOST, Target, build, execute, roomy
from phc_snn.models import PHCSSM


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        target: Name of the machine.
        values: How many numbers were compared.
        differing: Of each quantity, the numbers of which a bit differs.
        selftest: What the self-test says there; 0 if all is right.
        decisions: Share of samples on which both decide alike.
    """

    target: str
    values: int
    differing: dict[str, int]
    selftest: int
    decisions: float

    @property
    def exact(self) -> bool:
        """No bit differs."""
        return self.selftest == 0 and not any(self.differing.values())


def verify(
    model: PHCSSM, inputs: Tensor, target: Target = HOST, *, name: str = "network"
) -> Verification:
    """Compile a model's C code for a machine, run it, and compare all bits with `BitReference`.

    Args:
        model: The model.
        inputs: (T, B, D_in).
        target: `HOST`, `CORTEX_A76`, `CORTEX_M4` or `GPU` of `phc_snn.firmware.targets`. QEMU runs
            the middle two; the GPU takes CUDA's compiler, and each sequence is a thread.
        name: Prefix of the C code's files and symbols, as `export_c` takes it.

    Raises:
        ChildProcessError: A compiler or QEMU is missing, or fails.
        TypeError, ValueError: As `export_c`; input that is empty or not finite.

    Of a network that overflows, with input of 1e38 say, NaN is NaN: its bits are not compared.
    """
    if not isinstance(target, Target):
        raise TypeError(
            f"target: got {target!r}, expected HOST, CORTEX_A76, CORTEX_M4 or GPU of "
            "phc_snn.firmware"
        )
    check_name(name)
    if target.missing:
        raise ChildProcessError(f"{target.name}: {target.lacks}")
    reference = BitReference(model)
    inputs, plan = check_recordings(model, inputs), reference.plan
    source = Source(reference, name, "verify")
    names = [state for state, _ in plan.states]
    wanted = trace(reference, inputs, names)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_sources(folder, source, names)
        found, selftest = record(target, folder, model, names, inputs, prefix=name)
    differing = {part: _differing(found[part], wanted[part]) for part in wanted}
    alike = found["logits"][-1].argmax(-1) == wanted["logits"][-1].argmax(-1)
    return Verification(
        target.name,
        sum(t.numel() for t in wanted.values()),
        differing,
        selftest,
        float(alike.double().mean()),
    )


def write_sources(folder: Path, source: Source, names: Sequence[str]) -> None:
    """The library, and the programs that record it, on a processor and on a GPU."""
    (folder / f"{source.prefix}.h").write_text(source.header, encoding="utf-8")
    (folder / f"{source.prefix}.c").write_text(source.code, encoding="utf-8")
    for file, program in (("_record.c", record_program), ("_record.cu", record_on_gpu)):
        (folder / file).write_text(program(source.prefix, names), encoding="utf-8")


def record(
    target: Target,
    folder: Path,
    model: PHCSSM,
    names: Sequence[str],
    inputs: Tensor,
    options: Sequence[str] | None = None,
    prefix: str = "network",
) -> tuple[Trace, int]:
    """Compile what `write_sources` wrote, run it on ``inputs``, and read what it computed.

    Raises:
        ChildProcessError: It does not compile, link or run, or does not write all steps.
    """
    output = folder / "output.bin"
    output.unlink(missing_ok=True)  # of another run it would say nothing of this one
    write_input(folder / "input.bin", list(inputs.unbind(1)))
    options = target.warnings if options is None else options
    sources = ["_record.cu"] if target.gpu else [f"{prefix}.c", "_record.c"]
    program = build(roomy(target, folder), folder, sources, "record.elf", options)
    said = execute(target, program)
    steps, batch, _ = inputs.shape
    neurons, classes = model.network.features, model.num_classes
    kinds = [(name, "<f4", (neurons,)) for name in ("voltage", *names)]
    layout = np.dtype([*kinds, ("spikes", "u1", (neurons,)), ("logits", "<f4", (classes,))])
    if not output.is_file() or output.stat().st_size != steps * batch * layout.itemsize:
        raise ChildProcessError(
            f"{target.name}: the program did not write all steps\n{said[-2000:]}"
        )
    table = np.fromfile(output, layout).reshape(batch, steps)
    found = {
        name: torch.from_numpy(np.ascontiguousarray(table[name].swapaxes(0, 1)).astype(np.float32))
        for name in layout.names or ()
    }
    return found, int(said.split()[-1])


def _differing(found: Tensor, wanted: Tensor) -> int:
    """How many numbers differ in a bit; NaN has many, which IEEE 754 leaves open."""
    bits = (values.contiguous().view(torch.int32) for values in (found, wanted))
    both_nan = torch.isnan(found) & torch.isnan(wanted)
    return int((torch.ne(*bits) & ~both_nan).sum())
