"""The charts of the report, drawn by plotly (extra ``report``), each with its caption."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phc_snn.convert import Divergence, PhaseDiagram, SweepCurve
from phc_snn.extras import require
from phc_snn.plots import most_different_sample, voltage_error

_ONLY_SOLVER, _ONLY_REFERENCE, _BOTH = "#d1495b", "#2e86ab", "#5b5b5b"
MOST_SPIKES = 8000
"""Spikes of each kind in the raster; a page with more is slow on a phone."""


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
        found += [_raster(divergence, sample), _voltage(divergence)]
    if divergence.phase is not None:
        found.append(_phase(divergence.phase))
    return found


def _figure(x: str, y: str, **layout: Any) -> Any:
    objects = require("plotly.graph_objects", extra="report")
    figure = objects.Figure()
    figure.update_layout(
        template="plotly_white",
        height=360,
        margin={"l": 60, "r": 12, "t": 36, "b": 50},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        font={"size": 13},
        hovermode="closest",
        **layout,
    )
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=y)
    return figure


def _sweeps(curve: SweepCurve) -> Chart:
    percent = 100 * curve.step_difference
    positive = percent[percent > 0]
    # A logarithmic axis has no zero: it is drawn below the smallest value, and named.
    floor = float(positive.min()) / 10 if len(positive) else 1.0
    figure = _figure("sweeps", "differing neuron-steps, %")
    figure.add_scatter(
        x=list(range(1, len(curve) + 1)),
        y=percent.clamp(min=floor).tolist(),
        customdata=percent.tolist(),
        mode="lines+markers",
        marker={
            "color": [_BOTH if p else _ONLY_REFERENCE for p in percent.tolist()],
            "size": 9,
            "symbol": ["circle" if p else "star" for p in percent.tolist()],
        },
        line={"color": _BOTH},
        hovertemplate="%{x} sweeps: %{customdata:.4g} %<extra></extra>",
        showlegend=False,
    )
    figure.update_yaxes(type="log", dtick=1, exponentformat="power")
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
    figure.add_hline(y=length, line={"dash": "dot", "width": 1})
    return Chart(
        "certificate",
        "Certified prefix against sweeps",
        "Median over samples of the leading steps that the sweeps prove, and of those that truly "
        f"equal the reference. The dotted line is the whole sequence, {length} steps.",
        figure,
    )


def _raster(divergence: Divergence, sample: int | None) -> Chart:
    name = divergence.most_different()
    one, reference = divergence.all[name], divergence.reference
    chosen = most_different_sample(one, reference) if sample is None else sample
    a = one.solution.spikes[:, chosen].bool().cpu()
    b = reference.solution.spikes[:, chosen].bool().cpu()
    figure = _figure("time step", "neuron")
    shown = total = 0
    for fired, colour, label in (
        (a & b, _BOTH, "in both"),
        (a & ~b, _ONLY_SOLVER, f"only {name}"),
        (b & ~a, _ONLY_REFERENCE, "only reference"),
    ):
        places = fired.nonzero()
        kept = _thinned(places)
        shown, total = shown + len(kept), total + len(places)
        both = colour == _BOTH
        figure.add_scatter(
            x=kept[:, 0].tolist(),
            y=kept[:, 1].tolist(),
            mode="markers",
            name=f"{label}: {len(places)}",
            marker={"color": colour, "size": 5 if both else 8,
                    "symbol": "line-ns-open" if both else "circle"},
            hovertemplate="step %{x}, neuron %{y}<extra>" + label + "</extra>",
        )  # fmt: skip
    part = "" if shown == total else f" {shown:,} of {total:,} spikes are drawn."
    return Chart(
        "raster",
        f"Spikes of sample {chosen}",
        f"Each mark is a spike. Coloured ones were fired by {name} alone, or by the reference "
        f"alone.{part}",
        figure,
    )


def _thinned(places: Tensor) -> Tensor:
    step = -(-len(places) // MOST_SPIKES)
    return places[:: max(step, 1)]


def _voltage(divergence: Divergence) -> Chart:
    figure = _figure("time step", "voltage RMSE")
    without = []
    for name, one in divergence.solvers.items():
        error = voltage_error(one, divergence.reference)
        if not bool((error > 0).any()):
            without.append(name)
            continue
        figure.add_scatter(
            y=[value if value > 0 else None for value in error.tolist()],
            name=name,
            mode="lines",
            line={"width": 1.5},
            hovertemplate="step %{x}: %{y:.3g}<extra>" + name + "</extra>",
        )
    figure.update_yaxes(type="log", dtick=1, exponentformat="power")
    figure.update_layout(showlegend=True)
    none = f" No error at all: {', '.join(without)}." if without else ""
    return Chart(
        "voltage",
        "Voltage error over time",
        "Root mean square over samples and neurons of the difference from the reference's voltage "
        f"in each step; steps without error are gaps.{none}",
        figure,
    )


def _phase(phase: PhaseDiagram) -> Chart:
    figure = _figure("recurrent gain", "delay, steps")
    sweeps = phase.sweeps.tolist()
    text = [[f"{s:.0f}" if s < phase.limit else f"≥{phase.limit}" for s in row] for row in sweeps]
    details = torch.stack([100 * phase.difference, phase.work, 100 * phase.rate], -1)
    figure.add_heatmap(
        z=phase.sweeps.log10().tolist(),
        x=[f"{gain:g}" for gain in phase.gains],
        y=[str(delay) for delay in phase.delays],
        text=text,
        texttemplate="%{text}",
        customdata=details.tolist(),
        colorscale="Viridis",
        zmin=0,
        zmax=math.log10(max(phase.limit, 2)),
        showscale=False,
        hovertemplate="gain %{x}, delay %{y}: %{text} sweeps<br>%{customdata[0]:.3g} % differ "
        "with the measured solver<br>work of Exact %{customdata[1]:.2f}<br>"
        "%{customdata[2]:.1f} % firing<extra></extra>",
    )
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category")
    return Chart(
        "phase",
        "Phase diagram",
        "Sweeps over the whole sequence until everything is proved (median of samples), when the "
        "recurrent weights are multiplied by the gain and all delays set to the delay. Dark: "
        "sweeping settles. Light: the network is chaotic, and stepping is cheaper.",
        figure,
    )
