"""Work and time of Exact: ``uv run python -m benchmarks.work [--small] [--out FILE]``.

Work is neuron updates relative to one sweep over the sequence, which is what stepping takes.
"""

import argparse
import json
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    lengths, delays = ((100,), (1, 4)) if arguments.small else ((400, 1000, 4000), (1, 4, 16))
    found = []
    for title, gains, plasticity in (
        ("with plasticity: up to gain 3 they settle", (0.5, 1.0, 3.0, 30.0), True),
        ("without plasticity: chaotic", (3.0, 10.0, 30.0), False),
    ):
        table = Table(title=f"N = 32, B = 8, {title}")
        for column in ("gain", "d", "T", "work", "most", "passes", "Exact", "Jacobi(4)"):
            table.add_column(column, justify="right")
        for gain in gains:
            for delay in delays:
                for length in lengths:
                    found.append(row(gain, plasticity, delay, length))
                    gain_, _, d, t, work, most, passes, exact, jacobi = found[-1].values()
                    table.add_row(f"{gain_:g}", str(d), str(t), f"{work:.2f}", f"{most:.2f}",
                                  f"{passes:.0f}", f"{exact:.2f} x", f"{jacobi:.2f} x")  # fmt: skip
        table.caption = "Times relative to Sequential in the same run."
        console.print(table)
    if arguments.out is not None:
        content = {"torch": torch.__version__, "rows": found}
        arguments.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
