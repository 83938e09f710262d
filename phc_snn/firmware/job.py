"""The job of ``phc-snn export-c``: a run's model as C, checked on its own test set."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phc_snn.data import EVENT_SETS
from phc_snn.firmware.export import check_export, export_c
from phc_snn.firmware.result import FLASH, RAM, CLibrary
from phc_snn.firmware.targets import TARGETS, fault, told
from phc_snn.firmware.verify import Verification, verify
from phc_snn.models import PHCSSM
from phc_snn.training.checkpoint import load_model, read_config
from phc_snn.training.measure import MeasureConfig, read_test_set
from phc_snn.training.recordings import OTHER_SETS
from phc_snn.training.settings import check_settings, required, setting


@dataclass(frozen=True)
class ExportConfig:
    """Settings of `export_run`; a TOML file and the command line have the same names.

    What each one means stands at its field; ``phc-snn export-c --help`` lists them.
    """

    checkpoint: Path = required("A run's folder, or the model in it.")
    out: Path = setting(Path("firmware"), "Folder for the C files.", short="-o")
    name: str = setting("network", "Prefix of files and symbols, in lower case.")
    verify: bool = setting(
        False, "Run the test set here, in QEMU and on a GPU, and compare every bit."
    )
    data_dir: Path | None = setting(None, "Folder with <data>/<data>_TRAIN.ts and _TEST.ts.")
    flash: int = setting(FLASH, "Bytes of flash that there are.", least=1)
    ram: int = setting(RAM, "Bytes of RAM that there are.", least=1)


@dataclass(frozen=True)
class Exported:
    """What `export_run` did.

    Attributes:
        library: What was written.
        verified: Of each machine that is there; empty if not asked for.
        notes: Warnings, and what could not be done.
    """

    library: CLibrary
    verified: list[Verification]
    notes: list[str]


def export_run(
    config: ExportConfig, progress: Callable[[str], None] = lambda text: None
) -> Exported:
    """Write the C code of a trained model.

    Args:
        config: What to write.
        progress: Told what is under way.

    Raises:
        FileNotFoundError: The checkpoint or its data set is not at hand.
        ValueError: A checkpoint that is none, is damaged, or holds what has no C code; a machine
            that computes other bits. Nothing is written.
        OSError: The folder cannot be written.
    """
    check_settings(config)
    saved = read_config(config.checkpoint)
    model = load_model(config.checkpoint).eval()
    data, classes, scaling = (saved.get(part) for part in ("data", "classes", "scaling"))
    if isinstance(data, str) and data in EVENT_SETS and isinstance(scaling, dict):
        scaling = {**scaling, "formula": "log(1 + count) / scale"}
    prepared = _prepared(saved)
    check_export(model, config.out, config.name, scaling, classes, prepared)
    notes: list[str] = []
    inputs: Tensor | None = None
    if not isinstance(data, str) or data in EVENT_SETS or data in OTHER_SETS:
        notes.append("the arithmetic was not compared with torch: that takes a run on a UEA set")
    else:
        progress("reading the test set")
        measured = MeasureConfig(config.checkpoint, data_dir=config.data_dir)
        samples = read_test_set(measured, saved, model).test_x
        if not isinstance(samples, Tensor):
            steps = min(map(len, samples))
            notes.append(f"test recordings were compared on their first {steps} steps")
            samples = torch.stack([sample[:steps] for sample in samples])
        inputs = samples.transpose(0, 1)  # time first
    verified = []
    if config.verify:
        if inputs is None:
            raise ValueError("verify: there is no test set to run; it takes a run on a UEA set")
        verified = _verify(model, inputs, config.name, notes, progress)
    progress("writing the C code")
    library = export_c(
        model, config.out, name=config.name, inputs=inputs, scaling=scaling, classes=classes,
        prepared=prepared,
    )  # fmt: skip
    return Exported(library, verified, [*notes, *library.warnings(config.flash, config.ram)])


def _prepared(saved: dict[str, Any]) -> dict[str, Any] | None:
    """What was done to recordings before they were scaled: frames, bands, averages."""
    found = {}
    for part in ("events", "series", "pixels", "speech"):
        values = saved.get(part)
        if isinstance(values, dict):
            values = {name: value for name, value in values.items() if value is not None}
        if values:
            found[part] = values
    return found or None


def _verify(
    model: PHCSSM, inputs: Tensor, name: str, notes: list[str], progress: Callable[[str], None]
) -> list[Verification]:
    """Run every machine that is there."""
    faults = {target.name: fault(target) for target in TARGETS}
    if all(faults.values()):
        lacking = "; ".join(f"{machine}: {why}" for machine, why in faults.items())
        raise ValueError(f"verify: there is no machine to run on ({lacking})")
    verified = []
    for target in TARGETS:
        if faults[target.name]:
            notes.append(f"not run on {target.name}: {faults[target.name]}")
            continue
        progress(f"running it on {target.name}")
        try:
            found = verify(model, inputs, target, name=name)
        except ChildProcessError as error:
            raise ValueError(
                f"verify: {target.name} runs other programs, and not this one ({told(error)}); "
                "nothing was written"
            ) from error
        if not found.exact:
            raise ValueError(
                f"verify: on {found.target} {sum(found.differing.values()):,} of "
                f"{found.values:,} numbers differ in a bit, and the self-test says "
                f"{found.selftest}; nothing was written"
            )
        verified.append(found)
    return verified
