"""One recurrent network, written to a NIR file and run from there by Norse and by snnTorch.

Run:  uv run python examples/10_nir_round_trip.py [--small] [--out FOLDER]
"""

import argparse
import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

import phc_snn as phc
from phc_snn import from_nir, read_nir, write_nir
from phc_snn.extras import MissingExtraError, require

DT = 1e-4  # seconds; snnTorch takes no other


def run_by_norse(path: Path, x_seq: Tensor) -> Tensor:
    return stepped(require("norse.torch", extra="norse").from_nir(read_nir(path), dt=DT), x_seq)


def run_by_snntorch(path: Path, x_seq: Tensor) -> Tensor:
    importer = require("snntorch.import_nir", extra="export")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it rescales
        module = importer.import_from_nir(read_nir(path))
    return stepped(module, x_seq)


def run_by_us(path: Path, x_seq: Tensor) -> Tensor:
    spikes, _ = from_nir(path)(x_seq)
    return spikes


def stepped(module: Any, x_seq: Tensor) -> Tensor:
    state, outputs = None, []
    for x_t in x_seq.unbind(0):
        spikes, state = module(x_t, state)
        outputs.append(spikes)
    return torch.stack(outputs)


READERS: dict[str, Callable[[Path, Tensor], Tensor]] = {
    "read back": run_by_us,
    "Norse": run_by_norse,
    "snnTorch": run_by_snntorch,
}


@torch.no_grad()
def main(out: Path, small: bool = False, neurons: int = 32, batch: int = 4) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = 0.4 * torch.randn(neurons, neurons, generator=generator)
    x_seq = 0.4 * torch.randn(40 if small else 100, batch, neurons, generator=generator) + 0.05
    network = phc.PHC(
        phc.LIF(neurons, reset_mechanism="zero"), phc.Delay(neurons), phc.DenseConnectome(weight)
    )
    ours = network(x_seq, solver=phc.Exact()).spikes
    rasters = {"phc_snn": ours}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Norse calls what its own dependency gave up
        write_nir(Path(folder) / "network.nir", network, dt=DT)
        for name, run in READERS.items():
            try:
                rasters[name] = run(Path(folder) / "network.nir", x_seq)
            except MissingExtraError as error:
                print(f"{name}: {error}")

    figure = Figure(figsize=(9, 6), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True, sharey=True)
    for axes, (name, spikes) in zip(grid.flat, rasters.items(), strict=False):
        step, neuron = spikes[:, 0].nonzero(as_tuple=True)
        axes.scatter(step, neuron, s=3, color="black", linewidths=0)
        differing = int((spikes != ours).sum())
        axes.set_title(
            f"{name}: spikes in {100 * ours.mean():.1f} % of {ours.numel():,} neuron-steps"
            if spikes is ours
            else f"{name}: {differing} of them differ",
            fontsize=10,
        )
        if spikes is not ours:
            print(f"{name}: {differing} of {ours.numel()} neuron-steps differ")
    for axes in grid.flat[len(rasters) :]:
        axes.set_axis_off()
    figure.suptitle(f"One file, sample 1 of {batch}", fontsize=11)
    for axes in grid[1]:
        axes.set_xlabel("time step")
    for axes in grid[:, 0]:
        axes.set_ylabel("neuron")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "nir_round_trip.png", dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
