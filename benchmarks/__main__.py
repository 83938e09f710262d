"""Kernels against their bound and their peers: ``uv run python -m benchmarks``.

Every table is one run in which the candidates take turns, so its ratios mean something on a machine
that others use as well; medians. The bound is the time in which the arrays that a candidate must
read and write could be copied. ``--small`` takes seconds; ``--out`` and ``--plot`` keep the
figures.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import cases
from benchmarks.peers import versions
from benchmarks.timing import interleaved
from phc_snn.files import write_json

ARRAYS = {"one scan": 8.0, "fused pass": 7.5}
"""Arrays of (T, B, N) that must move, forward and backward."""

SHAPES: tuple[cases.Shape, ...] = ((32, 1024, 64), (4, 17984, 32))
SMALL: tuple[cases.Shape, ...] = ((4, 128, 16),)
_LOOPED = 2048
"""Steps up to which loops of Python are timed: they take seconds, and grow with the steps."""


def beside_a_copy(candidates: cases.Candidates, repeats: int) -> tuple[dict[str, float], float]:
    """Seconds of each candidate, and bytes a second of a copy that takes turns with them.

    By itself the copy would find in the caches, where those are large, what the candidates must
    fetch. Both count what is read and what is written.
    """
    source = torch.randn(1 << 24)
    target = torch.empty_like(source)
    seconds = interleaved({"copy": lambda: target.copy_(source), **candidates}, repeats=repeats)
    return seconds, 2 * source.nbytes / seconds.pop("copy")


def table(
    title: str, make: Callable[..., cases.Candidates], shape: cases.Shape, repeats: int
) -> dict[str, Any]:
    """Time the candidates, print them, and give the figures."""
    batch, steps, features = shape
    candidates = make(shape, slow=steps <= _LOOPED)
    seconds, bandwidth = beside_a_copy(candidates, repeats)
    floor = 4.0 * batch * steps * features / bandwidth
    found = Table(title=f"{title}, B = {batch}, T = {steps}, N = {features}")
    for column in ("", "ms", "x the bound", "x the first"):
        found.add_column(column, justify="left" if not column else "right")
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        arrays = ARRAYS.get(name)
        bound = f"{value / (arrays * floor):.1f}" if arrays else ""
        found.add_row(name, f"{1e3 * value:.2f}", bound, f"{value / first:.1f}")
    Console().print(found)
    return {
        "title": title,
        "shape": shape,
        "copy_bandwidth": bandwidth,
        "seconds": seconds,
        "bound": {n: arrays * floor for n, arrays in ARRAYS.items() if n in seconds},
    }


def growth(repeats: int, small: bool) -> list[dict[str, Any]]:
    """Time of the kernels against T and against N."""
    found = []
    lengths = (64, 256) if small else (100, 1000, 10_000, 100_000, 1_000_000)
    sizes = (8, 16) if small else (8, 16, 32, 64, 128, 256)
    for axis, shapes in (
        ("T", [(2, steps, 16) for steps in lengths]),
        ("N", [(8, 512, features) for features in sizes]),
    ):
        for shape in shapes:
            candidates: cases.Candidates = {}
            for make in (cases.scan, cases.neuron_and_synapses, cases.training_step):
                candidates |= make(shape, slow=False)
            chosen = {n: c for n, c in candidates.items() if n in _GROWING}
            few = 3 if shape[1] >= 100_000 else repeats
            seconds, bandwidth = beside_a_copy(chosen, few)
            found.append({"axis": axis, "shape": shape, "seconds": seconds, "copy": bandwidth})
            print(f"{axis}: {shape}", {n: f"{1e3 * s:.2f} ms" for n, s in seconds.items()})
    return found


_GROWING = ("one scan", "fused pass", "Sequential", "Jacobi(4)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--growth", action="store_true", help="also against T and N; minutes")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--plot", type=Path, help="draw time against T and N; with --growth")
    arguments = parser.parse_args()
    if arguments.plot and not arguments.growth:
        parser.error("--plot draws what --growth measures; give both")
    torch.manual_seed(0)
    about = {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": versions(["torch", "numba", "snntorch", "norse", "spikingjelly"]),
    }
    print(about)
    results = [
        table(title, make, shape, arguments.repeats)
        for shape in (SMALL if arguments.small else SHAPES)
        for title, make in (
            ("One scan, forward and backward", cases.scan),
            ("Neuron and synapses, forward and backward", cases.neuron_and_synapses),
            ("Training step of a recurrent network", cases.training_step),
        )
    ]
    content = {**about, "tables": results}
    if arguments.growth:
        content["growth"] = growth(arguments.repeats, arguments.small)
    if arguments.plot:
        from benchmarks.drawing import draw_growth

        draw_growth(content["growth"], arguments.plot)  # type: ignore[arg-type]
    if arguments.out is not None:
        write_json(arguments.out, json.loads(json.dumps(content)))


if __name__ == "__main__":
    sys.exit(main())
