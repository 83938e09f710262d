"""Time against length and size, with the time of a copy drawn in."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

COLOURS = {
    "one scan": "#2e86ab",
    "fused pass": "#3b9c6e",
    "Sequential": "#d1495b",
    "Jacobi(4)": "#edae49",
}
_ARRAYS = 8.0


def draw_growth(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Two panels: against T (B = 2, N = 16) and against N (B = 8, T = 512)."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, axis, place in zip(panels, "TN", (1, 2), strict=True):
        chosen = [row for row in rows if row["axis"] == axis]
        x = [row["shape"][place] for row in chosen]
        for name, colour in COLOURS.items():
            y = [1e3 * row["seconds"][name] for row in chosen]
            axes.loglog(x, y, "o-", color=colour, label=name)
        values = [math.prod(row["shape"]) for row in chosen]
        floor = [
            1e3 * _ARRAYS * 4 * count / row["copy"]
            for count, row in zip(values, chosen, strict=True)
        ]
        axes.loglog(x, floor, "--", color="0.4", label="copy of 8 arrays")
        axes.set_xlabel({"T": "time steps T", "N": "neurons N"}[axis])
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("forward and backward, ms")
    panels[0].legend(loc="upper left", frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
