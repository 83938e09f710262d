"""Figures, drawn with matplotlib (extra ``plot``)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from phc_snn.convert import Comparison, Divergence, PhaseDiagram, SweepCurve
from phc_snn.extras import require
from phc_snn.files import write_atomically

_ONLY_SOLVER, _ONLY_REFERENCE, _BOTH = "#d1495b", "#2e86ab", "#5b5b5b"
_PICTURES = ("sweeps", "certificate", "raster", "voltage", "phase")


def two_modes(
    parallel: Comparison,
    sequential: Comparison,
    curve: SweepCurve,
    *,
    thresholds: torch.Tensor,
    sample: int = 0,
) -> Any:
    """Raster of both modes, membrane traces where they part, and the difference against sweeps.

    Args:
        parallel, sequential: The two modes, run on the same input.
        curve: Difference against sweeps.
        thresholds: (N,) of the neurons.
        sample: Which sample of the batch to draw.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    figure = _figure(11, 7.5)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
    _raster(figure.add_subplot(grid[0, :]), parallel, sequential, sample)
    _traces(figure.add_subplot(grid[1, 0]), parallel, sequential, thresholds, sample)
    _sweeps(figure.add_subplot(grid[1, 1]), curve)
    return figure


def divergence(
    found: Divergence,
    pictures: Sequence[str] = (),
    *,
    solver: str | None = None,
    sample: int | None = None,
) -> Any:
    """`Divergence.plot`."""
    name = found.most_different() if solver is None else solver
    if name not in found.all:
        raise ValueError(f"solver: got {name!r}, expected one of {sorted(found.all)}")
    one, reference = found.all[name], found.reference
    batch = one.solution.spikes.shape[1]
    if sample is not None and not 0 <= sample < batch:
        raise ValueError(f"sample: got {sample}, expected 0 to {batch - 1}")
    chosen = _chosen(found, pictures)
    sample = most_different_sample(one, reference) if sample is None else sample
    wide = [p for p in chosen if p == "raster"]
    small = [p for p in chosen if p != "raster"]
    columns = 2 if len(small) > 1 else 1
    rows = len(wide) + -(-len(small) // columns)
    figure = _figure(5.5 * columns if small else 9, 3.4 * rows + 0.6 * len(wide))
    grid = figure.add_gridspec(rows, columns)
    if wide:
        _raster(figure.add_subplot(grid[0, :]), one, reference, sample, name)
    for i, picture in enumerate(small):
        row = len(wide) + i // columns
        alone = i == len(small) - 1 and i % columns == 0  # takes the whole of its row
        axes = figure.add_subplot(grid[row, :] if alone else grid[row, i % columns])
        if picture == "sweeps":
            _sweeps(axes, found.curve)
        elif picture == "certificate":
            _certificate(axes, found.curve, len(one.solution.spikes))
        elif picture == "voltage":
            _voltage_error(axes, found)
        elif found.phase is not None:
            _phase(axes, found.phase, figure)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write a figure, atomically."""
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=130))


def most_different_sample(one: Comparison, other: Comparison) -> int:
    """The sample with the most differing spikes; the first one if none differs."""
    differing = one.solution.spikes != other.solution.spikes
    return int(differing.sum(dim=(0, 2)).argmax()) if differing.shape[1] else 0


def voltage_error(one: Comparison, other: Comparison) -> torch.Tensor:
    """(T,) root mean square over samples and neurons of the voltage's error in each step."""
    error = (one.solution.voltage - other.solution.voltage).double()
    return error.square().mean(dim=(1, 2)).sqrt().cpu()


def _figure(width: float, height: float) -> Any:
    figures = require("matplotlib.figure", extra="plot")
    return figures.Figure(figsize=(width, height), layout="constrained")


def _chosen(found: Divergence, pictures: Sequence[str]) -> list[str]:
    there = {
        "sweeps": len(found.curve) > 0,
        "certificate": len(found.curve) > 0,
        "raster": found.reference.solution.spikes.numel() > 0,
        "voltage": found.reference.solution.spikes.numel() > 0,
        "phase": found.phase is not None,
    }
    for picture in pictures:
        if picture not in there:
            raise ValueError(f"pictures: got {picture!r}, expected some of {_PICTURES}")
        if not there[picture]:
            raise ValueError(
                f"pictures: there is no data for {picture!r}; measure_divergence makes it from "
                "input that is not empty, sweeps > 0 (curves) and phase=phase_diagram(...)"
            )
    chosen = [p for p in _PICTURES if (p in pictures if pictures else there[p])]
    if not chosen:
        raise ValueError("pictures: there is nothing to draw of empty input")
    return chosen


def _raster(
    axes: Any, one: Comparison, reference: Comparison, sample: int, name: str = "parallel"
) -> None:
    a = one.solution.spikes[:, sample].bool().cpu()
    b = reference.solution.spikes[:, sample].bool().cpu()
    for fired, colour, label in (
        (a & b, _BOTH, "in both"),
        (a & ~b, _ONLY_SOLVER, f"only {name}"),
        (b & ~a, _ONLY_REFERENCE, "only reference" if name != "parallel" else "only in sequence"),
    ):
        step, neuron = fired.nonzero(as_tuple=True)
        size = 8 if colour == _BOTH else 26
        axes.scatter(step, neuron, s=size, marker="|" if colour == _BOTH else "o", c=colour,
                     label=f"{label}: {len(step)}", linewidths=1.2)  # fmt: skip
    axes.set(xlabel="time step", ylabel="neuron", xlim=(-1, len(a)), ylim=(-1, a.shape[1]))
    axes.set_title(f"Spikes of sample {sample}", loc="left")
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
    axes.plot(b[:, neuron], color=_ONLY_REFERENCE, linewidth=2.2, label="sequential")
    axes.plot(a[:, neuron], color=_ONLY_SOLVER, linewidth=1.1, linestyle="--", label="parallel")
    axes.axhline(float(thresholds[neuron]), color="black", linewidth=0.7, linestyle=":")
    axes.annotate("threshold", (0, float(thresholds[neuron])), fontsize=8, va="bottom")
    axes.set(xlabel="time step", ylabel="voltage", title=f"Voltage of neuron {neuron}")
    axes.legend()


def _sweeps(axes: Any, curve: SweepCurve) -> None:
    sweeps = range(1, len(curve) + 1)
    axes.plot(sweeps, 100 * curve.step_difference, marker="o", color=_BOTH)
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set(
        xlabel="sweeps",
        ylabel="differing neuron-steps, %",
        title="Distance from the reference",
        ylim=(0, None),
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)


def _certificate(axes: Any, curve: SweepCurve, length: int) -> None:
    sweeps = range(1, len(curve) + 1)
    for steps, colour, label in (
        (curve.equal_steps.double(), _ONLY_REFERENCE, "truly equal"),
        (curve.certified_steps.double(), _ONLY_SOLVER, "proved"),
    ):
        axes.plot(sweeps, steps.median(1).values, marker="o", color=colour, label=label)
        axes.fill_between(
            sweeps, steps.min(1).values, steps.max(1).values, color=colour, alpha=0.15, lw=0
        )
    axes.axhline(length, color="black", linewidth=0.7, linestyle=":")
    axes.set(
        xlabel="sweeps",
        ylabel="leading steps",
        title="Certified prefix (median and range of samples)",
        ylim=(0, 1.05 * length),
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower right", frameon=False)
    axes.grid(alpha=0.3)


def _voltage_error(axes: Any, found: Divergence) -> None:
    exact = []
    for name, one in found.solvers.items():
        error = voltage_error(one, found.reference)
        if bool((error > 0).any()):
            axes.plot(error.where(error > 0, torch.nan), label=name, linewidth=1.2)
        else:
            exact.append(name)
    for name in exact:
        axes.plot([], [], " ", label=f"{name}: none")
    if len(exact) < len(found.solvers):
        axes.set_yscale("log")
    axes.set(xlabel="time step", ylabel="voltage RMSE", title="Voltage error over time")
    axes.set_xlim(0, len(found.reference.solution.spikes))
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.3)


def _phase(axes: Any, phase: PhaseDiagram, figure: Any) -> None:
    colours = require("matplotlib.colors", extra="plot")
    image = axes.imshow(
        phase.sweeps.numpy(),
        origin="lower",
        aspect="auto",
        cmap="viridis",
        norm=colours.LogNorm(1, phase.limit),
    )
    for row in range(len(phase.delays)):
        for column in range(len(phase.gains)):
            sweeps = float(phase.sweeps[row, column])
            text = f"{sweeps:.0f}" if sweeps < phase.limit else f"≥{phase.limit}"
            dark = sweeps < phase.limit**0.6
            axes.text(column, row, text, ha="center", va="center", fontsize=8,
                      color="white" if dark else "black")  # fmt: skip
    axes.set_xticks(range(len(phase.gains)), [f"{gain:g}" for gain in phase.gains])
    axes.set_yticks(range(len(phase.delays)), [str(delay) for delay in phase.delays])
    axes.set(
        xlabel="recurrent gain",
        ylabel="delay, steps",
        title="Sweeps until everything is proved",
    )
    figure.colorbar(image, ax=axes)
