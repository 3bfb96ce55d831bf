"""The window that slides: its products and sums are those of the network, and it can be stopped."""

import pytest
from tests.explorer.conftest import hooked
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


def number_after(text, words):
    return float(text.split(words)[1].rstrip(". ").replace("−", "-"))


def test_the_sum_grows_to_torchs_number_and_the_window_moves_on(opened, address, session):  # noqa: F811
    page = opened(address)
    page.locator(".slide summary").click()
    lines = page.locator(".slide .reading")
    sync_api.expect(page.locator(".slide table td")).to_have_count(9)
    step = page.locator(".slide").get_by_role("button", name="Step")
    for _ in range(9):
        step.click()
    seen = hooked(session.subject.network, session.walked(0).x)
    torchs = seen[session.network["nodes"][0]["name"]][0, 0]
    row, column = (n // 2 for n in torchs.shape)
    assert number_after(lines.nth(1).inner_text(), "it makes ") == pytest.approx(
        torchs[row, column].item(), rel=1e-3
    )
    table = page.locator(".slide table td").all_inner_texts()
    total = sum(float(cell.replace("−", "-")) for cell in table)
    shown = number_after(lines.nth(0).inner_text(), "the sum so far is ")
    assert total == pytest.approx(shown, abs=0.05 * max(1, abs(shown)))  # two digits in the table
    page.locator(".slide select").select_option("place")
    step.click()
    assert number_after(lines.nth(1).inner_text(), "it makes ") == pytest.approx(
        torchs[row, column + 1].item(), rel=1e-3
    )


def test_it_plays_and_stops(opened, address):  # noqa: F811
    page = opened(address)
    page.locator(".slide summary").click()
    page.locator(".slide select").select_option("place")
    page.get_by_role("button", name="From the first place").click()
    before = page.locator(".slide .reading").nth(1).inner_text()
    page.get_by_role("button", name="Play", exact=True).click()
    sync_api.expect(page.locator(".slide .reading").nth(1)).not_to_have_text(before)
    page.get_by_role("button", name="Pause", exact=True).click()
    stopped = page.locator(".slide .reading").nth(1).inner_text()
    page.wait_for_timeout(600)
    assert page.locator(".slide .reading").nth(1).inner_text() == stopped


def test_who_wants_little_motion_goes_by_steps(opened, address):  # noqa: F811
    page = opened(address, reduced_motion="reduce")
    page.locator(".slide summary").click()
    sync_api.expect(page.locator(".slide").get_by_role("button", name="Step")).to_be_visible()
    assert page.get_by_role("button", name="Play", exact=True).count() == 0
