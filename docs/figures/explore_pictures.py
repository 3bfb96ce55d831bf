"""The screenshot of the page of `striate explore`: `python docs/figures/explore_pictures.py`.

It needs Chromium and the package playwright, and is made by hand: the pixels of letters differ from
machine to machine.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES: Final = Path(__file__).parent.parent / "images"
NETWORK: Final = "efficientnet_lite0"
COLOURS: Final = 192
COMMAND: Final = "from striate.cli.main import main; main()"


def main() -> None:
    """Start the page, look at it in a browser, and write the picture."""
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        sys.exit("Chromium is not installed")
    server = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "explore", NETWORK], stdout=subprocess.PIPE, text=True
    )
    try:
        address = server.stdout.readline().strip() if server.stdout else ""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=browser_path, args=["--no-sandbox", "--hide-scrollbars"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 1180}, color_scheme="light")
            page.goto(address)
            page.wait_for_selector("body[data-ready]", timeout=120_000)
            picture = _looked_at(page)
            browser.close()
    finally:
        server.terminate()
        server.wait()
    small = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(IMAGES / "explore.png", optimize=True)
    print(IMAGES / "explore.png")


def _looked_at(page: Page) -> Image.Image:
    """The page with the fourth channel of the first layer."""
    page.locator(".tiles button").nth(3).click()
    page.wait_for_timeout(500)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


if __name__ == "__main__":
    main()
