"""Nothing on the page moves while it fills: every part has its room before its answer is there.

Answers come late on purpose, each one after what the browser counts as the user's own doing.
"""

import io

import numpy as np
import pytest
from PIL import Image
from tests.explorer.test_page import (  # noqa: F401 - fixtures
    CHROMIUM,
    address,
    browser,
    opened,
    session,
    sync_api,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
MOST = 0.01
LATENCY = 600
"""Milliseconds; what moves within 500 of a click or a key does not count as a shift."""

WATCH = """window.shifts = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  const meant = entry.sources.every((s) => String(s.node?.className).startsWith('mark'));
  if (!meant && !entry.hadRecentInput) window.shifts.push([entry.value, ...entry.sources.map((s) => s.node?.id || s.node?.className)]);
})).observe({ type: 'layout-shift', buffered: true });"""


@pytest.fixture(params=[1280, 390])
def watched(browser, request):  # noqa: F811 - a fixture
    """A function that opens an address in a page whose shifts are watched, over a slow line."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    page.add_init_script(WATCH)
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    slow = {"offline": False, "latency": LATENCY, "downloadThroughput": -1, "uploadThroughput": -1}
    line.send("Network.emulateNetworkConditions", slow)

    def visit(url):
        page.goto(url)
        page.wait_for_selector("body[data-ready]", timeout=60_000)
        return page

    yield visit
    page.close()


def settled(page, where):
    """The shifts since the last look, once the page has come to rest."""
    page.wait_for_timeout(200)
    shifts = page.evaluate("window.shifts.splice(0)")
    assert sum(value for value, *_ in shifts) <= MOST, f"{where}: {shifts}"


def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 18, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return {"name": f"{seed}.png", "mimeType": "image/png", "buffer": content.getvalue()}


def saw(page):
    page.wait_for_selector("#evidence .verdict:text('Checked')", timeout=60_000)


def fields(page):
    page.locator("#fields td button").last.click()
    page.wait_for_selector("#fields .long:text('In theory')")


ARRIVED = {
    "Learn": lambda page: page.wait_for_selector(".exercise"),
    "What it saw": saw,
    "Receptive fields": fields,
    "Playground": lambda page: page.wait_for_timeout(LATENCY),
    "Network": lambda page: page.wait_for_timeout(LATENCY),
}
"""For each view what is waited for until all of it has come."""


def test_nothing_moves_while_the_views_fill(watched, address):  # noqa: F811 - a fixture
    page = watched(address)
    settled(page, "opened")
    for name, arrived in ARRIVED.items():
        page.get_by_role("button", name=name, exact=True).click()
        arrived(page)
        settled(page, name)


def test_nothing_moves_when_a_picture_is_dropped(watched, address):  # noqa: F811 - a fixture
    page = watched(address)
    for seed, name in enumerate(("Network", "What it saw")):
        page.get_by_role("button", name=name, exact=True).click()
        ARRIVED[name](page)
        page.evaluate("window.shifts.splice(0)")
        page.set_input_files("#file", picture(seed))
        sync_api.expect(page.locator("#item option:checked")).to_have_text(f"{seed}.png")
        sync_api.expect(page.locator("#cell h2")).to_contain_text("channel 0")
        page.wait_for_timeout(3 * LATENCY)
        ARRIVED[name](page)
        settled(page, f"dropped at {name}")


def test_nothing_moves_when_a_file_cannot_be_read(watched, address):  # noqa: F811 - a fixture
    page = watched(address)
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"not a picture"}
    page.evaluate("window.shifts.splice(0)")
    page.set_input_files("#file", broken)
    page.wait_for_selector("#failure:not([hidden])", timeout=30_000)
    settled(page, "a broken file")
