"""The tour and the exercises are finished from the page alone, with the keyboard."""

import pytest
from tests.explorer.test_page import (  # noqa: F401 - fixtures
    CHROMIUM,
    address,
    browser,
    opened,
    session,
    sync_api,
)

from striate.explorer.learn.looked import AXES
from striate.explorer.save import save_pages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


def press(page, locator, key="Enter"):
    locator.focus()
    page.keyboard.press(key)


def walk(page, session):  # noqa: F811
    """All steps, from the keyboard, through the views that they lead to."""
    press(page, page.locator("#views button", has_text="Learn"))
    steps = session.tour(0)
    sync_api.expect(page.locator(".steps button")).to_have_count(len(steps))
    press(page, page.get_by_role("button", name="See it in the network"))
    guide = page.locator("#guide")
    for number, step in enumerate(steps):
        sync_api.expect(guide).to_contain_text(f"Step {number + 1} of 8: {step['title']}")
        look = step["look"]
        if look and look["view"] == "network":
            node = session.network["nodes"][look["node"]] if look["node"] >= 0 else None
            axes = AXES[len(look["position"])]
            place = [f"{axis} {p}" for axis, p in zip(axes, look["position"], strict=True)]
            words = ", ".join([f"channel {look['channel']}", *place])
            sync_api.expect(page.locator("#cell h2")).to_contain_text(words)
            if node is not None:
                sync_api.expect(page.locator(".sources").first).to_contain_text(node["name"])
        elif look:
            sync_api.expect(page.locator(f"#{look['view']}")).to_be_visible()
        if number < 7:
            assert page.evaluate("document.activeElement.textContent") == "Next step"
            page.keyboard.press("Enter")
    press(page, guide.get_by_role("button", name="Back to Learn"))
    sync_api.expect(page.locator("#learn")).to_be_visible()
    assert guide.is_hidden()


def solve(page, session):  # noqa: F811
    """All exercises, each wrongly first, and then rightly."""
    asked = session.exercises(0, 0)
    count = sum(exercise["form"] != "missing" for exercise in asked)
    solved = 0
    for number, exercise in enumerate(asked):
        box = page.locator(".exercise").nth(number)
        if exercise["form"] == "missing":
            sync_api.expect(box).to_contain_text(exercise["missing"])
            continue
        solved += 1
        told = box.locator(".told")
        answer, form = exercise["answer"], exercise["form"]
        for given, words in ((0 if answer else 1, "Not yet."), (answer, "Right.")):
            if form == "number":
                box.locator("input").fill(str(given))
                page.keyboard.press("Enter")
            else:
                press(page, box.locator("input").nth(given), "Space")
                press(page, box.get_by_role("button", name="Check", exact=True))
            sync_api.expect(told).to_contain_text(words)
        sync_api.expect(told).to_contain_text(exercise["because"])
        sync_api.expect(page.locator("#learn [role=status]").first).to_contain_text(
            f"{solved} of {count} solved"
        )
    return count


def test_the_tour_and_the_exercises(opened, address, session):  # noqa: F811
    page = opened(address)
    walk(page, session)
    assert solve(page, session) == 5
    page.get_by_role("button", name="Other questions").click()
    sync_api.expect(page.locator("#learn [role=status]").first).to_contain_text("0 of 5 solved.")


def test_they_are_in_a_saved_page(opened, session, tmp_path):  # noqa: F811
    page = opened(save_pages(session, tmp_path / "site").as_uri())
    walk(page, session)
    solve(page, session)


def test_who_gives_up_is_shown_the_answer(opened, address, session):  # noqa: F811
    page = opened(address)
    page.locator("#views button", has_text="Learn").click()
    box = page.locator(".exercise").first
    box.get_by_role("button", name="Check").click()
    sync_api.expect(box.locator(".told")).to_contain_text("Give an answer first.")
    for _ in range(2):
        box.locator("input").fill("12345")
        box.get_by_role("button", name="Check").click()
    box.get_by_role("button", name="Show the answer").click()
    answer = session.exercises(0, 0)[0]["answer"]
    sync_api.expect(box.locator(".told")).to_contain_text(f"The answer is {answer}.")
