"""Neither the data page nor what a run says of an item has a serious fault by axe's rules."""

from importlib.resources import files

import pytest
from tests.explorer.data.test_data_page import address, pages, patch
from tests.explorer.test_accessibility import browser, faults, opened
from tests.explorer.test_accessibility import pytestmark as pytestmark  # marks these too

__all__ = ["address", "browser", "opened", "pages", "patch"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_run_has_no_serious_fault(opened, address, scheme, width):
    axe = (files("axe_playwright_python") / "axe.min.js").read_text()
    page = opened(address, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.wait_for_selector("body[data-map=true]", timeout=60_000)
    page.evaluate(axe)
    found = faults(page, "the data")
    page.locator("#items .link").first.click()
    page.wait_for_selector("#detail .nearest")
    found += faults(page, "an item of the data")
    page.locator("#network-link").click()
    page.wait_for_selector("body[data-ready]", timeout=60_000)
    page.evaluate(axe)
    page.locator("#views button", has_text="What it saw").click()
    page.wait_for_selector("#saw .nearest", timeout=60_000)
    page.wait_for_selector("#evidence .verdict:text('Checked')", timeout=60_000)
    found += faults(page, "what it saw")
    assert found == []
