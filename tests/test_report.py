"""The HTML report: what it says is what was measured, and it loads nothing."""

import re
from dataclasses import replace

import pytest
import torch

import phc_snn as phc
from phc_snn.convert.attribution import CAUSES
from phc_snn.plots import voltage_error
from phc_snn.report import charts as report_charts
from phc_snn.report import page as report_page
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


def tables(page):
    """Each table as row name -> cells, the heading under ``""``."""
    found = []
    for table in re.findall(r"<table>(.*?)</table>", body(page), re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>", table)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
        found.append({row[0]: row[1:] for row in cells})
    return found


def test_tables_hold_the_figures(page, divergence):
    solvers, causes = tables(page)
    one = divergence.solvers["one"]
    assert solvers[""] == ["reference", "one", "exact"]
    assert solvers["accuracy"] == ["0.75", "0.5", "-"]
    assert solvers["neuron-steps that differ"] == ["0", f"{one.differing_spikes:,}", "0"]
    assert solvers["first step that differs"] == ["-", str(one.first_differing_step), "-"]
    assert solvers["voltage, RMSE"][1] == f"{one.voltage_rmse:.4g}"
    assert causes[""] == ["one", "exact"]
    assert causes["too few sweeps"] == [f"{one.differing_spikes:,}", "0"]
    assert causes["all"] == causes["too few sweeps"]
    assert causes["undecidable"] == [str(one.differing_undecidable), "0"]


def test_every_figure_of_a_comparison_is_named(divergence):
    """A figure that `Comparison` gains has to be given its words here too."""
    causes = {f"from_{cause}" for cause in CAUSES}
    assert set(divergence.reference.figures()) == set(report_page._FIGURES) - {"accuracy"} | causes
    assert set(report_page._CAUSES) == set(CAUSES)


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


def test_a_long_voltage_is_thinned_and_keeps_its_peaks(monkeypatch, divergence):
    """40 steps of 1 solver with an error in 10 points: the largest of every 4."""
    monkeypatch.setattr(report_charts, "MOST_POINTS", 10)
    chart = {chart.key: chart for chart in report_charts.charts(divergence)}["voltage"]
    (line,) = chart.figure.data
    error = voltage_error(divergence.solvers["one"], divergence.reference)
    largest = error.view(10, 4).max(1)
    assert list(line.y) == [value or None for value in largest.values.tolist()]
    assert list(line.x) == [4 * i + int(place) for i, place in enumerate(largest.indices)]
    assert "Drawn is the largest error of every 4 steps." in chart.caption


def test_the_largest_of_blocks_that_do_not_fill_up():
    steps, largest = report_charts._largest_of(torch.tensor([1.0, 5.0, 2.0, 0.0, 3.0]), 2)
    assert steps.tolist() == [1, 2, 4]
    assert largest.tolist() == [5.0, 2.0, 3.0]


def test_a_long_recording_fits_a_mail(tmp_path):
    """100,000 steps of 64 neurons with 3 % firing: 200,000 spikes, and 2 solvers' errors."""
    generator = torch.Generator().manual_seed(0)
    shape = (100_000, 1, 64)

    def comparison():
        found = small.reference.solution
        fired = (torch.rand(shape, generator=generator) < 0.03).float()
        solution = replace(found, spikes=fired, voltage=torch.rand(shape, generator=generator))
        return replace(small.reference, solution=solution)

    network = make_network()
    small = phc.measure_divergence(network, currents(network, 5), solvers={}, sweeps=0)
    solvers = {"one": comparison(), "two": comparison()}
    write_report(
        tmp_path / "r.html", replace(small, reference=comparison(), solvers=solvers),
        title="t", summary={},
    )  # fmt: skip
    assert (tmp_path / "r.html").stat().st_size < 7_000_000
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert re.search(r"[\d,]+ of [\d,]+ spikes are drawn", text)
    assert "the largest error of every 10 steps" in text


def test_bridges_are_shown(divergence, tmp_path):
    model = phc.PHCSSM(3, 2, neurons=8)
    bridges = phc.compare_bridges(model, torch.randn(4, 30, 3), torch.arange(4) % 2, sweeps=(2,))
    write_report(tmp_path / "r.html", divergence, title="t", summary={}, bridges=bridges)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    shown = tables(text)[-1]
    head, rows = bridges.table()
    assert shown["strategy"] == head[1:]
    assert [[name, *cells] for name, cells in shown.items()][1:] == rows


def test_solvers_without_error_are_drawn_at_zero():
    network = make_network(gain=4.0)
    x = currents(network, 20)
    found = phc.measure_divergence(network, x, solvers={"exact": phc.Exact()})
    charts = {chart.key: chart for chart in report_charts.charts(found)}
    (line,) = charts["voltage"].figure.data
    assert list(line.y) == [0.0] * 20
    assert charts["voltage"].figure.layout.yaxis.type is None, "a logarithm has no zero"
    assert charts["raster"].caption == "Each mark is a spike, and exact differs in none."


def test_the_reference_alone_has_a_raster_and_no_error():
    network = make_network(gain=4.0)
    found = phc.measure_divergence(network, currents(network, 20), solvers={})
    charts = {chart.key: chart for chart in report_charts.charts(found)}
    assert list(charts) == ["sweeps", "certificate", "raster"]
    assert charts["raster"].caption == "Each mark is a spike of the reference."


def test_a_cell_that_no_sweeps_settle_is_explained(divergence):
    phase = divergence.phase
    assert float(phase.sweeps.max()) == phase.limit == 9, "the example has such a cell"
    chart = report_charts._phase(phase)
    assert "Where ≥9 stands, that many did not suffice." in chart.caption
    enough = replace(phase, sweeps=phase.sweeps.clamp(max=8))
    assert "suffice" not in report_charts._phase(enough).caption


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
