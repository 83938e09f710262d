"""Figures, drawn with matplotlib (extra ``plot``)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from phc_snn.convert.divergence import Comparison
from phc_snn.extras import require
from phc_snn.training.files import write_atomically

_ONLY_PARALLEL, _ONLY_SEQUENTIAL, _BOTH = "#d1495b", "#2e86ab", "#5b5b5b"


def two_modes(
    parallel: Comparison,
    sequential: Comparison,
    sweeps: Sequence[int],
    differences: Sequence[float],
    *,
    thresholds: torch.Tensor,
    sample: int = 0,
) -> Any:
    """Raster of both modes, membrane traces where they part, and the difference against sweeps.

    Args:
        parallel, sequential: The two modes, run on the same input.
        sweeps: Numbers of Jacobi sweeps tried.
        differences: For each, the part of neuron-steps that differ from sequential.
        thresholds: (N,) of the neurons.
        sample: Which sample of the batch to draw.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    figure_module = require("matplotlib.figure", extra="plot")
    figure = figure_module.Figure(figsize=(11, 7.5), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
    _raster(figure.add_subplot(grid[0, :]), parallel, sequential, sample)
    _traces(figure.add_subplot(grid[1, 0]), parallel, sequential, thresholds, sample)
    _curve(figure.add_subplot(grid[1, 1]), sweeps, differences)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write a figure, atomically."""
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=130))


def _raster(axes: Any, parallel: Comparison, sequential: Comparison, sample: int) -> None:
    a = parallel.solution.spikes[:, sample].bool().cpu()
    b = sequential.solution.spikes[:, sample].bool().cpu()
    for fired, colour, label in (
        (a & b, _BOTH, "in both modes"),
        (a & ~b, _ONLY_PARALLEL, "only in parallel"),
        (b & ~a, _ONLY_SEQUENTIAL, "only in sequence"),
    ):
        step, neuron = fired.nonzero(as_tuple=True)
        size = 8 if colour == _BOTH else 26
        axes.scatter(step, neuron, s=size, marker="|" if colour == _BOTH else "o", c=colour,
                     label=f"{label}: {len(step)}", linewidths=1.2)  # fmt: skip
    axes.set(
        xlabel="time step",
        ylabel="neuron",
        xlim=(-1, len(a)),
        ylim=(-1, a.shape[1]),
    )
    axes.set_title(f"Spikes of test sample {sample}", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False)


def _traces(
    axes: Any, parallel: Comparison, sequential: Comparison, thresholds: torch.Tensor, sample: int
) -> None:
    a = parallel.solution.voltage[:, sample].detach().cpu()
    b = sequential.solution.voltage[:, sample].detach().cpu()
    error = (a - b).abs().amax(0)
    fired = sequential.solution.spikes[:, sample].sum(0).cpu()
    # The neuron on which the modes differ most; where they agree, the most active one.
    neuron = int(error.argmax() if float(error.max()) > 0 else fired.argmax())
    axes.plot(b[:, neuron], color=_ONLY_SEQUENTIAL, linewidth=2.2, label="sequential")
    axes.plot(a[:, neuron], color=_ONLY_PARALLEL, linewidth=1.1, linestyle="--", label="parallel")
    axes.axhline(float(thresholds[neuron]), color="black", linewidth=0.7, linestyle=":")
    axes.annotate("threshold", (0, float(thresholds[neuron])), fontsize=8, va="bottom")
    axes.set(xlabel="time step", ylabel="voltage", title=f"Voltage of neuron {neuron}")
    axes.legend()


def _curve(axes: Any, sweeps: Sequence[int], differences: Sequence[float]) -> None:
    axes.plot(sweeps, [100 * d for d in differences], marker="o", color=_BOTH)
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set(
        xlabel="sweeps",
        ylabel="differing neuron-steps, %",
        title="Distance from the sequential network",
        ylim=(0, None),
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
