"""The page around the charts: one file, nothing loaded from anywhere."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phc_snn.checks import check_sample
from phc_snn.convert import Divergence
from phc_snn.extras import require
from phc_snn.files import write_text
from phc_snn.report.charts import Chart, charts

if TYPE_CHECKING:
    from phc_snn.convert import BridgeComparison

_STYLE = """
:root { color-scheme: light dark; --text: #222; --soft: #555; --page: #f6f6f4; --card: #fff;
  --line: #e4e4e0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e3; --soft: #b0b0ac; --page: #161618; --card: #212124; --line: #3a3a3e; }
}
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--text);
  background: var(--page); }
main { max-width: 1100px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 0 0 4px; }
section { background: var(--card); border-radius: 8px; padding: 16px; margin: 0 0 16px; }
p { margin: 0 0 8px; color: var(--soft); overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.875rem; white-space: nowrap; }
th, td { padding: 4px 12px; text-align: right; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; }
th:first-child { text-align: left; white-space: normal; min-width: 8.5rem; position: sticky;
  left: 0; background: var(--card); padding-left: 0; }
thead th { vertical-align: bottom; white-space: normal; overflow-wrap: break-word; min-width: 5rem;
  max-width: 14rem; }
tbody th { font-weight: normal; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 16px; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 16px; }
.charts .wide { grid-column: 1 / -1; }
/* plotly writes its colours into each element; text on the page's own ground follows the page. */
.main-svg .xtick text, .main-svg .ytick text, .main-svg .xtitle, .main-svg .ytitle,
.main-svg .legendtext { fill: var(--text) !important; }
@media (max-width: 800px) {
  main { padding: 8px; }
  section { padding: 12px; margin-bottom: 8px; }
  th, td { padding: 4px 6px; }
  th:first-child { min-width: 7rem; }
  .charts { grid-template-columns: minmax(0, 1fr); }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: 8px; }
}
"""

# The browser itself holds the page to loading nothing.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)

# A finger that moves over a chart scrolls the page; a mouse zooms.
_SCRIPT = """
if (matchMedia("(pointer: coarse)").matches) {
  for (const chart of document.querySelectorAll(".js-plotly-plot")) {
    Plotly.relayout(chart, { dragmode: false });
  }
}
"""

_HINT = (
    "<section><p>Point at a mark in a chart, or tap it, to read its values. With a mouse, drag to "
    "zoom in and double-click to zoom out. A click on a name in a legend hides it.</p></section>"
)

_FIGURES = {
    "accuracy": "accuracy",
    "agreement": "decisions that are the reference's",
    "logits_max": "largest error of a logit",
    "spikes": "spikes",
    "differing_spikes": "neuron-steps that differ",
    "spike_difference": "that number per spike",
    "step_difference": "that number per neuron-step",
    "first_differing_step": "first step that differs",
    "undecidable_spikes": "undecidable neuron-steps",
    "differing_undecidable": "differing ones among them",
    "voltage_rmse": "voltage, RMSE",
    "voltage_max": "voltage, largest error",
    "rate_difference": "firing rate, error",
    "van_rossum": "van Rossum distance",
    "sweeps_median": "sweeps, median",
    "sweeps_max": "sweeps, most",
    "work_mean": "work, mean",
    "certified_steps_min": "steps proved, fewest",
    "converged": "samples that converged",
    "seconds": "seconds",
}
_CAUSES = {
    "carried_state": "state carried from sweep to sweep",
    "first_drive": "drive of the first sweep",
    "sweeps": "too few sweeps",
    "rounding": "rounding",
}


def write_report(
    path: Path | str,
    divergence: Divergence,
    *,
    title: str,
    summary: Mapping[str, str],
    accuracy: Mapping[str, float] | None = None,
    bridges: "BridgeComparison | None" = None,
    sample: int | None = None,
) -> None:
    """Write a divergence as one self-contained HTML file, atomically.

    The file holds its charts and the library that draws them (about 5 MB), loads nothing, and
    reads well on a phone.

    Args:
        path: The file; its folder is made if it is missing.
        divergence: What `phc_snn.measure_divergence` found.
        title: Heading of the page.
        summary: What was run, as name -> text.
        accuracy: Name of a solver -> accuracy; the reference may be called ``"sequential"``.
        bridges: A comparison of bridging strategies to show as a table.
        sample: Sample in the raster; the one that differs most if None.

    Raises:
        MissingExtraError: plotly is not installed (extra ``report``).
        ValueError: A sample that is not there.

    Example:
        >>> import tempfile, torch, phc_snn as phc
        >>> from phc_snn.report import write_report
        >>> model = phc.PHCSSM(6, 4, neurons=16)
        >>> found = phc.measure_divergence(model, torch.randn(30, 4, 6))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(Path(folder) / "report.html", found, title="A test", summary={})
    """
    check_sample(sample, divergence.reference.solution.spikes.shape[1])
    sections = _sections(divergence, summary, accuracy or {}, bridges)
    blocks = "".join(_chart_section(chart) for chart in charts(divergence, sample))
    write_text(Path(path), _page(title, sections, blocks))


def _sections(
    divergence: Divergence,
    summary: Mapping[str, str],
    accuracy: Mapping[str, float],
    bridges: "BridgeComparison | None",
) -> str:
    """All that is said before the charts."""
    sections = [_section("Run", _definitions(summary))] if summary else []
    sections.append(
        _section(
            "Solvers",
            _solver_table(divergence, accuracy),
            "Every solver against the reference. Undecidable are the neuron-steps at which the "
            "reference lies so close to the threshold that rounding decides the spike. Work counts "
            "neuron updates relative to one sweep.",
        )
    )
    causes = _cause_table(divergence)
    if causes:
        sections.append(
            _section(
                "Where the differences come from",
                causes,
                "Each differing neuron-step counts for the first cause without which it agrees. "
                "Undecidable ones are counted once more, apart.",
            )
        )
    if bridges is not None:
        sections.append(
            _section(
                "Bridging strategies",
                _table(*bridges.table()),
                "Accuracy with the solver that the strategy computes with, and of the same weights "
                "deployed step by step; time of the parallel run relative to step by step.",
            )
        )
    return "".join(sections)


def _page(title: str, sections: str, blocks: str) -> str:
    library = require("plotly.offline", extra="report").get_plotlyjs()
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
<script>{library}</script>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{sections}
{_HINT if blocks else ""}
<div class="charts">{blocks}</div>
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _section(title: str, content: str, text: str = "") -> str:
    paragraph = f"<p>{escape(text)}</p>" if text else ""
    return f"<section><h2>{escape(title)}</h2>{paragraph}{content}</section>"


def _chart_section(chart: Chart) -> str:
    content = chart.figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=f"chart-{chart.key}",
        config={"responsive": True, "displaylogo": False, "displayModeBar": False},
    )
    wide = "" if chart.key in ("sweeps", "certificate") else ' class="wide"'
    return (
        f"<section{wide}><h2>{escape(chart.title)}</h2>"
        f"<p>{escape(chart.caption)}</p>{content}</section>"
    )


def _definitions(entries: Mapping[str, str]) -> str:
    rows = (f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in entries.items())
    return f"<dl>{''.join(rows)}</dl>"


def _solver_table(divergence: Divergence, accuracy: Mapping[str, float]) -> str:
    """A row for each figure: a phone has room for a few solvers, not for twenty figures."""
    named = {"reference": accuracy.get("sequential"), **accuracy}
    columns = {
        name: {"accuracy": named.get(name), **one.figures()} for name, one in divergence.all.items()
    }
    rows = [
        [title, *(column[figure] for column in columns.values())]
        for figure, title in _FIGURES.items()
        if any(column[figure] is not None for column in columns.values())
    ]
    return _table(["", *columns], rows)


def _cause_table(divergence: Divergence) -> str:
    known = {name: one for name, one in divergence.solvers.items() if one.attribution is not None}
    rows: list[list[Any]] = [
        [title, *(getattr(one.attribution, cause) for one in known.values())]
        for cause, title in _CAUSES.items()
    ]
    rows.append(["all", *(one.differing_spikes for one in known.values())])
    rows.append(["undecidable", *(one.differing_undecidable for one in known.values())])
    return _table(["", *known], rows) if known else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table whose first column names its rows."""
    titles = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(_cell(row[0]))}</th>'
        + "".join(f"<td>{escape(_cell(cell))}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
