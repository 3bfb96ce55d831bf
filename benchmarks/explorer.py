"""How fast the page of `striate explore` answers: `python benchmarks/explorer.py [RUN]`.

With a run folder the figures of a dropped picture are of that run, without one of ResNet-50. Run it on a quiet machine. It needs Chromium and playwright.

Printed for each: the figure, the one to reach, and whether it was reached; medians of a few tries.
"""

from __future__ import annotations

import io
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

COMMAND = "from striate.cli.main import main; main()"
TRIES = 15
SHIFT = """() => { window.shift = 0; new PerformanceObserver((list) => list.getEntries().forEach((e) => {
  if (!e.sources.every((s) => String(s.node?.className).startsWith('mark'))) window.shift += e.value; }))
  .observe({ type: 'layout-shift', buffered: true }); }"""
CHANGED = """([what, x, y]) => new Promise((done) => {
  const map = document.querySelector('#map'), box = map.getBoundingClientRect();
  const read = () => document.querySelector(what).textContent;
  const place = { clientX: box.left + x * box.width, clientY: box.top + y * box.height, bubbles: true };
  const before = read(), begin = performance.now();
  map.dispatchEvent(new PointerEvent('pointermove', place));
  if (what === '#cell') map.dispatchEvent(new MouseEvent('click', place));
  const look = () => (read() !== before ? requestAnimationFrame(() => done(performance.now() - begin))
    : performance.now() - begin > 5000 ? done(null) : requestAnimationFrame(look));
  look();
})"""


class Explored:
    """`striate explore` with its page open in the browser."""

    def __init__(self, browser: Browser, *arguments: str) -> None:
        command = [sys.executable, "-c", COMMAND, "explore", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.page.add_init_script(f"({SHIFT})()")
        begin = time.perf_counter()
        self.page.goto(self.address)
        self.page.wait_for_selector("body[data-ready]", timeout=120_000)
        self.seconds = time.perf_counter() - begin

    def close(self) -> None:
        self.page.close()
        self.process.terminate()
        self.process.wait()


def report(name: str, value: float, most: float, unit: str) -> None:
    print(f"{name:45} {value:10.4g} {unit:5} to reach {most:g}: {'yes' if value <= most else 'NO'}")


def changes(page: Page, what: str) -> float:
    """Milliseconds from a movement or a click on the map to the answer on the page."""
    places = np.random.default_rng(0).uniform(0.05, 0.95, (TRIES, 2))
    found = [page.evaluate(CHANGED, [what, *map(float, place)]) for place in places]
    return statistics.median(value for value in found if value is not None)


def dropped(page: Page) -> tuple[float, float, float]:
    """Seconds until a picture that is dropped is answered, its evidence drawn, and that checked."""
    answered, drawn, explained = [], [], []
    page.locator("#views button", has_text="What it saw").click()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (600, 800, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG")
        page.wait_for_selector("#evidence .verdict:text('Checked:')", timeout=120_000)
        page.locator("#evidence .answer b").evaluate("node => (node.dataset.old = '1')")
        page.locator("#evidence .verdict").evaluate("node => (node.textContent = '')")
        begin = time.perf_counter()
        file = {"name": f"{number}.jpg", "mimeType": "image/jpeg", "buffer": out.getvalue()}
        page.set_input_files("#file", file)
        page.wait_for_selector("#evidence .answer b:not([data-old])", state="attached")
        answered.append(time.perf_counter() - begin)
        page.wait_for_selector("#evidence .verdict:not(:empty)", timeout=120_000)
        drawn.append(time.perf_counter() - begin)
        page.wait_for_selector("#evidence .verdict:text('Checked:')", timeout=120_000)
        explained.append(time.perf_counter() - begin)
        print(page.locator("#evidence .verdict").inner_text())  # one that fails is known sooner
    return statistics.median(answered), statistics.median(drawn), statistics.median(explained)


def saved(browser: Browser) -> None:
    """The saved page of LeNet-5: its size, and how soon a cell can be clicked."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", COMMAND, "explore", "lenet5", "--save", f"{folder}/page"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        path = Path(folder) / "page" / "index.html"
        report("saved page of LeNet-5", path.stat().st_size / 1e6, 5, "MB")
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        begin = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        report("until it can be used", time.perf_counter() - begin, 1, "s")
        page.close()


def main(run: str | None = None) -> None:
    """Measure everything once."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        explored = Explored(browser, "resnet50")
        report("first view of ResNet-50 after the start", explored.seconds, 2, "s")
        report("hover", changes(explored.page, ".reading"), 50, "ms")
        report("click", changes(explored.page, "#cell"), 150, "ms")
        report("layout shift", explored.page.evaluate("window.shift"), 0, "")
        if run is not None:
            explored.close()
            explored = Explored(browser, run)
        answered, drawn, explained = dropped(explored.page)
        report("a dropped picture answered", answered, 1.5, "s")
        report("its evidence drawn", drawn, 1.5, "s")
        report("its evidence checked", explained, 1.5, "s")
        explored.close()
        saved(browser)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
