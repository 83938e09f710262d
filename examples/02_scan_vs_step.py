"""A neuron over a whole sequence at once, and step by step: same bits, another cost.

Run:  uv run python examples/02_scan_vs_step.py [--small] [--out FOLDER]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from matplotlib.figure import Figure
from torch import Tensor

import phc_snn as phc


def stepwise(neuron: phc.ALIF, x_seq: Tensor) -> Tensor:
    state, voltages = None, []
    for x_t in x_seq.unbind(0):  # not x_seq[t], whose backward is quadratic in T
        _, voltage, state = neuron.step(x_t, state)
        voltages.append(voltage)
    return torch.stack(voltages)


def seconds(run: Callable[[], Tensor], repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run().sum().backward()
        times.append(time.perf_counter() - began)
    return median(times)


def main(out: Path, small: bool = False) -> None:
    neuron = phc.ALIF(32)
    neuron.check_finite = False
    lengths = [64, 128, 256] if small else [64, 256, 1024, 4096]
    step_times, scan_times = [], []
    for length in lengths:
        x_seq = torch.randn(length, 16, 32)
        if not torch.equal(stepwise(neuron, x_seq), neuron.scan(x_seq)[1]):
            raise RuntimeError("the two modes differ")
        step_times.append(seconds(lambda x=x_seq: stepwise(neuron, x)))
        scan_times.append(seconds(lambda x=x_seq: neuron.scan(x)[1]))
        ratio = step_times[-1] / scan_times[-1]
        print(f"T = {length:5}: equal in every bit; scan {ratio:.0f} x faster, with gradients")

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(lengths, step_times, marker="o", label="step by step")
    axes.loglog(lengths, scan_times, marker="o", label="scan")
    axes.set(xlabel="time steps T", ylabel="seconds, forward and backward", title="ALIF, 16 x 32")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "scan_vs_step.png", dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
