"""The report in a real browser: Debian's Chromium, without a window, driven by playwright."""

import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import phc_snn as phc
from phc_snn.report import write_report
from tests.browser import (
    FLAGS,
    assert_charts_are_drawn,
    assert_fits,
    assert_sound,
    swipe_up,
    visit,
)
from tests.builders import currents, make_network

CHARTS = ("sweeps", "certificate", "raster", "voltage", "phase")
ODD_NAME = "<img src='http://127.0.0.1:9/x' onerror='alert(1)'>%{x}</script><b>1</b>"


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
    solvers = {ODD_NAME: phc.Jacobi(1), "four": phc.Jacobi(4), "exact": phc.Exact()}
    found = phc.measure_divergence(network, x, solvers=solvers, phase=phase)
    write_report(
        path, found, title="A network", summary={"Data": "noise " * 30, "Command": "x" * 200}
    )
    return path


@pytest.mark.parametrize("width", [1200, 360])
def test_report_is_drawn_and_keeps_to_itself(browser, report, width):
    page, complaints, requests = visit(browser, report, width)
    assert_charts_are_drawn(page, CHARTS)
    assert_fits(page, width)
    assert page.locator("table tbody tr").count() >= 6
    assert_sound(report, complaints, requests)
    page.close()


def test_the_charts_hold_every_point(browser, report):
    """As many marks on the screen as the page's own data has."""
    page, _, _ = visit(browser, report)
    for key in ("sweeps", "certificate", "raster"):
        expected = page.evaluate(
            f"document.getElementById('chart-{key}').data"
            ".map(trace => trace.x.length).reduce((a, b) => a + b)"
        )
        shown = page.locator(f"#chart-{key} g.scatterlayer g.points path.point").count()
        assert shown == expected > 0
    page.close()


@pytest.mark.parametrize(
    ("mark", "label"),
    [
        ("#chart-sweeps g.points path", r"^1 sweeps: [\d.]+ %$"),
        ("#chart-certificate g.points path", r"1 sweeps: median \d+, from \d+ to \d+"),
        ("#chart-raster g.points path", r"step \d+, neuron \d+"),
        ("#chart-voltage path.js-line", r"step \d+: [\d.]+"),
        ("#chart-phase g.heatmaplayer image", r"gain 2, delay \d: ≥?\d+ sweeps"),
    ],
)
def test_pointing_at_a_mark_tells_its_value(browser, report, mark, label):
    page, complaints, requests = visit(browser, report)
    found = page.locator(mark).first
    found.scroll_into_view_if_needed()
    found.hover(force=True)
    shown = page.locator(mark.split()[0] + " g.hovertext")
    shown.first.wait_for(timeout=5000)
    text = shown.first.locator("text.nums").text_content()
    assert re.search(label, text), text
    assert_sound(report, complaints, requests)
    page.close()


def test_a_name_with_markup_is_shown_as_it_is(browser, report):
    page, complaints, requests = visit(browser, report)
    legend = page.locator("#chart-voltage .legendtext").first
    assert legend.text_content() == ODD_NAME
    assert page.locator("thead th").nth(2).text_content() == ODD_NAME
    line = page.locator("#chart-voltage path.js-line").first
    line.scroll_into_view_if_needed()
    line.hover(force=True)
    name = page.locator("#chart-voltage g.hovertext text.name").first
    name.wait_for(timeout=5000)
    assert name.text_content().startswith("<img src=")
    assert_sound(report, complaints, requests)
    page.close()


def test_a_finger_on_a_chart_scrolls_the_page_and_a_tap_tells_a_value(browser, report):
    page, complaints, requests = visit(browser, report, 360, has_touch=True, is_mobile=True)
    assert_fits(page, 360)
    chart = page.locator("#chart-sweeps")
    chart.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    swipe_up(page, chart.bounding_box()["y"] + 180, 150)
    assert page.evaluate("scrollY") > before + 100
    point = page.locator("#chart-sweeps g.points path").nth(2).bounding_box()
    page.touchscreen.tap(point["x"] + 4, point["y"] + 4)
    page.locator("#chart-sweeps g.hovertext").wait_for(timeout=5000)
    assert_sound(report, complaints, requests)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser, report, scheme):
    """Contrast by WCAG of the page's text and of the charts' axes: at least 4.5 to 1."""
    page, _, _ = visit(browser, report, color_scheme=scheme)
    ground = colour(page, "section", "backgroundColor")
    assert (luminance(ground) < 0.1) == (scheme == "dark")
    for selector, property in (
        ("td", "color"),
        ("section p", "color"),
        ("#chart-sweeps .xtick text", "fill"),
        ("#chart-sweeps .ytitle", "fill"),
        ("#chart-voltage .legendtext", "fill"),
    ):
        a, b = sorted((luminance(ground), luminance(colour(page, selector, property))))
        assert (b + 0.05) / (a + 0.05) >= 4.5, selector
    page.close()


def colour(page, selector, property):
    text = page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{property}")
    return [int(value) for value in re.findall(r"\d+", text)[:3]]


def luminance(rgb):
    parts = [v / 255 for v in rgb]
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


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
    with pytest.raises(AssertionError, match="voltage is missing"):
        assert_charts_are_drawn(page, CHARTS)
    page.close()


def test_the_check_sees_an_empty_chart(browser, report):
    page, _, _ = visit(browser, report)
    page.evaluate("Plotly.restyle('chart-voltage', { y: [[]], x: [[]] })")
    with pytest.raises(AssertionError, match="voltage is empty"):
        assert_charts_are_drawn(page, CHARTS)
    page.close()


@pytest.fixture
def server():
    """Where a page from a file may try to load from, and the paths that it was asked for."""
    asked = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/pixel.png", asked
        listening.shutdown()
        thread.join()


def test_the_browser_forbids_the_page_to_load_anything(browser, report, tmp_path, server):
    """Even if something in it tried to; without the page's policy the same image is asked for."""
    address, asked = server
    path = tmp_path / "curious.html"
    text = report.read_text(encoding="utf-8").replace("</main>", f"<img src='{address}'></main>")
    path.write_text(text)
    page, complaints, _ = visit(browser, path)
    page.close()
    assert any("Content Security Policy" in complaint for complaint in complaints)
    assert asked == []
    path.write_text(text.replace("default-src 'none'", "default-src *").replace("img-src", "x"))
    page, _, _ = visit(browser, path)
    page.close()
    assert asked == ["/pixel.png"]
