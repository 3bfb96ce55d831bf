"""Frames a second of the map of `striate explore` while it is zoomed and looked at.

    python benchmarks/explore_map.py [--points 10000] [--seconds 5] [--ratio 1] [--json FILE]

A saved page with made items opens in headless Chromium (Playwright), so that only the page is
measured. In each frame the map is zoomed by a wheel's event, which draws every point anew, and the
pointer moves, which looks for the nearest point; frames are counted by `requestAnimationFrame`,
which a display of 60 hertz bounds. Points are in three groups of overlapping normal draws; of them
a tenth are mistakes. The aim is 30 frames a second with 10,000 points.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from playwright.sync_api import sync_playwright

from striate.explorer.app import page_files
from striate.explorer.bundle import one_page
from striate.explorer.data.items import Column
from striate.explorer.numbers import packed

CLASSES = ("a", "b", "c")

MOVE = """
async (seconds) => {
  const frame = document.querySelector(".scatter");
  const box = frame.getBoundingClientRect();
  const times = [];
  const end = performance.now() + 1000 * seconds;
  for (let turn = 0; performance.now() < end; turn += 1) {
    times.push(await new Promise(requestAnimationFrame));
    const [clientX, clientY] = [box.left + box.width * (0.3 + 0.4 * Math.random()), box.top + box.height / 2];
    frame.dispatchEvent(new WheelEvent("wheel", { deltaY: turn % 40 < 20 ? -6 : 6, clientX, clientY, cancelable: true }));
    frame.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, pointerId: 7 }));
  }
  return times;
}
"""


def answers(count: int) -> dict[str, Any]:
    """What the page asks for, of made items."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, len(CLASSES), count)
    wrong = rng.random(count) < 0.1
    said = np.where(wrong, (labels + 1) % len(CLASSES), labels)
    places = rng.standard_normal((count, 2)) + 2.5 * np.stack([labels, labels % 2], 1)
    columns = [
        Column(key="split", title="split", values=["test"] * count),
        Column(key="truth", title="true label", values=[CLASSES[k] for k in labels]),
        Column(key="answer", title="predicted label", values=[CLASSES[k] for k in said]),
        Column(
            key="result",
            title="result",
            values=["wrong" if w else "right" for w in wrong],
            order=("right", "wrong"),
        ),
    ]
    about = {
        "name": "made", "data": "made", "nouns": ["item", "items"], "unit": "", "umap": False,
        "classes": list(CLASSES), "one_class": True, "compared": False, "network": False,
        "num_items": count, "pictures": False, "summary": [],
    }  # fmt: skip
    x, y = packed(places[:, 0]), packed(places[:, 1])
    table = {
        "names": [f"item {number}" for number in range(count)],
        "columns": [column.document() for column in columns],
    }
    found = {
        ("about", ()): about,
        ("state", (("turn", 0),)): {"state": "ready"},
        ("items", (("part", "all"),)): table,
        ("map", (("kind", "pca"),)): {
            "state": "ready", "x": x, "y": y, "shares": [0.5, 0.2], "notes": [],
        },
        ("patch", ()): {"path": None, "corrections": []},
    }  # fmt: skip
    return {f"api/data/{name}?{urlencode(given)}": told for (name, given), told in found.items()}


def measured(page_file: Path, chromium: str, seconds: float, ratio: float) -> list[float]:
    """Milliseconds between frames."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, device_scale_factor=ratio)
        page.goto(page_file.as_uri())
        page.wait_for_selector("body[data-map=true]", timeout=60_000)
        page.wait_for_timeout(1000)
        times = page.evaluate(MOVE, seconds)
        browser.close()
    return np.diff(times).tolist()


def main() -> None:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--ratio", type=float, default=1, help="device pixels in a pixel")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("Chromium is not installed")
    document = json.dumps({"answers": answers(given.points), "cells": {}, "arrays": []})
    numbers = base64.b64encode(gzip.compress(document.encode())).decode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.html"
        path.write_text(one_page(page_files(), numbers, "data.html"))
        gaps = measured(path, chromium, given.seconds, given.ratio)
    result = {
        "points": given.points,
        "ratio": given.ratio,
        "frames": len(gaps),
        "frames_per_second": 1000 / float(np.mean(gaps)),
        "ms_median": float(np.median(gaps)),
        "ms_95": float(np.percentile(gaps, 95)),
        "load_before": os.getloadavg()[0],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps(result, indent=2))
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
