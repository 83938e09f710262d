"""The STDP window: how one pair of spikes changes a weight, against the time between them.

Run:  uv run python examples/11_stdp_window.py [--out FOLDER]
"""

import argparse
from pathlib import Path
from typing import get_args

import torch
from matplotlib.figure import Figure

import phc_snn as phc
from phc_snn.synapses.rstdp import Coincidence

PRE, POST = 0, 1


def window(rule: phc.RSTDP, lags: range) -> list[float]:
    """Change of the weight by one presynaptic and one postsynaptic spike, ``lags`` steps later."""
    found = []
    for lag in lags:
        spikes = torch.zeros(len(lags) + 1, 1, 2)
        middle = len(lags) // 2
        spikes[middle, 0, PRE] = 1.0
        spikes[middle + lag, 0, POST] = 1.0
        found.append(float(rule.change(spikes)[POST, PRE]) * len(spikes))
    return found


def main(out: Path, longest: int = 50) -> None:
    lags = range(-longest, longest + 1)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for coincidence, marker in zip(get_args(Coincidence), ("o", "x"), strict=True):
        found = window(phc.RSTDP(coincidence=coincidence), lags)
        axes.plot(lags, found, marker, markersize=5, fillstyle="none", label=f'"{coincidence}"')
        print(f'coincidence="{coincidence}": a pair in one step changes the weight by', end=" ")
        print(f"{found[longest]:+.2f}, pre one step before post by {found[longest + 1]:+.2f}")
    axes.axhline(0.0, color="grey", linewidth=0.8)
    axes.axvline(0.0, color="grey", linewidth=0.8)
    axes.set(
        xlabel="time of the postsynaptic minus that of the presynaptic spike (steps)",
        ylabel="change of the weight (B T dW)",
    )
    axes.legend(loc="upper right", title="coincidence")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "stdp_window.png", dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    main(parser.parse_args().out)
