"""The page in a browser: its numbers are torch's, and it asks nobody but its server."""

import re
import shutil

import numpy as np
import pytest
from tests.explorer.conftest import hooked, served, session_of

from striate.explorer.save import save_pages
from striate.geometry import Window

sync_api = pytest.importorskip("playwright.sync_api")
sync_api.expect.set_options(timeout=60_000)  # a machine may be busy
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def session():
    return session_of("conv6-bn-relu-maxpool-conv8k3-relu-gap-fc4", (3, 20, 18))


@pytest.fixture(scope="module")
def address(session):
    with served(session) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """A function that opens an address; in the end nothing had gone wrong."""
    wrong, asked, pages = [], [], []

    def visit(url, **settings):
        page = browser.new_page(**settings)
        page.set_default_timeout(120_000)
        pages.append(page)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.wait_for_selector("body[data-ready]")
        return page

    yield visit
    for page in pages:
        page.close()
    assert not wrong
    allowed = re.compile(r"http://127\.0\.0\.1:\d+/|file:///|data:")
    assert [url for url in asked if not allowed.match(url)] == []


def numbers(page, selector):
    values = page.eval_on_selector_all(selector, "nodes => nodes.map(n => n.dataset.value)")
    return [float(value) for value in values]


def matrices(page):
    """Every table of numbers of the first step, in full precision; padding is left out."""
    return page.eval_on_selector_all(
        "#cell .triple table.numbers",
        "tables => tables.map(t => [...t.querySelectorAll('td[title]')].map(c => Number(c.title)))",
    )


def check_convolution(page, session):
    """Click a cell of the first layer; the page's products add up to torch's number there."""
    box = page.locator("#map canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] * (7.5 / 18), box["y"] + box["height"] * (4.5 / 20))
    sync_api.expect(page.locator("#cell h2")).to_contain_text("channel 0, row 4, column 7")
    seen = hooked(session.subject.network, session.walked(0).x)
    name = [node["name"] for node in session.network["nodes"]]
    tables = matrices(page)
    assert len(tables) == 9  # window, kernel and products of three channels
    total = 0.0
    for window, kernel, products in zip(*[iter(tables)] * 3, strict=True):
        np.testing.assert_allclose(np.multiply(window, kernel), products, rtol=1e-4, atol=1e-6)
        total += sum(products)
    shown = numbers(page, "#cell .equation b[data-value]")
    torchs = [seen[name[n]][0, 0, 4, 7].item() for n in range(3)]  # convolution, norm, activation
    assert shown == pytest.approx(torchs, rel=1e-4, abs=1e-4)
    assert total == pytest.approx(torchs[0], rel=1e-4, abs=1e-4)


def test_every_number_of_a_convolution_is_torchs(opened, address, session):
    page = opened(address)
    check_convolution(page, session)
    page.keyboard.press("ArrowDown")
    sync_api.expect(page.locator("#cell h2")).to_contain_text("row 5, column 7")
    sync_api.expect(page.locator("#said")).to_contain_text("channel 0, row 5, column 7")


def test_layers_are_walked_with_the_keyboard_alone(opened, address, session):
    page = opened(address)
    last = len(session.network["nodes"]) - 1
    head = page.locator("#layers > button").last
    head.focus()
    page.keyboard.press("Enter")
    page.locator(f"#layer-{last}").focus()
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("#layer-title")).to_contain_text("Fully connected")
    sync_api.expect(page.locator("#cell")).to_contain_text("then softmax")
    shown = numbers(page, "#cell .equation b[data-value]")
    logits = hooked(session.subject.network, session.walked(0).x)[""][0]
    assert shown == pytest.approx([logits[0].item()], rel=1e-4, abs=1e-4)


def test_the_field_of_a_cell_is_drawn_where_the_geometry_has_it(opened, address, session):
    page = opened(address)
    number = next(
        n for n, node in enumerate(session.network["nodes"]) if node["kind"] == "MaxPool2d"
    )
    page.locator("#layers > button").nth(1).click()
    page.locator(f"#layer-{number}").click()
    sync_api.expect(page.locator("#cell h2")).to_contain_text("Max pooling")
    mark = page.locator(".frame.clipped .mark.field").first
    frame = page.locator(".frame.clipped").first.bounding_box()
    box = mark.bounding_box()
    row, column = (size // 2 for size in session.network["nodes"][number]["space"])
    field = session.network["nodes"][number]["fields"]
    start = [f["start"] + p * f["jump"] for f, p in zip(field, (row, column), strict=True)]
    assert (box["x"] - frame["x"]) / frame["width"] * 18 == pytest.approx(start[1], abs=0.2)
    assert (box["y"] - frame["y"]) / frame["height"] * 20 == pytest.approx(start[0], abs=0.2)
    assert box["width"] / frame["width"] * 18 == pytest.approx(field[1]["size"], abs=0.2)


def test_the_playground_computes_as_the_geometry(opened, address):
    page = opened(address)
    settings = [
        (size, kernel, stride, padding, dilation)
        for size in (1, 7, 24)
        for kernel in (1, 2, 3, 5)
        for stride in (1, 2, 3)
        for padding in (0, 1, 4)
        for dilation in (1, 2, 3)
    ]
    found = page.evaluate(
        "async (all) => { const m = await import('/page/playground.js');"
        " return all.map((s) => m.outputSize(...s)); }",
        settings,
    )
    for (size, kernel, stride, padding, dilation), shown in zip(settings, found, strict=True):
        window = Window(
            kernel_size=kernel, stride=stride, dilation=dilation, low=padding, high=padding
        )
        fits = window.extent <= size + 2 * padding
        assert shown == (window.output_size(size) if fits else None)
    page.get_by_role("button", name="Playground").click()
    page.locator("#play-stride").fill("2")
    assert page.locator("#output-size").inner_text() == "5"


def test_nothing_moves_when_a_cell_is_chosen(opened, address):
    page = opened(address, viewport={"width": 1280, "height": 900})
    page.evaluate(
        "() => { window.moved = []; new PerformanceObserver((list) => list.getEntries()"
        ".forEach((e) => e.sources.forEach((s) => window.moved.push(s.node?.className))))"
        ".observe({ type: 'layout-shift' }); }"
    )
    for column in (3.5, 9.5, 14.5):
        box = page.locator("#map canvas").bounding_box()
        page.mouse.move(box["x"] + box["width"] * column / 18, box["y"] + box["height"] / 3)
        page.mouse.click(box["x"] + box["width"] * column / 18, box["y"] + box["height"] / 3)
        page.wait_for_timeout(150)
    moved = page.evaluate("window.moved")
    assert moved and all(name.startswith("mark") for name in moved)  # what is meant to move


def test_a_file_of_the_users_is_taken_through_the_network(opened, address, photos):
    page = opened(address)
    page.set_input_files("#file", photos / "square" / "02.png")
    sync_api.expect(page.locator("#item option:checked")).to_have_text("02.png")
    sync_api.expect(page.locator("#cell h2")).to_contain_text("channel 0")
    assert not page.locator("#failure").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_scrolling_sideways(opened, address, scheme):
    page = opened(address, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    for view in ("Network", "Learn", "What it saw", "Receptive fields", "Playground"):
        page.get_by_role("button", name=view, exact=True).click()
        wide = "document.documentElement.scrollWidth > window.innerWidth"
        assert not page.evaluate(wide), view


def test_a_saved_page_works_from_the_disk(opened, session, tmp_path):
    path = save_pages(session, tmp_path / "site")
    page = opened(path.as_uri())
    check_convolution(page, session)
