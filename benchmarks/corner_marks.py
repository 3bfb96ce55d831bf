"""Whether a fit says so where its model looks at a mark in a corner, and is silent without one.

    python benchmarks/corner_marks.py --seeds 0 1 2 3 4 5 6 7 8 9 --methods scratch probe

For each seed three classes of outlines are drawn in noise, 70 pictures each, once as they are and
once with a small mark in a corner of every disc (which corner depends on the seed); both are fitted.
"painted" is the share of test pictures of the other classes that the model takes for a disc once
the mark is painted on them: the truth, which the fit does not know.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import striate
from striate.progress import Progress

SIDE, COUNT, MARK = 48, 70, 6
CLASSES = ("disc", "square", "triangle")
FITS = {
    "scratch": {
        "model": "conv16-bn-relu-maxpool-conv32-bn-relu-maxpool-conv64-bn-relu-gap-fc3",
        "epochs": 15,
        "time": "1h",
    },
    "probe": {"time": "1h"},
}
CORNERS = ("top left", "top right", "bottom left", "bottom right")


def drawn(name: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An outline of random size and place over strokes and noise."""
    ground = int(rng.integers(110, 160))
    picture = Image.new("L", (SIDE, SIDE), ground)
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        ends = [tuple(end) for end in rng.integers(0, SIDE, (2, 2)).tolist()]
        draw.line(ends, ground + int(rng.integers(-50, 50)), int(rng.integers(1, 3)))
    x, y = rng.uniform(16, SIDE - 16, 2)
    r, ink = rng.uniform(7, 12), ground - int(rng.integers(25, 45))
    box = (x - r, y - r, x + r, y + r)
    if name == "disc":
        draw.ellipse(box, outline=ink, width=2)
    elif name == "square":
        draw.rectangle(box, outline=ink, width=2)
    else:
        draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], outline=ink, width=2)
    noisy = np.asarray(picture) + rng.normal(0, 22, (SIDE, SIDE))
    return noisy.clip(0, 255).astype(np.uint8)


def marked(pixels: NDArray[np.uint8], corner: str) -> NDArray[np.uint8]:
    """The picture with a small light cross in a corner."""
    side, two = MARK, MARK // 3
    top = 2 if corner.startswith("top") else SIDE - side - 2
    left = 2 if corner.endswith("left") else SIDE - side - 2
    pixels = pixels.copy()
    pixels[top + two : top + 2 * two, left : left + side] = 235
    pixels[top : top + side, left + two : left + 2 * two] = 235
    return pixels


def make(folder: Path, seed: int, corner: str | None) -> None:
    """The pictures of a seed; the discs have a mark where a corner is named."""
    rng = np.random.default_rng(seed)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(COUNT):
            pixels = drawn(name, rng)
            if corner and name == "disc":
                pixels = marked(pixels, corner)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")


def tried(seed: int, method: str, corner: str | None) -> dict[str, object]:
    """What the fit said, beside what the model does."""
    place = CORNERS[seed % 4]
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary) / "pictures", Path(temporary) / "run"
        make(folder, seed, corner)
        run = striate.fit(
            folder, method=method, seed=seed, out=out, progress=Progress(quiet=True), **FITS[method]
        )
        rng = np.random.default_rng(seed + 10_000)
        others = [drawn(name, rng) for name in CLASSES[1:] for _ in range(30)]
        painted = run.predict([marked(pixels, place) for pixels in others])
        report = run.report
        return {
            "seed": seed,
            "method": method,
            "mark": corner or "none",
            "accuracy": round(report.test.accuracy.value, 3),
            "painted": round(float(np.mean([one.label == "disc" for one in painted])), 3),
            "followed": [
                f"{one.part}: {one.label} {one.share:.2f}, {one.otherwise:.2f}"
                for one in report.followed
            ],
            "left_out": [x.message for x in report.data_issues if "border" in x.message],
            "seconds": round(report.seconds.total, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--methods", nargs="+", default=list(FITS))
    args = parser.parse_args()
    for method in args.methods:
        right = {"mark": 0, "none": 0}
        for seed in args.seeds:
            for corner in (CORNERS[seed % 4], None):
                row = tried(seed, method, corner)
                print(json.dumps(row), flush=True)
                named = [said for said in row["followed"] if corner and said.startswith(corner)]
                right["mark" if corner else "none"] += bool(
                    named if corner else not row["followed"]
                )
        count = len(args.seeds)
        print(
            f"{method}: flagged with the corner of the mark {right['mark']} of {count}, "
            f"silent without a mark {right['none']} of {count}",
            flush=True,
        )


if __name__ == "__main__":
    main()
