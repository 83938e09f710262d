"""Work and time of Exact: ``uv run python -m benchmarks.work [--small] [--out FILE]``.

Work is neuron updates relative to one sweep over the sequence, which is what stepping takes. Ends
with an error if Exact exceeds its bounds, or if its result is not that of Sequential.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import phc_snn as phc
from benchmarks.networks import balanced
from benchmarks.timing import interleaved


@torch.no_grad()
def row(gain: float, plasticity: bool, delay: int, length: int) -> dict[str, Any]:
    """One network: work and passes of Exact over 8 samples, and times relative to Sequential."""
    network = balanced(gain, delay=delay, plasticity=plasticity)
    x_seq = torch.randn(length, 8, 32, generator=torch.Generator().manual_seed(1))
    exact = network(x_seq, solver=phc.Exact())
    sequential = network(x_seq, solver=phc.Sequential())
    if not torch.equal(exact.voltage, sequential.voltage):
        raise RuntimeError(f"gain {gain}, delay {delay}, T = {length}: Exact is not Sequential")
    solvers = {"Sequential": phc.Sequential(), "Exact": phc.Exact(), "Jacobi(4)": phc.Jacobi(4)}
    seconds = interleaved(
        {name: lambda s=s: network(x_seq, solver=s) for name, s in solvers.items()},  # type: ignore[misc]
        repeats=3,
    )
    return {
        "gain": gain,
        "plasticity": plasticity,
        "delay": delay,
        "T": length,
        "work_median": float(exact.work.median()),
        "work_max": float(exact.work.max()),
        "passes_median": float(exact.sweeps.double().median()),
        "time_of_exact": seconds["Exact"] / seconds["Sequential"],
        "time_of_jacobi_4": seconds["Jacobi(4)"] / seconds["Sequential"],
    }


def table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """Every network in one line."""
    found = Table(title=f"N = 32, B = 8, {title}", caption="Times relative to Sequential.")
    for column in ("gain", "d", "T", "work", "most", "passes", "Exact", "Jacobi(4)"):
        found.add_column(column, justify="right")
    for values in rows:
        gain, _, delay, length, work, most, passes, exact, jacobi = values.values()
        found.add_row(f"{gain:g}", str(delay), str(length), f"{work:.2f}", f"{most:.2f}",
                      f"{passes:.0f}", f"{exact:.2f} x", f"{jacobi:.2f} x")  # fmt: skip
    return found


def summary(rows: Sequence[dict[str, Any]], bound: float) -> dict[str, float]:
    """Medians and maxima over the networks, and the bound that the work must keep."""
    content = {"networks": float(len(rows)), "bound_of_work": bound}
    for name in ("work_median", "passes_median", "time_of_exact", "time_of_jacobi_4"):
        values = [values[name] for values in rows]
        content |= {f"median {name}": statistics.median(values), f"most {name}": max(values)}
    return content | {"most work of a sample": max(values["work_max"] for values in rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    lengths, delays = (400, 1000, 4000), (1, 2, 4, 8, 16)
    if arguments.small:
        lengths, delays = (100,), (1, 4)
    found, summaries = [], {}
    for title, gains, plasticity, bound in (
        ("with plasticity, which settle", (0.5, 1.0, 3.0), True, 10.0),
        ("with plasticity, which do not", (30.0,), True, 3.0),
        ("without plasticity, which do not settle", (3.0, 10.0, 30.0), False, 3.0),
    ):
        rows = [row(g, plasticity, d, t) for g in gains for d in delays for t in lengths]
        console.print(table(title, rows))
        summaries[title] = summary(rows, bound)
        for name, value in summaries[title].items():
            console.print(f"  {name}: {value:.4g}")
        found += rows
    if arguments.out is not None:
        content = {"torch": torch.__version__, "rows": found, "summaries": summaries}
        arguments.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for title, values in summaries.items():
        if values["most work of a sample"] > values["bound_of_work"]:
            raise SystemExit(f"Exact exceeds its bound of work in the networks {title}")


if __name__ == "__main__":
    main()
