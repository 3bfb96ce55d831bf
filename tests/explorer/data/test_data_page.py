"""The data page in a browser: what it shows are the run's own numbers, by mouse and by keyboard."""

import csv

import pytest
from tests.explorer.conftest import served
from tests.explorer.test_page import CHROMIUM, browser, opened, sync_api

from striate.explorer.data.session import DataSession
from striate.explorer.save import save_pages
from striate.explorer.session import Session
from striate.explorer.subjects.run_subject import RunSubject

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
expect = sync_api.expect
__all__ = ["browser", "opened"]


@pytest.fixture(scope="module")
def patch(tmp_path_factory):
    return tmp_path_factory.mktemp("patches") / "patch.csv"


@pytest.fixture(scope="module")
def pages(data, kernel_run, patch):
    """The network and the data of a run, its features not computed yet but in the cache."""
    network = Session(RunSubject(data.run.folder.path), has_data=True)
    return network, DataSession(data.run, kernel_run, patch)


@pytest.fixture(scope="module")
def address(pages):
    with served(*pages) as url:
        yield f"{url}/data.html"


@pytest.fixture
def page(opened, address):
    shown = opened(address)
    shown.wait_for_selector("body[data-map=true]", timeout=60_000)
    return shown


def test_the_matrix_is_that_of_the_report_and_opens_its_items(page, probe_run):
    rows = page.eval_on_selector_all(
        "table.confusion tbody tr",
        "rows => rows.map(r => [...r.cells].slice(1).map(c => +c.textContent))",
    )
    assert rows == [list(row) for row in probe_run.report.confusion]
    count = rows[0][0]
    page.locator("table.confusion tbody td button").first.click()
    expect(page.locator("#count")).to_contain_text(f"{count} of 60 images")
    assert page.locator("table.items tbody tr[data-item]").count() == count


def test_the_list_of_mistakes_is_that_of_predictions_csv(page, rows):
    page.click("#mistakes")
    shown = page.locator("#items table tbody tr").evaluate_all(
        "rows => rows.map(r => [r.querySelector('.link').textContent, ...['truth', 'answer', 'confidence'].map(k => r.querySelector(`[data-key=${k}]`).textContent)])"
    )
    test = [row for row in rows.values() if row["split"] == "test"]
    wrong = [row for row in test if row["label"] != row["prediction"]]
    wrong.sort(key=lambda row: -float(row["confidence"]))
    assert shown == [
        [r["item"], r["label"], r["prediction"], f"{100 * float(r['confidence']):.1f} %"]
        for r in wrong
    ]
    page.click("#all")
    page.select_option("#filter-split", "test")
    page.fill("#least-confidence", "0.6")
    sure = sum(float(row["confidence"]) >= 0.6 for row in test)
    expect(page.locator("#count")).to_contain_text(f"{sure} of 60 images")


def test_an_item_is_opened_and_corrected_with_the_keyboard_alone(page, data, rows, patch):
    page.focus(".scatter")
    page.keyboard.press("ArrowRight")
    title = page.locator("#detail h2")
    expect(title).not_to_be_empty()
    before = title.text_content()
    expect(page.locator("#said")).to_contain_text(before)
    page.keyboard.press("ArrowLeft")
    expect(title).not_to_have_text(before)
    number = [item.id for item in data.items].index(title.text_content())
    expect(page.locator("#detail .nearest li")).to_have_count(8)
    shown = page.locator("#detail .nearest li").evaluate_all(
        "cards => cards.map(c => [c.querySelector('b').textContent, c.querySelectorAll('small')[0].textContent])"
    )
    found = data.nearest(number)["nearest"]
    assert shown == [[each["label"], each["name"]] for each in found]
    bars = page.locator("#detail [data-probability]").evaluate_all(
        "b => b.map(e => +e.dataset.probability)"
    )
    assert bars == [each["probability"] for each in data.item(number)["probabilities"]]
    other = next(name for name in data.run.classes if name != data.items[number].label)
    page.select_option("#correct", label=other)
    expect(page.locator("#corrections-title")).to_have_text("Corrected labels: 1")
    with patch.open() as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["label"]) == (data.items[number].id, other)
    page.get_by_role("button", name="Take back the correction").click()
    expect(page.locator("#corrections-title")).to_have_text("Corrected labels: 0")
    assert patch.read_text() == "id,label,was,reason\n"


def test_a_lasso_catches_what_is_inside(page):
    page.click("#lasso")
    box = page.locator(".scatter").bounding_box()
    left, top = box["x"] + 3, box["y"] + 3
    right, low = box["x"] + box["width"] - 3, box["y"] + box["height"] - 3
    page.mouse.move(left, top)
    page.mouse.down()
    for place in ((right, top), (right, low), (left, low)):
        page.mouse.move(*place)
    page.mouse.up()
    expect(page.locator("#count")).to_contain_text("60 of 60 images")
    expect(page.locator(".filters")).to_contain_text("60 caught in the lasso")
    page.get_by_role("button", name="Let go").click()
    expect(page.locator(".filters")).not_to_contain_text("caught")


def test_the_second_run_is_compared_as_the_command_does(page, data):
    shown = page.locator("#compare [data-metric]").evaluate_all(
        "cells => cells.map(c => [c.dataset.metric, +c.dataset.value])"
    )
    assert dict(shown) == {line["metric"]: line["value"] for line in data.compared["lines"]}
    for name, count in data.compared["counts"].items():
        page.locator(f"#compare [data-agreement='{name}']").click()
        expect(page.locator("#count")).to_contain_text(f"{count} of 60 images")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_does_not_scroll_sideways(opened, address, scheme):
    page = opened(address, viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page.wait_for_selector("body[data-map=true]", timeout=60_000)
    page.locator("#items .link").first.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_saved_site_works_from_the_disk(opened, pages, small_pages, tmp_path, probe_run):
    network, data = pages
    data.job.wait(60)
    save_pages(network, tmp_path / "site", data)
    page = opened((tmp_path / "site" / "data.html").as_uri())
    page.wait_for_selector("body[data-map=true]", timeout=60_000)
    rows = page.eval_on_selector_all(
        "table.confusion tbody tr",
        "rows => rows.map(r => [...r.cells].slice(1).map(c => +c.textContent))",
    )
    assert rows == [list(row) for row in probe_run.report.confusion]
    page.locator("#items .link").first.click()
    expect(page.locator("#detail .nearest li")).to_have_count(8)
    expect(page.locator("#detail .large img")).to_be_visible()
    page.select_option("#correct", label="leave it out")
    with page.expect_download() as download:
        page.click("#download")
    (row,) = csv.DictReader(download.value.path().read_text().splitlines())
    assert row["label"] == "" and row["id"] == page.locator("#detail h2").text_content()
    page.goto((tmp_path / "site" / "index.html").as_uri())
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    page.click("[data-view=evidence]")
    expect(page.locator("#saw .nearest li")).to_have_count(8)
    page.click("#data-link")
    page.wait_for_selector("body[data-map=true]", timeout=60_000)
