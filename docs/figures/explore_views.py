"""Screenshots of every view of `striate explore`: `python docs/figures/explore_views.py FOLDER [NETWORK]`.

In both themes, 390 and 1280 pixels wide, to be looked at. With `--docs` as the folder it writes the
ones of these pages instead. It needs Chromium and the package playwright.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES: Final = Path(__file__).parent.parent / "images"
COMMAND: Final = "from striate.cli.main import main; main()"
WIDTHS: Final = (390, 1280)
COLOURS: Final = 192


def _network(page: Page) -> None:
    page.locator("#views button", has_text="Network").click()


def _slide(page: Page) -> None:
    _network(page)
    page.locator(".slide summary").click()
    step = page.locator(".slide").get_by_role("button", name="Step", exact=True)
    for _ in range(6):
        step.click()
    page.locator(".slide").scroll_into_view_if_needed()


def _answer(page: Page) -> None:
    _network(page)
    page.locator("#layers > button").last.click()
    page.locator("#layers li button").last.click()
    page.wait_for_selector("#cell :text('then softmax')")


def _learn(page: Page) -> None:
    page.locator("#views button", has_text="Learn").click()
    page.wait_for_selector(".exercise")


def _guided(page: Page) -> None:
    _learn(page)
    page.locator(".steps button").nth(2).click()
    page.get_by_role("button", name="See it in the network").first.click()


def _fields(page: Page) -> None:
    page.locator("#views button", has_text="Receptive fields").click()
    page.wait_for_selector("#fields td button")
    page.locator("#fields td button").last.click()
    page.wait_for_selector("#fields [role=status]:not(:empty)")


def _playground(page: Page) -> None:
    page.locator("#views button", has_text="Playground").click()
    page.locator("#play-stride").fill("2")


def _evidence(page: Page) -> None:
    page.locator("#views button", has_text="What it saw").click()
    page.wait_for_selector("#evidence .verdict:text('Checked:')", timeout=120_000)


VIEWS: Final[dict[str, Callable[[Page], None]]] = {
    "network": _network,
    "slide": _slide,
    "answer": _answer,
    "fields": _fields,
    "evidence": _evidence,
    "playground": _playground,
    "learn": _learn,
    "guided": _guided,
}
"""What is done to get to each view, by its name."""

SHOWN: Final = ("learn", "slide", "evidence")
"""Views whose picture these pages have, light and wide."""


def main(folder: str, network: str = "efficientnet_lite0") -> None:
    """Start the page, go through its views and write a picture of each."""
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        sys.exit("Chromium is not installed")
    command = [sys.executable, "-c", COMMAND, "explore", network]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip() if server.stdout else ""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=browser_path, args=["--no-sandbox", "--hide-scrollbars"]
            )
            if folder == "--docs":
                _for_docs(browser, address)
            else:
                _all(browser, address, Path(folder))
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _opened(browser: Browser, address: str, scheme: str, width: int) -> Page:
    size = {"width": width, "height": 900}
    page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]  # one of its literals
    page.goto(address)
    page.wait_for_selector("body[data-ready]", timeout=120_000)
    return page


def _all(browser: Browser, address: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        for width in WIDTHS:
            page = _opened(browser, address, scheme, width)
            for name, go in VIEWS.items():
                go(page)
                page.wait_for_timeout(500)
                page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
            page.close()
            print(folder, scheme, width)


def _for_docs(browser: Browser, address: str) -> None:
    page = _opened(browser, address, "light", 1280)
    for name in SHOWN:
        VIEWS[name](page)
        page.wait_for_timeout(500)
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        small = shot.quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(IMAGES / f"explore-{name}.png", optimize=True)
        print(IMAGES / f"explore-{name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
