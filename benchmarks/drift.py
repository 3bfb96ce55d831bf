"""`drift`: how often are changed data flagged, and how often data that have not changed?

    python benchmarks/drift.py [--sets digits textures solar-cells italy-power] [--trials 20]
                               [--first 0] [--method probe] [--new 60]

In each trial a set is divided anew at random: three fifths are fitted to, the others are new. These
are given to `drift` as they are (a resplit, which is not to be flagged), blurred, darkened, and
replaced by items of another set. Pictures are blurred by a Gaussian (deviation 1.5 pixels of 64) and
brought to half their brightness; series are smoothed by a Gaussian (deviation 1.5 samples) and brought
to half their values. Printed is the share of trials in which each was flagged, by any test and by
each; a resplit is to be flagged in at most 5 %, all others in at least 95 %. Trials have numbers
from `--first` on, so that a run can be gone on with.

The sets are scikit-learn's digits, textures cut from scikit-image's pictures and the solar cells,
600 pictures of each at 64 pixels, and of the series `italy-power` (24 samples) 600 and `osu-leaf` (427
samples) all 442. Nothing depends on the machine but the time.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from none_of_these import PICTURES
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from scipy.ndimage import gaussian_filter1d

import striate
from striate.data.layouts.layout import open_source
from striate.data.sandbox import read_all
from striate.data.source import Reading

NUM_ITEMS = 600
SIDE = 64
SERIES = {"italy-power": "gun-point", "osu-leaf": "gun-point"}
"""The sets of series, and the set whose items, at their length, are foreign to each."""

Item = tuple[str, NDArray[Any]]


def blurred(item: NDArray[Any]) -> NDArray[Any]:
    if item.ndim == 2:
        return np.asarray(gaussian_filter1d(item, 1.5, axis=1, mode="nearest"), np.float32)
    return np.asarray(Image.fromarray(item).filter(ImageFilter.GaussianBlur(1.5)))


def darkened(item: NDArray[Any]) -> NDArray[Any]:
    if item.ndim == 2:
        return item / 2
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(item)).enhance(0.5))


CHANGES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "resplit": lambda item: item,
    "blurred": blurred,
    "darkened": darkened,
}


@cache
def items_of(name: str) -> list[Item]:
    """Six hundred items of a set, or all where there are fewer, in random order, with their labels."""
    found: list[Item]
    if name in PICTURES:
        every = islice(PICTURES[name](), 1000)
        found = [(label, _picture(image)) for label, image in every]
    else:
        source = open_source(f"sample:{name}")
        order = np.random.default_rng(0).permutation(len(source.listing.items))[:NUM_ITEMS]
        chosen = [source.listing.items[place] for place in order]
        found = [
            (item.label or "", reading.array)
            for item, reading in read_all(source, chosen, None)
            if isinstance(reading, Reading)
        ]
        if found[0][1].ndim == 3:
            found = [(label, _picture(Image.fromarray(a.transpose(1, 2, 0)[..., :3].squeeze()))) for label, a in found]  # fmt: skip
    order = np.random.default_rng(0).permutation(len(found))
    return [found[place] for place in order[:NUM_ITEMS]]


def _picture(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("L").resize((SIDE, SIDE)).convert("RGB"))


def foreign_to(name: str) -> list[NDArray[Any]]:
    """Items of another set, in the form of those of the set."""
    if name not in SERIES:
        return [item for _, item in items_of("textures" if name != "textures" else "digits")]
    length = items_of(name)[0][1].shape[1]
    return [
        np.interp(np.linspace(0, 1, length), np.linspace(0, 1, item.shape[1]), item[0])[None]
        .astype(np.float32)
        for _, item in items_of(SERIES[name])
    ]  # fmt: skip


def written(name: str, places: NDArray[np.int64], work: Path) -> str:
    """The items at some places in a form that `fit` takes."""
    items = [(place, *items_of(name)[place]) for place in places]
    if name in SERIES:
        series = np.stack([item for _, _, item in items])
        np.savez(work / "data.npz", X=series, y=np.array([label for _, label, _ in items]))
        return str(work / "data.npz")
    for place, label, item in items:
        (work / "data" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(item).save(work / "data" / label / f"{place}.png")
    return str(work / "data")


def trial(name: str, seed: int, method: str, num_new: int) -> dict[str, list[str]]:
    """The tests that flagged each change."""
    count = len(items_of(name))
    order = np.random.default_rng(seed).permutation(count)
    known, new = order[: count * 3 // 5], order[count * 3 // 5 :][:num_new]
    foreign, options = foreign_to(name), {} if name in SERIES else {"image_size": SIDE}
    with tempfile.TemporaryDirectory() as work:
        data = written(name, known, Path(work))
        run = striate.fit(data, out=f"{work}/run", method=method, seed=seed, time="10m", **options)
        given = {
            what: [change(items_of(name)[place][1]) for place in new]
            for what, change in CHANGES.items()
        }
        given["foreign"] = [foreign[place % len(foreign)] for place in new]
        found = {what: run.drift(items, seed=seed) for what, items in given.items()}
    return {what: [c.name for c in each.checks if c.found] for what, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", default=["digits", "textures", "solar-cells", "italy-power"])  # fmt: skip
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--method", default="probe")
    parser.add_argument("--new", type=int, default=60, help="new items of a trial")
    arguments = parser.parse_args()
    print("| set | trials | resplit | blurred | darkened | foreign |")
    for name in arguments.sets:
        found = []
        for seed in range(arguments.first, arguments.first + arguments.trials):
            found.append(trial(name, seed, arguments.method, arguments.new))
            print(f"{name} {seed}: {found[-1]}", flush=True)
        shares = [np.mean([bool(row[what]) for row in found]) for what in (*CHANGES, "foreign")]
        print(f"| {name} | {len(found)} | {' | '.join(f'{s:.3f}' for s in shares)} |", flush=True)
        for what in (*CHANGES, "foreign"):
            by_test = Counter(test for row in found for test in row[what])
            print(f"{name} {what}, by test: {dict(by_test)}", flush=True)


if __name__ == "__main__":
    main()
