"""Scans and training steps against their peers: ``uv run python -m benchmarks [--out FILE]``."""

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path

import snntorch as snn
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import phc_snn as phc
from benchmarks.timing import interleaved

console = Console()


def scans(length: int, batch: int, neurons: int) -> dict[str, Callable[[], None]]:
    """One scan with its gradients, by each backend."""
    a = torch.rand(length, batch, neurons, requires_grad=True)
    b = torch.randn(length, batch, neurons, requires_grad=True)

    def run(backend: str) -> Callable[[], None]:
        return lambda: phc.affine_scan(a, b, backend=backend).sum().backward()

    return {name: run(name) for name in ("reference", "associative", "numba")}


class SnnTorchLoop(torch.nn.Module):
    """The recurrent peer: an snnTorch RLeaky with all-to-all recurrence, step by step."""

    def __init__(self, neurons: int) -> None:
        super().__init__()
        self.cell = snn.RLeaky(beta=0.7, linear_features=neurons, reset_mechanism="none")

    def forward(self, x_seq: Tensor) -> Tensor:
        spikes, membrane = self.cell.init_rleaky()
        membranes = []
        for x_t in x_seq.unbind(0):
            spikes, membrane = self.cell(x_t, spikes, membrane)
            membranes.append(membrane)
        return torch.stack(membranes)


def training_steps(length: int, batch: int, neurons: int) -> dict[str, Callable[[], None]]:
    """Forward and backward of a recurrent network, by each solver, and of the peer."""
    synapses = [phc.Delay(neurons), phc.TsodyksMarkram(neurons)]
    connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(neurons))
    network = phc.PHC(phc.ALIF(neurons), synapses, connectome)
    peer = SnnTorchLoop(neurons)
    x_seq = torch.randn(length, batch, neurons)

    def run(solver: phc.Solver) -> Callable[[], None]:
        return lambda: network(x_seq, solver=solver).voltage.square().mean().backward()

    return {
        "snnTorch RLeaky loop": lambda: peer(x_seq).square().mean().backward(),
        "Sequential": run(phc.Sequential()),
        "Jacobi(4)": run(phc.Jacobi(4)),
        "Exact": run(phc.Exact()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    out = parser.parse_args().out
    torch.manual_seed(0)
    jobs = {
        "one scan, forward and backward (1024, 32, 64)": scans(1024, 32, 64),
        "training step (256, 16, 32)": training_steps(256, 16, 32),
    }
    results = {}
    for title, candidates in jobs.items():
        seconds = interleaved(candidates)
        slowest = next(iter(seconds))
        table = Table(title=f"{title}, {torch.get_num_threads()} threads")
        for column in ("", "median ms", f"times faster than {slowest}"):
            table.add_column(column, justify="left" if not column else "right")
        for name, value in seconds.items():
            table.add_row(name, f"{1000 * value:.1f}", f"{seconds[slowest] / value:.1f}")
        console.print(table)
        results[title] = seconds
    if out is not None:
        about = {"torch": torch.__version__, "snntorch": snn.__version__}
        about |= {"python": platform.python_version(), "processor": platform.machine()}
        content = {"versions": about, "threads": torch.get_num_threads(), "seconds": results}
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
