"""Figures, drawn with matplotlib (extra ``plot``)."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from phc_snn.checks import check_sample
from phc_snn.convert import Comparison, Divergence, PhaseDiagram, SweepCurve
from phc_snn.extras import require
from phc_snn.files import write_atomically

_ONLY_SOLVER, _ONLY_REFERENCE, _BOTH = "#d1495b", "#2e86ab", "#5b5b5b"
_PICTURES = ("sweeps", "certificate", "raster", "voltage", "phase")
_TRACE = 120
"""Steps of a voltage trace that can still be told apart."""


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
    check_sample(sample, batch)
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
            _phase(axes, found.phase)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write a figure, atomically."""
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=130))


def most_different_sample(one: Comparison, other: Comparison) -> int:
    """The sample with the most differing spikes; the first one if none differs."""
    differing = one.solution.spikes != other.solution.spikes
    return int(differing.sum(dim=(0, 2)).argmax()) if differing.shape[1] else 0


def spike_places(one: Comparison, reference: Comparison, sample: int) -> list[torch.Tensor]:
    """(step, neuron) of the spikes of a sample: in both, only in one, only in the reference."""
    a = one.solution.spikes[:, sample].bool().cpu()
    b = reference.solution.spikes[:, sample].bool().cpu()
    return [fired.nonzero() for fired in (a & b, a & ~b, b & ~a)]


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
        "voltage": found.reference.solution.spikes.numel() > 0 and len(found.solvers) > 0,
        "phase": found.phase is not None,
    }
    for picture in pictures:
        if picture not in there:
            raise ValueError(f"pictures: got {picture!r}, expected some of {_PICTURES}")
        if not there[picture]:
            raise ValueError(
                f"pictures: there is no data for {picture!r}; measure_divergence makes it from "
                "input that is not empty, solvers, sweeps > 0 (curves) and "
                "phase=phase_diagram(...)"
            )
    chosen = [p for p in _PICTURES if (p in pictures if pictures else there[p])]
    if not chosen:
        raise ValueError("pictures: there is nothing to draw of empty input")
    return chosen


def _raster(
    axes: Any, one: Comparison, reference: Comparison, sample: int, name: str = "parallel"
) -> None:
    length, _, neurons = one.solution.spikes.shape
    both, only_one, only_reference = spike_places(one, reference, sample)
    # Few differences have to catch the eye, many must not run into one another.
    share = (len(only_one) + len(only_reference)) / (length * neurons)
    row = 210.0 / neurons  # points, of 72 an inch
    cell = min(max(min(720.0 / length, row), 0.6), 3.0)
    dot = min(max(0.5 / max(share, 1e-9), cell**2), 26.0)
    tick = min(0.8 * row, 2.8) ** 2
    absent = "only reference" if name != "parallel" else "only in sequence"
    for places, colour, label in (
        (both, _BOTH, "in both"),
        (only_one, _ONLY_SOLVER, f"only {name}"),
        (only_reference, _ONLY_REFERENCE, absent),
    ):
        step, neuron = places.unbind(1)
        mark = {"marker": "|", "s": tick} if colour == _BOTH else {"marker": "o", "s": dot}
        width = 1.2 if colour == _BOTH else 0.0
        axes.scatter(
            step, neuron, c=colour, label=f"{label}: {len(step)}", linewidths=width, **mark
        )
    axes.set(xlabel="time step", ylabel="neuron", xlim=(-1, length), ylim=(-0.8, neurons - 0.2))
    axes.yaxis.get_major_locator().set_params(integer=True)
    _head(axes, f"Spikes of sample {sample}", legend=True)
    for handle in axes.get_legend().legend_handles:
        handle.set_sizes([26.0])


def _traces(
    axes: Any, parallel: Comparison, sequential: Comparison, thresholds: torch.Tensor, sample: int
) -> None:
    a = parallel.solution.voltage[:, sample].detach().cpu()
    b = sequential.solution.voltage[:, sample].detach().cpu()
    error = (a - b).abs()
    fired = sequential.solution.spikes[:, sample].sum(0).cpu()
    # The neuron on which the modes differ most; where they agree, the most active one.
    differs = float(error.max()) > 0
    neuron = int(error.amax(0).argmax() if differs else fired.argmax())
    first = max(min(int(error[:, neuron].argmax()) - _TRACE // 2, len(a) - _TRACE), 0)
    steps = range(first, min(first + _TRACE, len(a)))
    for trace, colour, line, label in (
        (b, _ONLY_REFERENCE, {"linewidth": 2.2}, "sequential"),
        (a, _ONLY_SOLVER, {"linewidth": 1.1, "linestyle": "--"}, "parallel"),
    ):
        axes.plot(steps, trace[steps, neuron], color=colour, label=label, **line)
    threshold = float(thresholds[neuron])
    axes.axhline(threshold, color="black", linewidth=0.7, linestyle=":", label="threshold")
    axes.set(xlabel="time step", ylabel="voltage")
    axes.margins(x=0.01)
    _head(axes, f"Voltage of neuron {neuron}", legend=True)


def _sweeps(axes: Any, curve: SweepCurve) -> None:
    percent = 100 * curve.step_difference
    axes.plot(_count(axes, curve), percent, color=_BOTH, clip_on=False, zorder=3, **_dots(curve))
    some = percent[percent > 0]
    bottom, top = 0.0, 1.0
    if len(some):
        decade, top = 10.0 ** math.floor(math.log10(some.min())), 2.0 * float(some.max())
        if len(some) == len(percent):
            axes.set_yscale("log")
            bottom = decade
        else:  # 0 has its place below the smallest decade
            axes.set_yscale("symlog", linthresh=decade, linscale=0.5)
    axes.set(ylabel="differing neuron-steps, %", ylim=(bottom, top))
    _head(axes, "Distance from the reference")


def _certificate(axes: Any, curve: SweepCurve, length: int) -> None:
    sweeps = _count(axes, curve)
    for steps, colour, label, width in (
        (curve.equal_steps.double(), _ONLY_REFERENCE, "truly equal", 2.5),
        (curve.certified_steps.double(), _ONLY_SOLVER, "proved", 1.2),
    ):
        axes.plot(
            sweeps, steps.median(1).values, color=colour, label=label, lw=width, **_dots(curve)
        )
        axes.fill_between(
            sweeps, steps.min(1).values, steps.max(1).values, color=colour, alpha=0.15, lw=0
        )
    axes.axhline(length, color="black", linewidth=0.7, linestyle=":")
    axes.set(ylabel="leading steps (median, range)", ylim=(0, 1.05 * length))
    _head(axes, "Certified prefix", legend=True)


def _voltage_error(axes: Any, found: Divergence) -> None:
    exact = []
    for name, one in found.solvers.items():
        error = voltage_error(one, found.reference)
        wrong = error > 0
        if not bool(wrong.any()):
            exact.append(name)
            continue
        # A line needs two points: a step between exact ones gets a dot.
        before, after = torch.zeros_like(wrong), torch.zeros_like(wrong)
        before[1:], after[:-1] = wrong[:-1], wrong[1:]
        alone = (wrong & ~before & ~after).tolist()
        shown = error.where(wrong, torch.nan)
        axes.plot(shown, label=name, linewidth=1.2, marker=".", markevery=alone)
    for name in exact:
        axes.plot([], [], " ", label=f"{name}: no error")
    if len(exact) < len(found.solvers):
        axes.set_yscale("log")
    else:
        axes.set(ylim=(0, 1))
    axes.set(xlabel="time step", ylabel="voltage RMSE (gap: no error)")
    axes.set_xlim(0, len(found.reference.solution.spikes))
    axes.grid(alpha=0.3)
    _head(axes, "Voltage error over time")
    legend = axes.legend(loc="upper right", fontsize=8, framealpha=0.8, edgecolor="none")
    for handle in legend.legend_handles:
        handle.set_marker("")


def _phase(axes: Any, phase: PhaseDiagram) -> None:
    colours = require("matplotlib.colors", extra="plot")
    # Each cell has its number: a bar of colours would say nothing more.
    norm = colours.LogNorm(1, max(phase.limit, 2))
    axes.imshow(phase.sweeps.numpy(), origin="lower", aspect="auto", cmap="viridis", norm=norm)
    for row in range(len(phase.delays)):
        for column in range(len(phase.gains)):
            sweeps = float(phase.sweeps[row, column])
            text = f"{sweeps:.0f}" if sweeps < phase.limit else f"≥{phase.limit}"
            ink = "white" if norm(sweeps) < 0.6 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color=ink)
    axes.set_xticks(range(len(phase.gains)), [f"{gain:g}" for gain in phase.gains])
    axes.set_yticks(range(len(phase.delays)), [str(delay) for delay in phase.delays])
    axes.set(xlabel="recurrent gain", ylabel="delay, steps")
    _head(axes, "Sweeps until everything is proved")


def _head(axes: Any, title: str, *, legend: bool = False) -> None:
    """Title on the left; beside it, where no curve is, the legend."""
    axes.set_title(title, loc="left", fontsize=11)
    if legend:
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=3,
            fontsize=9,
            frameon=False,
            borderaxespad=0.2,
            columnspacing=1.2,
            handletextpad=0.6,
            handlelength=1.4,
        )


def _count(axes: Any, curve: SweepCurve) -> range:
    """The sweeps of a curve, as the ticks of its axis."""
    axes.set(xlabel="sweeps", xlim=(0.5, max(len(curve), 2) + 0.5))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    return range(1, len(curve) + 1)


def _dots(curve: SweepCurve) -> dict[str, Any]:
    return {"marker": "o", "markersize": 5 if len(curve) <= 25 else 3}
