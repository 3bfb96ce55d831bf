"""`drift`: how often are changed data flagged, and how often data that have not changed?

    python benchmarks/drift.py [--sets digits textures] [--trials 20] [--method probe] [--new 60]

In each trial a set of pictures is divided anew at random: three fifths are fitted to, the others
are new. These are given to `drift` as they are (a resplit, which is not to be flagged), blurred
(Gaussian, deviation 1.5 pixels of 64), at half their brightness, and replaced by pictures of the
other set. Printed is the share of trials in which each was flagged; a resplit is to be flagged in
at most 5 %, all others in at least 95 %.

The sets are scikit-learn's digits at 64 pixels and textures cut from scikit-image's pictures, 600
pictures of each. Nothing depends on the machine but the time.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from none_of_these import PICTURES
from PIL import Image, ImageEnhance, ImageFilter

import striate

NUM_PICTURES = 600
SIDE = 64

CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resplit": lambda picture: picture,
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(1.5)),
    "darkened": lambda picture: ImageEnhance.Brightness(picture).enhance(0.5),
}


def pictures(name: str) -> list[tuple[str, Image.Image]]:
    """Six hundred pictures of a set at one size, in random order, with their labels."""
    every: Iterator[tuple[str, Image.Image]] = islice(PICTURES[name](), 1000)
    found = [(label, image.convert("L").resize((SIDE, SIDE))) for label, image in every]
    order = np.random.default_rng(0).permutation(len(found))
    return [found[place] for place in order[:NUM_PICTURES]]


def trial(name: str, other: str, seed: int, method: str, num_new: int) -> dict[str, bool]:
    """Whether each change was flagged."""
    order = np.random.default_rng(seed).permutation(NUM_PICTURES)
    known, new = order[: NUM_PICTURES * 3 // 5], order[NUM_PICTURES * 3 // 5 :][:num_new]
    own, foreign = pictures(name), pictures(other)
    with tempfile.TemporaryDirectory() as work:
        for place in known:
            label, image = own[place]
            (Path(work) / "data" / label).mkdir(parents=True, exist_ok=True)
            image.save(Path(work) / "data" / label / f"{place}.png")
        run = striate.fit(
            f"{work}/data", out=f"{work}/run", method=method, image_size=SIDE, seed=seed, time="5m"
        )
        given = {
            what: [np.asarray(change(own[place][1]).convert("RGB")) for place in new]
            for what, change in CHANGES.items()
        }
        given["foreign"] = [np.asarray(foreign[place][1].convert("RGB")) for place in new]
        return {what: run.drift(items, seed=seed).drifted for what, items in given.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", default=["digits", "textures"])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--method", default="probe")
    parser.add_argument("--new", type=int, default=60, help="new pictures of a trial")
    arguments = parser.parse_args()
    print("| set | trials | resplit | blurred | darkened | foreign |")
    for name in arguments.sets:
        other = next(each for each in ("textures", "digits") if each != name)
        found = [
            trial(name, other, seed, arguments.method, arguments.new)
            for seed in range(arguments.trials)
        ]
        shares = [np.mean([row[what] for row in found]) for what in (*CHANGES, "foreign")]
        print(f"| {name} | {len(found)} | {' | '.join(f'{s:.2f}' for s in shares)} |", flush=True)


if __name__ == "__main__":
    main()
