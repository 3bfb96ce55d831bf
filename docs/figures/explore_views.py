"""Pictures of every view of `striate explore`: `python docs/figures/explore_views.py RUN OTHER_RUN`.

In both themes, 390 and 1280 pixels wide; a view is one file of these pages, with all four. RUN is a
kernel machine on pictures and OTHER_RUN another run on the same, as of

    striate fit sample:solar-cells --method kernel --out runs/kernel
    striate fit sample:solar-cells --method probe --out runs/probe

With `--large FOLDER` at the end each picture is written there by itself and in full length, to be
looked at. It needs Chromium and the package playwright, and is made by hand: the pixels of letters
differ from machine to machine.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES: Final = Path(__file__).parent.parent / "images"
COMMAND: Final = "from striate.cli.main import main; main()"
SIZES: Final = ((1280, 900), (390, 900))
SCHEMES: Final = ("light", "dark")
SCALE: Final = 0.5
GAP: Final = 12
QUALITIES: Final = (55, 45, 35, 25)
MOST_BYTES: Final = 60_000
PATIENCE: Final = 120_000
"""Milliseconds in which a view must be there."""

Go: TypeAlias = Callable[[Page], None]


def _network(page: Page) -> None:
    page.locator("#views button", has_text="Network").click()


def _slide(page: Page) -> None:
    _network(page)
    page.locator(".slide summary").click()
    step = page.locator(".slide").get_by_role("button", name="Step", exact=True)
    for _ in range(6):
        step.click()
    page.locator(".slide").scroll_into_view_if_needed()


def _layer(kind: str, which: int, said: str) -> Go:
    """A layer of a kind, its stage unfolded, with the steps of a cell."""

    def go(page: Page) -> None:
        _network(page)
        folded = page.locator("#layers > button[aria-expanded=false]")
        while folded.count():
            folded.first.click()
        page.locator("#layers li button", has_text=kind).nth(which).click()
        page.wait_for_selector(f"#cell :text('{said}')")
        page.locator("#cell").scroll_into_view_if_needed()
        page.evaluate("document.querySelector('#cell').scrollIntoView()")

    return go


def _learn(page: Page) -> None:
    page.locator("#views button", has_text="Learn").click()
    page.wait_for_selector(".exercise")
    page.evaluate("scrollTo(0, 0)")


def _exercises(page: Page) -> None:
    _learn(page)
    page.locator(".exercise").nth(1).scroll_into_view_if_needed()
    page.evaluate("document.querySelector('.exercises').scrollIntoView()")


def _guided(page: Page) -> None:
    _learn(page)
    page.locator(".steps button").nth(2).click()
    page.get_by_role("button", name="See it in the network").first.click()
    page.wait_for_selector("#guide:not([hidden])")
    page.wait_for_timeout(500)


def _fields(page: Page) -> None:
    page.locator("#views button", has_text="Receptive fields").click()
    page.wait_for_selector("#fields td button")
    page.locator("#fields td button").last.click()
    page.wait_for_selector("#fields .long:text('In theory')")
    page.evaluate("scrollTo(0, 0)")


def _playground(page: Page) -> None:
    page.locator("#views button", has_text="Playground").click()
    page.locator("#play-stride").fill("2")
    page.evaluate("scrollTo(0, 0)")


def _evidence(page: Page) -> None:
    page.locator("#views button", has_text="What it saw").click()
    page.wait_for_selector("#evidence .verdict:text('Checked:')", timeout=PATIENCE)
    page.evaluate("scrollTo(0, 0)")


def _saw(page: Page) -> None:
    _evidence(page)
    page.wait_for_selector("#saw .nearest li", timeout=PATIENCE)
    page.evaluate("document.querySelector('#saw').scrollIntoView()")
    page.wait_for_selector("#saw .nearest img", timeout=PATIENCE)


def _map(page: Page) -> None:
    page.wait_for_selector("body[data-map=true]", timeout=PATIENCE)
    page.evaluate("scrollTo(0, 0)")


def _item(page: Page) -> None:
    page.locator("#mistakes").click()
    page.locator("#items .link").first.click()
    page.wait_for_selector("#detail .nearest img", timeout=PATIENCE)
    page.evaluate("document.querySelector('#detail').scrollIntoView()")


def _list(page: Page) -> None:
    page.locator("#mistakes").click()
    page.evaluate("document.querySelector('#confusion').scrollIntoView()")


def _compare(page: Page) -> None:
    page.evaluate("document.querySelector('#compare').scrollIntoView()")


NETWORK: Final[dict[str, Go]] = {
    "network": _network,
    "slide": _slide,
    "answer": _layer("Fully connected", -1, "then softmax"),
    "fields": _fields,
    "evidence": _evidence,
    "playground": _playground,
    "learn": _learn,
    "exercises": _exercises,
    "guided": _guided,
}
ATTENTION: Final[dict[str, Go]] = {
    "scores": _layer("Matrix product", 0, "score"),
    "attention": _layer("Matrix product", 1, "softmax makes weights"),
}
RUN: Final[dict[str, Go]] = {"saw": _saw, "kernel": _layer("Fully connected", -1, "landmark")}
DATA: Final[dict[str, Go]] = {"map": _map, "item": _item, "list": _list, "compare": _compare}
"""What is done to get to each view, by its name."""


def main(run: str, other: str, *large: str) -> None:
    """Start each page, go through its views and write their pictures."""
    folder = Path(large[1]) if large[:1] == ("--large",) else None
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        sys.exit("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--hide-scrollbars"]
        )
        with _served("efficientnet_lite0") as address:
            _write(browser, address, "ready", NETWORK, folder)
        with _served("vit_ti_16") as address:
            _write(browser, address, "ready", ATTENTION, folder)
        with _served(run, "--with", other) as address:
            _write(browser, f"{address}/data.html", "map=true", DATA, folder)
            _write(browser, address, "ready", RUN, folder)
        browser.close()


@contextmanager
def _served(*arguments: str) -> Iterator[str]:
    """The address of a page while it is served."""
    command = [sys.executable, "-c", COMMAND, "explore", *arguments]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().strip() if server.stdout else ""
    finally:
        server.terminate()
        server.wait()


def _write(
    browser: Browser, address: str, ready: str, views: dict[str, Go], folder: Path | None
) -> None:
    """Go through the views of a page in each theme and size, and write what is seen."""
    shots: dict[str, list[Image.Image]] = {name: [] for name in views}
    for scheme in SCHEMES:
        for width, height in SIZES:
            size = {"width": width, "height": height}
            page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]  # one of its literals
            page.set_default_timeout(PATIENCE)
            page.goto(address)
            page.wait_for_selector(f"body[data-{ready}]", timeout=PATIENCE)
            for name, go in views.items():
                go(page)
                page.wait_for_timeout(500)
                print(name, scheme, width, flush=True)
                if folder is not None:
                    folder.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
                else:
                    shots[name].append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
            page.close()
    for name, four in shots.items() if folder is None else ():
        path = IMAGES / "explore" / f"{name}.webp"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_encoded(_together(four)))
        print(path, path.stat().st_size, flush=True)


def _encoded(picture: Image.Image) -> bytes:
    """As WebP, in the best of some qualities that keeps it small."""
    content = b""
    for quality in QUALITIES:
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=quality, method=6)
        content = out.getvalue()
        if len(content) <= MOST_BYTES:
            break
    return content


def _together(shots: list[Image.Image]) -> Image.Image:
    """A row for each theme: wide, then narrow."""
    small = [
        shot.resize(
            (round(SCALE * shot.width), round(SCALE * shot.height)), Image.Resampling.LANCZOS
        )
        for shot in shots
    ]
    wide, narrow = small[:2]
    whole = Image.new("RGB", (wide.width + GAP + narrow.width, 2 * wide.height + GAP), "white")
    for number, shot in enumerate(small):
        across, down = number % 2, number // 2
        whole.paste(shot, (across * (wide.width + GAP), down * (wide.height + GAP)))
    return whole


if __name__ == "__main__":
    main(*sys.argv[1:])
