"""Whether `--symmetry auto` leaves letters alone and finds what a mirror does not change.

    python benchmarks/symmetry.py --seeds 0 1 2 3 4 --time 30 --out symmetry.json

Two sets are drawn for each seed. "letters": 45 pictures each of b, d, p and q, each in a font of the
system drawn at random; a mirror makes one of another. "shapes": 45 pictures each of four outlines,
every one turned and mirrored at random, so that a mirrored one is as good as it was. Each is fitted
by `auto` and by `identity`, with the same split and seed; the letters are right where `auto` is as
good as `identity` on the test items, the shapes where `auto` mirrors.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from league_sets import fonts
from PIL import Image, ImageDraw, ImageFont, ImageOps

import striate

SIDE, COUNT = 64, 45
OUTLINES = {
    "hook": [(16, 10), (16, 50), (40, 50), (40, 42), (24, 42), (24, 10)],
    "arrow": [(10, 26), (34, 26), (34, 14), (54, 32), (34, 50), (34, 38), (10, 38)],
    "flag": [(18, 8), (50, 20), (24, 32), (24, 56), (18, 56)],
    "step": [(10, 50), (10, 36), (26, 36), (26, 22), (42, 22), (42, 10), (54, 10), (54, 50)],
}


def letters(folder: Path, rng: np.random.Generator) -> None:
    """45 pictures each of b, d, p and q."""
    found = fonts()
    for letter in "bdpq":
        for number in range(COUNT):
            font = ImageFont.truetype(found[rng.integers(len(found))], int(rng.integers(30, 46)))
            picture = Image.new("L", (SIDE, SIDE), int(rng.integers(160, 256)))
            place = tuple(SIDE / 2 + rng.uniform(-5, 5, 2))
            ink = int(rng.integers(0, 90))
            ImageDraw.Draw(picture).text(place, letter, ink, font, anchor="mm")
            _save(folder / letter / f"{number}.png", picture, rng)


def shapes(folder: Path, rng: np.random.Generator) -> None:
    """45 pictures each of four outlines, mirrored and turned at random."""
    for name, outline in OUTLINES.items():
        for number in range(COUNT):
            picture = Image.new("L", (SIDE, SIDE), int(rng.integers(160, 256)))
            ImageDraw.Draw(picture).polygon(outline, int(rng.integers(0, 90)))
            if rng.random() < 0.5:
                picture = ImageOps.mirror(picture)
            back = picture.getpixel((0, 0))
            picture = picture.rotate(
                rng.uniform(-15, 15), Image.Resampling.BILINEAR, fillcolor=back
            )
            _save(folder / name / f"{number}.png", picture, rng)


def _save(path: Path, picture: Image.Image, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noisy = np.asarray(picture) + rng.normal(0, 12, (SIDE, SIDE))
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path)


def fitted(folder: Path, symmetry: str, seed: int, seconds: float) -> dict[str, object]:
    """The accuracy on the test items, and what was chosen."""
    with tempfile.TemporaryDirectory() as out:
        run = striate.fit(
            folder, symmetry=symmetry, seed=seed, time=seconds, out=Path(out) / "run", progress=None
        )
        told = [choice for choice in run.report.choices if choice.topic == "symmetry"]
        return {
            "accuracy": run.report.test.accuracy.value,
            "method": run.report.method,
            "choices": [f"{choice.choice}: {choice.why}" for choice in told],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--time", type=float, default=30, help="seconds of each fit [30]")
    parser.add_argument("--out", type=Path, default=Path("symmetry.json"))
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        for draw in (letters, shapes):
            with tempfile.TemporaryDirectory() as folder:
                draw(Path(folder), np.random.default_rng(seed))
                for symmetry in ("auto", "identity"):
                    found = fitted(Path(folder), symmetry, seed, args.time)
                    rows.append({"set": draw.__name__, "seed": seed, "symmetry": symmetry, **found})
                    print(json.dumps(rows[-1]), flush=True)
                    args.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
