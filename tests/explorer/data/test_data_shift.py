"""Nothing on the data page moves while it fills, nor on a run's page when a picture is dropped."""

from tests.explorer.data.test_data_page import address, pages, patch
from tests.explorer.test_layout_shift import (
    browser,
    picture,
    pytestmark,  # noqa: F401 - marks these too
    settled,
    watched,
)

__all__ = ["address", "browser", "pages", "patch", "watched"]


def test_nothing_moves_while_the_map_and_the_lists_arrive(watched, address):
    page = watched(address)
    page.wait_for_selector("body[data-map=true]", timeout=60_000)
    settled(page, "opened")
    page.locator("#items .link").first.click()
    page.wait_for_selector("#detail .nearest")
    settled(page, "an item")


def test_nothing_moves_when_a_picture_is_dropped_on_a_run(watched, address):
    page = watched(address.replace("data.html", "index.html"))
    page.get_by_role("button", name="What it saw").click()
    page.wait_for_selector("#saw h3", timeout=60_000)
    page.evaluate("window.shifts.splice(0)")
    page.set_input_files("#file", picture(1))
    page.wait_for_selector("#item option:checked:text('1.png')", state="attached")
    page.wait_for_timeout(2_000)
    page.wait_for_selector("#saw .nearest", timeout=60_000)
    page.wait_for_selector("#evidence .verdict:text('Checked')", timeout=60_000)
    settled(page, "dropped")
