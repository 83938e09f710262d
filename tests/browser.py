"""What the tests of the report do in a browser, and what has to hold of any page there."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def visit(browser, path, width=1200, **options):
    """An open page, and what it said on the console and asked of the network."""
    page = browser.new_page(viewport={"width": width, "height": 800}, **options)
    complaints, requests = [], []
    page.on(
        "console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.on("websocket", lambda socket: requests.append(socket.url))
    page.goto(path.as_uri())
    page.wait_for_timeout(500)  # what is asked for late is seen too
    return page, complaints, requests


def assert_sound(path, complaints, requests):
    assert complaints == []
    assert requests == [path.as_uri()]


MARKS = "g.scatterlayer g.points path, g.scatterlayer path.js-line, g.heatmaplayer image"


def assert_charts_are_drawn(page, charts):
    for key in charts:
        picture = page.locator(f"#chart-{key} svg.main-svg")
        assert picture.count() > 0, f"{key} is missing"
        box = picture.first.bounding_box()
        assert box["width"] > 200, key
        assert box["height"] > 200, key
        marks = page.locator(f"#chart-{key}").locator(MARKS)
        assert marks.count() > 0, f"{key} is empty"
        sizes = marks.evaluate_all(
            "marks => marks.map(mark => mark.getBoundingClientRect())"
            ".map(box => Math.max(box.width, box.height))"
        )
        assert max(sizes) >= 3, f"the marks of {key} have no size"


def assert_fits(page, width):
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def swipe_up(page, y, distance, steps=15):
    session = page.context.new_cdp_session(page)
    for step in range(steps + 1):
        session.send(
            "Input.dispatchTouchEvent",
            {
                "type": "touchMove" if step else "touchStart",
                "touchPoints": [{"x": 180, "y": y - step * distance / steps}],
            },
        )
        page.wait_for_timeout(16)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(300)
