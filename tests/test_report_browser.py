"""The report in a real browser: Debian's Chromium, without a window, driven by playwright."""

import shutil

import pytest

import phc_snn as phc
from phc_snn.report import write_report
from tests.builders import currents, make_network

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CHARTS = ("sweeps", "certificate", "raster", "voltage", "phase")


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    pytest.importorskip("plotly")
    path = tmp_path_factory.mktemp("browser") / "report.html"
    network = make_network(gain=4.0)
    x = currents(network, 60, batch=3)
    phase = phc.phase_diagram(network, x, gains=(0.5, 2.0, 8.0), delays=(1, 4), limit=30)
    solvers = {"one sweep": phc.Jacobi(1), "four": phc.Jacobi(4), "exact": phc.Exact()}
    found = phc.measure_divergence(network, x, solvers=solvers, phase=phase)
    write_report(
        path, found, title="A network", summary={"Data": "noise " * 30, "Command": "x" * 200}
    )
    return path


def visit(browser, path, width=1200):
    """An open page, and what it said on the console and asked of the network."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    complaints, requests = [], []
    page.on(
        "console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    return page, complaints, requests


def assert_sound(path, complaints, requests):
    assert complaints == []
    assert requests == [path.as_uri()]


def assert_charts_are_drawn(page, charts=CHARTS):
    for key in charts:
        chart = page.locator(f"#chart-{key}")
        box = chart.locator("svg.main-svg").first.bounding_box()
        assert box["width"] > 200, key
        assert box["height"] > 200, key
        marks = chart.locator(
            "g.trace path, g.heatmaplayer image, g.scatterlayer path, g.heatmaplayer path"
        )
        assert marks.count() > 0, f"{key} is empty"


def assert_fits(page, width):
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1200, 360])
def test_report_is_drawn_and_keeps_to_itself(browser, report, width):
    page, complaints, requests = visit(browser, report, width)
    assert_charts_are_drawn(page)
    assert_fits(page, width)
    assert page.locator("table tbody tr").count() >= 6
    assert_sound(report, complaints, requests)
    page.close()


def test_pointing_at_a_mark_tells_its_value(browser, report):
    page, complaints, requests = visit(browser, report)
    point = page.locator("#chart-sweeps g.points path").first
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    label = page.locator("#chart-sweeps g.hovertext")
    label.wait_for(timeout=5000)
    assert "1 sweeps" in label.text_content()
    assert_sound(report, complaints, requests)
    page.close()


def test_it_adapts_when_the_phone_is_turned(browser, report):
    page, _, _ = visit(browser, report, 360)
    before = page.locator("#chart-voltage svg.main-svg").first.bounding_box()["width"]
    page.set_viewport_size({"width": 800, "height": 360})
    page.wait_for_function(
        "w => document.querySelector('#chart-voltage svg.main-svg')"
        ".getBoundingClientRect().width > w + 100",
        arg=before,
    )
    assert_fits(page, 800)
    page.close()


BROKEN = {
    "an error on the console": "<script>console.error('broken')</script>",
    "an error in a script": "<script>nothing.defined()</script>",
    "an image from elsewhere": "<img src='http://127.0.0.1:9/pixel.png'>",
    "a font from elsewhere": "<link rel='stylesheet' href='http://127.0.0.1:9/font.css'>",
}


@pytest.mark.parametrize("fault", BROKEN)
def test_the_check_sees_a_broken_page(browser, tmp_path, fault):
    path = tmp_path / "broken.html"
    path.write_text(f"<!DOCTYPE html><html><body>{BROKEN[fault]}</body></html>")
    page, complaints, requests = visit(browser, path)
    with pytest.raises(AssertionError):
        assert_sound(path, complaints, requests)
    page.close()


def test_the_check_sees_a_missing_chart_and_a_page_too_wide(browser, report, tmp_path):
    path = tmp_path / "cut.html"
    text = report.read_text(encoding="utf-8")
    path.write_text(
        text.replace('"chart-voltage",', '"chart-nowhere",').replace(
            "<h1>", "<h1 style='width: 900px'>"
        )
    )
    page, _, _ = visit(browser, path, 360)
    with pytest.raises(AssertionError):
        assert_fits(page, 360)
    assert page.locator("#chart-voltage svg.main-svg").count() == 0
    page.close()
