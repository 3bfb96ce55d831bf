"""No view of the page has a serious fault by axe's rules, in both themes, wide and narrow."""

from importlib.resources import files

import pytest
from tests.explorer.test_page import (  # noqa: F401 - fixtures
    CHROMIUM,
    address,
    browser,
    opened,
    session,
)

axe = pytest.importorskip("axe_playwright_python")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
SERIOUS = ("serious", "critical")


def faults(page, where):
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{where}: {fault['id']}: {node['target']}"
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
        for node in fault["nodes"]
    ]


def learn(page):
    """The tour and the exercises, one of them answered wrongly and one rightly."""
    page.wait_for_selector(".exercise")
    page.locator(".exercise summary").click()
    for form in page.locator(".exercise form").all()[1::2]:
        form.locator("input").first.check()
    for button in page.get_by_role("button", name="Check", exact=True).all():
        button.click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_view_has_a_serious_fault(opened, address, scheme, width):  # noqa: F811 - fixtures
    page = opened(address, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    found = []
    buttons = page.locator("#views button").all()
    for button in buttons:
        button.click()
        view = button.inner_text()
        if view == "Learn":
            learn(page)
        page.wait_for_timeout(200)
        found += faults(page, view)
    page.locator("#views button", has_text="Learn").click()
    page.get_by_role("button", name="See it in the network").first.click()
    page.wait_for_selector("#guide:not([hidden])")
    found += faults(page, "the tour in the network")
    for layer in page.locator("#layers > button").all():
        if layer.get_attribute("aria-expanded") == "false":
            layer.click()
    page.locator("#layers li button").last.click()
    page.wait_for_selector("#cell :text('then softmax')")
    found += faults(page, "the last layer")
    assert found == []
