"""The charts of the report, drawn by plotly (extra ``report``), each with its caption."""

import math
from dataclasses import dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor

from phc_snn.convert import Divergence, PhaseDiagram, SweepCurve
from phc_snn.extras import require
from phc_snn.plots import most_different_sample, spike_places, voltage_error

_ONLY_SOLVER, _ONLY_REFERENCE, _BOTH = "#d1495b", "#2e86ab", "#808080"
_LINES = "rgba(128, 128, 128, 0.25)"  # seen on light and on dark ground
MOST_SPIKES = 8000
"""Spikes of each kind in the raster; a page with more is slow on a phone."""
MOST_POINTS = 20_000
"""Points of all lines of the voltage chart together."""


@dataclass(frozen=True)
class Chart:
    """A plotly figure with what is said about it."""

    key: str
    title: str
    caption: str
    figure: Any


def charts(divergence: Divergence, sample: int | None = None) -> list[Chart]:
    """Every chart that there is data for.

    Args:
        divergence: What to show.
        sample: Sample in the raster; the one that differs most if None.
    """
    found = []
    if len(divergence.curve):
        length = len(divergence.reference.solution.spikes)
        found += [_sweeps(divergence.curve), _certificate(divergence.curve, length)]
    if divergence.reference.solution.spikes.numel():
        found.append(_raster(divergence, sample))
        if divergence.solvers:
            found.append(_voltage(divergence))
    if divergence.phase is not None:
        found.append(_phase(divergence.phase))
    return found


def _figure(x: str, y: str) -> Any:
    objects = require("plotly.graph_objects", extra="report")
    figure = objects.Figure()
    figure.update_layout(
        template="plotly_white",
        height=360,
        margin={"l": 60, "r": 12, "t": 36, "b": 50},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        font={"size": 13},
        hovermode="closest",
        # The page's own ground shows through, light or dark.
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
    )
    lines = {"gridcolor": _LINES, "zerolinecolor": _LINES, "linecolor": _LINES}
    figure.update_xaxes(title_text=x, **lines)
    figure.update_yaxes(title_text=y, **lines)
    return figure


def _plain(text: str) -> str:
    """Text that plotly shows as it is: it reads tags in names, and variables after a % sign."""
    return escape(text).replace("%{", "%&#123;")


def _count_sweeps(figure: Any, sweeps: int) -> None:
    """No half sweeps on a short axis."""
    figure.update_xaxes(dtick=1 if sweeps <= 12 else None, tickformat="d")


def _logarithmic(figure: Any, values: Tensor) -> None:
    """Powers of ten at the axis; on a short one plotly sets its own marks, there would be none."""
    wide = float(values.max()) > 30 * float(values.min())
    figure.update_yaxes(type="log", dtick=1 if wide else None, exponentformat="power")


def _sweeps(curve: SweepCurve) -> Chart:
    percent = 100 * curve.step_difference
    positive = percent[percent > 0]
    # A logarithmic axis has no zero: it is drawn below the smallest value, and named.
    floor = float(positive.min()) / 10 if len(positive) else 1.0
    heights = percent.clamp(min=floor)
    figure = _figure("sweeps", "differing neuron-steps, %")
    figure.add_scatter(
        x=list(range(1, len(curve) + 1)),
        y=heights.tolist(),
        customdata=percent.tolist(),
        mode="lines+markers",
        marker={
            "color": [_BOTH if p else _ONLY_REFERENCE for p in percent.tolist()],
            "size": [9 if p else 12 for p in percent.tolist()],
            "symbol": ["circle" if p else "star" for p in percent.tolist()],
            "opacity": 1,
        },
        line={"color": _BOTH},
        hovertemplate="%{x} sweeps: %{customdata:.4g} %<extra></extra>",
        showlegend=False,
    )
    _logarithmic(figure, heights)
    _count_sweeps(figure, len(curve))
    none = " A star marks none at all." if bool((percent == 0).any()) else ""
    return Chart(
        "sweeps",
        "Difference against sweeps",
        "Part of all neuron-steps whose spike differs from the reference after so many sweeps over "
        f"the whole sequence.{none}",
        figure,
    )


def _certificate(curve: SweepCurve, length: int) -> Chart:
    figure = _figure("sweeps", "leading steps")
    sweeps = list(range(1, len(curve) + 1))
    for steps, colour, name in (
        (curve.equal_steps, _ONLY_REFERENCE, "truly equal"),
        (curve.certified_steps, _ONLY_SOLVER, "proved"),
    ):
        figure.add_scatter(
            x=sweeps,
            y=steps.double().median(1).values.tolist(),
            customdata=torch.stack([steps.amin(1), steps.amax(1)], 1).tolist(),
            name=name,
            mode="lines+markers",
            line={"color": colour},
            hovertemplate="%{x} sweeps: median %{y}, from %{customdata[0]} to %{customdata[1]}"
            f"<extra>{name}</extra>",
        )
    figure.add_hline(y=length, line={"dash": "dot", "width": 1, "color": _BOTH})
    _count_sweeps(figure, len(curve))
    return Chart(
        "certificate",
        "Certified prefix against sweeps",
        "Median over samples of the leading steps that the sweeps prove, and of those that truly "
        f"equal the reference. The dotted line is the whole sequence, {length:,} steps.",
        figure,
    )


def _raster(divergence: Divergence, sample: int | None) -> Chart:
    name = divergence.most_different()
    one, reference = divergence.all[name], divergence.reference
    chosen = most_different_sample(one, reference) if sample is None else sample
    length, _, neurons = one.solution.spikes.shape
    both, only_one, only_reference = spike_places(one, reference, chosen)
    figure = _figure("time step", "neuron")
    shown = total = 0
    for places, colour, label in (
        (both, _BOTH, "in both"),
        (only_one, _ONLY_SOLVER, f"only {name}"),
        (only_reference, _ONLY_REFERENCE, "only reference"),
    ):
        kept = _thinned(places)
        shown, total = shown + len(kept), total + len(places)
        agree = colour == _BOTH
        figure.add_scatter(
            x=kept[:, 0].tolist(),
            y=kept[:, 1].tolist(),
            mode="markers",
            name=f"{_plain(label)}: {len(places):,}",
            marker={"color": colour, "size": 5 if agree else 8,
                    "symbol": "line-ns-open" if agree else "circle"},
            hovertemplate=f"step %{{x}}, neuron %{{y}}<extra>{_plain(label)}</extra>",
        )  # fmt: skip
    figure.update_xaxes(range=[-1, length])
    figure.update_yaxes(range=[-1, neurons], tickformat="d")
    figure.update_layout(showlegend=True)
    if not len(only_one) and not len(only_reference):
        said = " of the reference" if one is reference else f", and {name} differs in none"
        caption = f"Each mark is a spike{said}."
    else:
        caption = (
            f"Each mark is a spike. Coloured ones were fired by {name} alone, or by the reference "
            "alone."
        )
    part = "" if shown == total else f" {shown:,} of {total:,} spikes are drawn."
    return Chart("raster", f"Spikes of sample {chosen}", caption + part, figure)


def _thinned(places: Tensor) -> Tensor:
    step = -(-len(places) // MOST_SPIKES)
    return places[:: max(step, 1)]


def _voltage(divergence: Divergence) -> Chart:
    figure = _figure("time step", "voltage RMSE")
    errors = {
        name: voltage_error(one, divergence.reference) for name, one in divergence.solvers.items()
    }
    without = [name for name, error in errors.items() if not bool((error > 0).any())]
    none_errs = len(without) == len(errors)
    # A logarithmic axis has no zero. Only where no solver errs are the zeros drawn.
    drawn = {name: e for name, e in errors.items() if none_errs or name not in without}
    block = math.ceil(len(divergence.reference.solution.spikes) * len(drawn) / MOST_POINTS)
    for name, error in drawn.items():
        steps, largest = _largest_of(error, block)
        figure.add_scatter(
            x=steps.tolist(),
            y=[value if value > 0 or none_errs else None for value in largest.tolist()],
            name=_plain(name),
            mode="lines",
            line={"width": 1.5},
            hovertemplate=f"step %{{x}}: %{{y:.3g}}<extra>{_plain(name)}</extra>",
        )
    if none_errs:
        figure.update_yaxes(rangemode="tozero")
    else:
        every = torch.cat(list(drawn.values()))
        _logarithmic(figure, every[every > 0])
    figure.update_layout(showlegend=True)
    none = f" No error at all: {', '.join(without)}." if without else ""
    part = f" Drawn is the largest error of every {block:,} steps." if block > 1 else ""
    return Chart(
        "voltage",
        "Voltage error over time",
        "Root mean square over samples and neurons of the difference from the reference's voltage "
        f"in each step{'' if none_errs else '; steps without error are gaps'}.{none}{part}",
        figure,
    )


def _largest_of(values: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Where the largest of each ``block`` values stands, and that value: no peak goes missing."""
    if block <= 1:
        return torch.arange(len(values)), values
    padded = torch.nn.functional.pad(values, (0, -len(values) % block), value=-1.0)
    largest, place = padded.view(-1, block).max(1)
    return place + block * torch.arange(len(place)), largest


def _phase(phase: PhaseDiagram) -> Chart:
    figure = _figure("recurrent gain", "delay, steps")
    sweeps = phase.sweeps.tolist()
    limit = phase.limit
    text = [[f"{s:.0f}" if s < limit else f"≥{limit}" for s in row] for row in sweeps]
    details = torch.stack([100 * phase.difference, phase.work, 100 * phase.rate], -1)
    figure.add_heatmap(
        z=phase.sweeps.log10().tolist(),
        x=[f"{gain:g}" for gain in phase.gains],
        y=[str(delay) for delay in phase.delays],
        text=text,
        texttemplate="%{text}",
        customdata=details.tolist(),
        textfont={"size": 15},
        colorscale="Viridis",
        zmin=0,
        zmax=math.log10(max(limit, 2)),
        showscale=False,
        hovertemplate="gain %{x}, delay %{y}: %{text} sweeps<br>%{customdata[0]:.3g} % differ "
        "with the measured solver<br>work of Exact %{customdata[1]:.2f}<br>"
        "%{customdata[2]:.1f} % firing<extra></extra>",
    )
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category")
    capped = bool((phase.sweeps >= limit).any())
    more = f" Where ≥{limit} stands, that many did not suffice." if capped else ""
    return Chart(
        "phase",
        "Phase diagram",
        "Sweeps over the whole sequence until everything is proved (median of samples), with the "
        "recurrent weights multiplied by the gain and all delays set to the delay. The lighter, "
        f"the longer differences live on.{more}",
        figure,
    )
