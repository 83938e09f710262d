"""What the jobs of the command line share: solvers by name, the folder, the repeating command."""

import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import torch

import phc_snn
from phc_snn.ensemble import Ensemble
from phc_snn.models import PHCSSM
from phc_snn.solvers import Auto, Exact, Jacobi, Sequential, Solver

SolverName = Literal["auto", "jacobi", "exact", "sequential"]
Device = Literal["cpu", "cuda", "auto"]
Precision = Literal["32-true", "64-true"]
Schedule = Literal["cosine", "constant"]
Log = Literal["none", "csv", "tensorboard"]
SOLVERS: dict[str, type[Auto] | type[Jacobi] | type[Exact] | type[Sequential]] = {
    "auto": Auto,
    "jacobi": Jacobi,
    "exact": Exact,
    "sequential": Sequential,
}


def make_solver(name: SolverName, sweeps: int) -> Solver:
    """The solver of that name; ``sweeps`` are those of ``"jacobi"``."""
    return Jacobi(sweeps) if name == "jacobi" else SOLVERS[name]()


def check_device(device: Device) -> None:
    """Refuse a device that is not there.

    Raises:
        ValueError: cuda without one.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: got 'cuda', but no CUDA device is available here; use cpu")


def command_line(command: str, config: Any) -> str:
    """The words that repeat a command with these settings; those that are None are left out."""
    words = ["phc-snn", command]
    for field in fields(config):
        value = getattr(config, field.name)
        option = f"--{field.name.replace('_', '-')}"
        if field.default is MISSING:
            words.append(str(value))
        elif isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        elif value is not None:
            words += [option, str(value)]
    return shlex.join(words)


def is_first_process() -> bool:
    """Whether this is the process that writes, or one that Lightning started to share its work."""
    # Launchers number all processes; Lightning itself numbers those of a machine, and the user the
    # machines.
    names = [name for name in ("RANK", "SLURM_PROCID") if name in os.environ][:1]
    return all(os.environ.get(name, "0") == "0" for name in names or ("NODE_RANK", "LOCAL_RANK"))


@contextmanager
def results_in(folder: Path) -> Iterator[None]:
    """Make the folder before the work, and leave no empty one behind if the work fails."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"out: cannot make the folder {folder} ({error.strerror})") from error
        yield
    finally:
        for path in made:
            with suppress(OSError):  # a folder that holds something, or was never made
                path.rmdir()


def new_folder(data: str) -> Path:
    """Where a run's results go unless the user says where."""
    return Path("runs") / f"{data}-{datetime.now():%Y%m%d-%H%M%S}"


def about_run(config: Any, model: PHCSSM | Ensemble, training: Any) -> dict[str, Any]:
    """What every report begins with: settings, versions, parameters, and how training ended.

    Args:
        config: Dataclass of the job's settings, with a ``command``.
        model: The trained model.
        training: Its `TrainingResult`.
    """
    count = model.count_parameters()
    settings = {n: str(v) if isinstance(v, Path) else v for n, v in asdict(config).items()}
    return {
        "command": config.command(),
        "config": settings,
        "versions": versions(),
        "machine": machine(getattr(config, "device", "cpu")),
        "parameters": {"trainable": count.trainable, "effective": count.effective},
        "training": asdict(training),
    }


def machine(device: Device) -> str:
    """The GPU, or the processor."""
    if device != "cpu" and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    processor = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        names = [x for x in cpu.read_text().splitlines() if x.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    return processor


def versions() -> dict[str, str]:
    """What ran."""
    return {
        "phc_snn": phc_snn.__version__,
        "torch": torch.__version__,
        "Python": sys.version.split()[0],
    }
