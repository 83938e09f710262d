"""Seconds of 1000 training steps, by the trainer that users run: ``python -m benchmarks.training``.

The published model on random numbers of the benchmark's sizes, with and without R-STDP, after one
epoch in which kernels are compiled and the step is recorded. ``--device cuda`` on a GPU.
"""

import argparse
import contextlib
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import TensorDataset

import phc_snn as phc
from phc_snn.files import write_json
from phc_snn.training.batches import training_loader
from phc_snn.training.lightning import Machines, fit_loader
from phc_snn.training.lightning_callbacks import EpochBar
from phc_snn.training.optimization import Optimization
from phc_snn.training.run import versions

# B, T, channels, classes, neurons, and the published seconds with and without R-STDP (Chiang 2026,
# Table 7: RTX 4090, JAX).
SIZES: dict[str, tuple[int, int, int, int, int, tuple[float, float]]] = {
    "SelfRegulationSCP1": (32, 896, 6, 2, 64, (33, 23)),
    "MotorImagery": (32, 3000, 64, 2, 16, (34, 27)),
    "EigenWorms": (4, 17984, 6, 5, 32, (129, 117)),
}
_EPOCHS = 5


def seconds(size: tuple[Any, ...], rstdp: phc.RSTDP | None, device: str, steps: int) -> float:
    """Time of ``steps`` training steps."""
    batch, length, channels, classes, neurons, _ = size
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4 * batch, length, channels, generator=generator)
    labels = torch.arange(len(x)) % classes
    model = phc.PHCSSM(channels, classes, neurons=neurons, solver="auto", generator=generator)
    loader = training_loader(
        TensorDataset(x, labels), batch_size=batch, seed=0, steps=max(steps // _EPOCHS, 1)
    )
    with _epoch_ends() as ends, contextlib.redirect_stdout(io.StringIO()):
        fit_loader(
            model,
            loader,
            Optimization(1e-3, "constant"),
            epochs=_EPOCHS + 1,
            rstdp=rstdp,
            machines=Machines(device),
        )
    return ends[-1] - ends[0]


@contextlib.contextmanager
def _epoch_ends() -> Iterator[list[float]]:
    """When each epoch has ended; its losses are read then, so the device has done its work."""
    ends: list[float] = []
    before = EpochBar.on_train_epoch_end

    def noted(self: Any, trainer: Any, module: Any) -> None:
        before(self, trainer, module)
        ends.append(time.perf_counter())

    EpochBar.on_train_epoch_end = noted
    try:
        yield ends
    finally:
        EpochBar.on_train_epoch_end = before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--only", help="one of the sizes")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    machine = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    found: dict[str, Any] = {"machine": machine, "versions": versions(), "seconds": {}}
    for name, size in SIZES.items():
        if arguments.only not in (None, name):
            continue
        for rule, published in zip((phc.RSTDP(), None), size[-1], strict=True):
            taken = seconds(size, rule, arguments.device, arguments.steps)
            word = "with R-STDP" if rule else "without"
            print(
                f"{name} {size[:3]}, N = {size[4]}, {word}: {taken:.2f} s for {arguments.steps} "
                f"steps on {machine} (published: {published} s for 1000)",
                flush=True,
            )
            found["seconds"][f"{name}, {word}"] = taken
    if arguments.out is not None:
        write_json(arguments.out, json.loads(json.dumps(found)))


if __name__ == "__main__":
    main()
