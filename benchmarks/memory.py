"""Peak memory of a training step: ``uv run python -m benchmarks.memory [--small] [--out FILE]``.

Counted in bytes of live tensors, so the figures are the same on every machine and in every run; on
CUDA (``--device cuda``) the allocator's own peak.
"""

import argparse
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import phc_snn as phc
from benchmarks.networks import balanced
from phc_snn.kernels.memory import pool

SOLVERS: dict[str, phc.Solver] = {
    "Jacobi(1)": phc.Jacobi(1),
    "Jacobi(2)": phc.Jacobi(2),
    "Jacobi(4)": phc.Jacobi(4),
    "Jacobi(8)": phc.Jacobi(8),
    "Exact": phc.Exact(),
    "Exact, truncated": phc.Exact(adjoint="truncated"),
    "Sequential": phc.Sequential(),
}


class LiveTensors(TorchDispatchMode):
    """Bytes ``now`` and at the ``peak``: follows every storage that an operation makes.

    What was there before (the network, its input) is not counted, nor are views of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def __enter__(self) -> "LiveTensors":
        pool.enabled = False  # what is kept for later is not alive
        return super().__enter__()  # type: ignore[no-untyped-call,no-any-return]

    def __exit__(self, *exception: Any) -> None:
        pool.enabled = True
        super().__exit__(*exception)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = {storage._cdata for storage in _storages((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage._cdata not in given:  # else a view, or written in place
                self._follow(storage)
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.now += self._sizes[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(values) if torch.is_tensor(leaf)]


def peak_bytes(network: phc.PHC, x_seq: torch.Tensor, solver: phc.Solver) -> int:
    """Most bytes that a forward and backward pass holds beyond the network and its input."""

    def step(x: torch.Tensor) -> None:
        network.zero_grad()
        network(x, solver=solver).voltage.square().mean().backward()

    step(x_seq[:16])  # compiles, and allocates what stays
    if x_seq.is_cuda:
        network.zero_grad()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(x_seq)
        return torch.cuda.max_memory_allocated() - before
    with LiveTensors() as live:
        step(x_seq)
    return live.peak


def measure(
    lengths: tuple[int, ...], report: Callable[[str, dict[str, int]], None], device: str = "cpu"
) -> None:
    """Peaks of every solver, for a network that settles and one that does not."""
    for kind, gain, plasticity in (("settles", 1.0, True), ("does not settle", 10.0, False)):
        network = balanced(gain, plasticity=plasticity).to(device)
        for length in lengths:
            x_seq = torch.randn(length, 4, 32, generator=torch.Generator().manual_seed(1))
            x_seq = x_seq.to(device)
            report(
                f"{kind} (gain {gain:g}), T = {length}, B = 4, N = 32",
                {name: peak_bytes(network, x_seq, solver) for name, solver in SOLVERS.items()},
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    console, results = Console(), {}

    def report(title: str, peaks: dict[str, int]) -> None:
        results[title] = peaks
        table = Table(title=title)
        for column in ("", "peak, MB", "times Jacobi(1)"):
            table.add_column(column, justify="right" if column else "left")
        for name, peak in peaks.items():
            table.add_row(name, f"{peak / 1e6:.1f}", f"{peak / peaks['Jacobi(1)']:.2f}")
        console.print(table)

    measure((256,) if arguments.small else (512, 4096), report, arguments.device)
    if arguments.out is not None:
        content = {"torch": torch.__version__, "device": arguments.device, "bytes": results}
        arguments.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
