"""The HTML report: what it says is what was measured, and it loads nothing."""

import re

import pytest
import torch

import phc_snn as phc
from phc_snn.report import charts as report_charts
from phc_snn.report import write_report
from tests.builders import currents, make_network

pytest.importorskip("plotly")


@pytest.fixture(scope="module")
def divergence():
    network = make_network(gain=4.0)
    x = currents(network, 40, batch=3)
    phase = phc.phase_diagram(network, x, gains=(0.5, 2.0), delays=(1, 4), limit=9)
    solvers = {"one": phc.Jacobi(1), "exact": phc.Exact()}
    return phc.measure_divergence(network, x, solvers=solvers, phase=phase)


@pytest.fixture(scope="module")
def page(divergence, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "made" / "report.html"
    write_report(
        path,
        divergence,
        title="<script>alert('title')</script>",
        summary={"Data": "<b>bold</b>", "T & N": "40 > 8"},
        accuracy={"sequential": 0.75, "one": 0.5},
    )
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def body(page):
    return page[page.index("<body>") :]


def test_it_loads_nothing(page):
    """No element that fetches; plotly's own source only names addresses it can be told to use."""
    assert not re.findall(r"<script[^>]+src=", page)
    assert re.findall(r"<link[^>]*>", page) == ['<link rel="icon" href="data:,">']
    assert not re.findall(r"<(?:img|iframe|audio|video|object)\b", body(page))
    assert not re.findall(r"@import|url\(", page[: page.index("<script>")])


def test_it_fits_a_mail(page):
    assert len(page.encode()) < 7_000_000
    assert page.count("plotly.js v") <= 2, "the library stands in it once"


def test_text_is_escaped(page):
    assert "<script>alert('title')" not in page
    assert "&lt;script&gt;alert(" in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "T &amp; N" in page


def test_tables_hold_the_figures(page, divergence):
    rows = re.findall(r"<tr><td>(.*?)</td></tr>", body(page))
    cells = {row.split("</td><td>")[0]: row.split("</td><td>")[1:] for row in rows[:3]}
    assert set(cells) == {"reference", "one", "exact"}
    one = divergence.solvers["one"]
    assert cells["reference"][0] == "0.75"
    assert cells["one"][0] == "0.5"
    assert cells["exact"][0] == "-"
    assert f"{one.differing_spikes:,}" in cells["one"]
    causes = {row.split("</td><td>")[0]: row.split("</td><td>")[1:] for row in rows[3:]}
    assert causes["one"] == ["0", "0", f"{one.differing_spikes:,}", "0"]


def test_charts_are_those_of_the_data(divergence):
    charts = {chart.key: chart for chart in report_charts.charts(divergence)}
    assert list(charts) == ["sweeps", "certificate", "raster", "voltage", "phase"]
    sweeps = charts["sweeps"].figure.data[0]
    assert list(sweeps.customdata) == (100 * divergence.curve.step_difference).tolist()
    equal, proved = charts["certificate"].figure.data
    assert list(proved.y) == divergence.curve.certified_steps.double().median(1).values.tolist()
    assert equal.name == "truly equal"
    sample = int(re.search(r"sample (\d+)", charts["raster"].title)[1])
    a = divergence.solvers["one"].solution.spikes[:, sample].bool()
    b = divergence.reference.solution.spikes[:, sample].bool()
    counts = [len(trace.x) for trace in charts["raster"].figure.data]
    assert counts == [int((a & b).sum()), int((a & ~b).sum()), int((b & ~a).sum())]
    assert "No error at all: exact." in charts["voltage"].caption
    assert charts["phase"].figure.data[0].text[0][0] == f"{divergence.phase.sweeps[0, 0]:.0f}"


def test_many_spikes_are_thinned_and_said_to_be(monkeypatch, divergence):
    monkeypatch.setattr(report_charts, "MOST_SPIKES", 10)
    raster = {chart.key: chart for chart in report_charts.charts(divergence)}["raster"]
    assert all(len(trace.x) <= 10 for trace in raster.figure.data)
    shown, total = map(int, re.search(r"(\d+) of (\d+) spikes are drawn", raster.caption).groups())
    assert shown == sum(len(trace.x) for trace in raster.figure.data) < total


def test_bridges_are_shown(divergence, tmp_path):
    model = phc.PHCSSM(3, 2, neurons=8)
    bridges = phc.compare_bridges(model, torch.randn(4, 30, 3), torch.arange(4) % 2, sweeps=(2,))
    write_report(tmp_path / "r.html", divergence, title="t", summary={}, bridges=bridges)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    for row in bridges.rows:
        assert f"<td>{row.name}</td>" in text


def test_empty_input_gives_a_page_of_tables(tmp_path):
    network = make_network()
    nothing = phc.measure_divergence(network, currents(network, 5)[:0])
    write_report(tmp_path / "r.html", nothing, title="t", summary={})
    assert "<table>" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("sample", [-1, 3])
def test_bad_sample_leaves_no_file(divergence, tmp_path, sample):
    with pytest.raises(ValueError, match=f"sample: got {sample}, expected 0 to 2"):
        write_report(tmp_path / "r.html", divergence, title="t", summary={}, sample=sample)
    assert not list(tmp_path.iterdir())
