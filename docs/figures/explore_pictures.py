"""The screenshot of the page of `striate explore`: `python docs/figures/explore_pictures.py`.

It needs Chromium and the package playwright, and is made by hand: the pixels of letters differ from
machine to machine.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from striate.explorer.model_subject import ModelSubject
from striate.explorer.save import save_page
from striate.explorer.session import Session

IMAGES: Final = Path(__file__).parent.parent / "images"
NETWORK: Final = "efficientnet_lite0"
COLOURS: Final = 192


def main() -> None:
    """Save the page, look at it in a browser, and write the picture."""
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        sys.exit("Chromium is not installed")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = save_page(Session(ModelSubject(NETWORK)), Path(folder) / "page")
        browser = playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--hide-scrollbars"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1180}, color_scheme="light")
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        picture = _looked_at(page)
        browser.close()
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
