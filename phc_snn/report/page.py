"""The page around the charts: one file, nothing loaded from anywhere."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phc_snn.convert import Divergence
from phc_snn.convert.attribution import CAUSES
from phc_snn.extras import require
from phc_snn.files import write_text
from phc_snn.report.charts import Chart, charts

if TYPE_CHECKING:
    from phc_snn.convert import BridgeComparison

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: #222; background: #f6f6f4; }
main { max-width: 1100px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 4px; }
section { background: #fff; border-radius: 8px; padding: 16px; margin: 16px 0; }
p { margin: 0 0 8px; color: #555; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.875rem; white-space: nowrap; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid #e4e4e0; }
th:first-child, td:first-child { text-align: left; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 16px; margin: 0; }
dt { color: #555; }
dd { margin: 0; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 16px; }
.charts .wide { grid-column: 1 / -1; }
@media (max-width: 800px) {
  main { padding: 8px; }
  section { padding: 12px; }
  .charts { grid-template-columns: minmax(0, 1fr); }
}
"""

_COLUMNS = {
    "accuracy": "accuracy",
    "agreement": "same decision",
    "differing_spikes": "spikes differ",
    "spike_difference": "per spike",
    "first_differing_step": "first at step",
    "undecidable_spikes": "undecidable",
    "differing_undecidable": "of the differing",
    "voltage_rmse": "voltage RMSE",
    "voltage_max": "largest",
    "rate_difference": "rate difference",
    "van_rossum": "van Rossum",
    "sweeps_median": "sweeps, median",
    "sweeps_max": "most",
    "work_mean": "work",
    "certified_steps_min": "proved steps",
    "seconds": "seconds",
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
    batch = divergence.reference.solution.spikes.shape[1]
    if sample is not None and not 0 <= sample < batch:
        raise ValueError(f"sample: got {sample}, expected 0 to {batch - 1}")
    sections = [_section("Run", _definitions(summary))] if summary else []
    sections.append(
        _section(
            "Solvers",
            _solver_table(divergence, accuracy or {}),
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
                "Each differing neuron-step counts for the first cause without which it agrees.",
            )
        )
    if bridges is not None:
        sections.append(
            _section(
                "Bridging strategies",
                _table(*bridges.table()),
                "Accuracy with the solver that the strategy computes with, and of the same weights "
                "step by step.",
            )
        )
    drawn = charts(divergence, sample)
    blocks = "".join(_chart_section(chart) for chart in drawn)
    write_text(Path(path), _page(title, "".join(sections), blocks))


def _page(title: str, sections: str, blocks: str) -> str:
    library = require("plotly.offline", extra="report").get_plotlyjs()
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
<script>{library}</script>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{sections}
<div class="charts">{blocks}</div>
</main>
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
    named = {"reference": accuracy.get("sequential"), **accuracy}
    rows = {
        name: {"accuracy": named.get(name), **one.figures()} for name, one in divergence.all.items()
    }
    present = [c for c in _COLUMNS if any(row[c] is not None for row in rows.values())]
    head = ["solver", *(_COLUMNS[column] for column in present)]
    return _table(head, [[name, *(row[c] for c in present)] for name, row in rows.items()])


def _cause_table(divergence: Divergence) -> str:
    rows = [
        [name, *(getattr(one.attribution, cause) for cause in CAUSES)]
        for name, one in divergence.solvers.items()
        if one.attribution is not None
    ]
    head = ["solver", "state carried from sweep to sweep", "drive of the first sweep",
            "too few sweeps", "rounding"]  # fmt: skip
    return _table(head, rows) if rows else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
