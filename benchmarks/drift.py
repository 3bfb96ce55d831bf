"""`drift`: how often are changed data flagged, and how often data that have not changed?

    python benchmarks/drift.py [--sets digits textures italy-power synthetic-volumes] [--trials 100]
                               [--fits 1] [--method probe] [--new 60]

A third of a set (of 600 items) is fitted to. All other items are looked at by the run once, as they
are, blurred, darkened, and replaced by items of another set: features, predictions, novelty and plain
figures. In each trial the others are divided anew at random: new items, test items that the run keeps
to compare with, and further items whose features it keeps, as a run of a probe does. What the run says
of the new ones as they are (a resplit, which is not to be flagged), blurred, darkened and replaced is
counted. Nothing but the looking is shortened: the tests are those of `striate drift`.

Pictures (64 pixels a side) are blurred by a Gaussian of deviation 1.5 pixels and brought to half their
brightness; series are smoothed by one of 1.5 samples, volumes by one of 1.5 voxels, and brought to
half their values. Printed are the numbers of trials in which each was flagged, by any test and by
each, with Wilson's 95 % interval; a resplit is to be flagged in at most 5 %, all others in at least
95 %. Nothing depends on the machine but the time.

The sets are scikit-learn's digits, textures cut from scikit-image's pictures, the solar cells
(`solar-cells`), the series `italy-power` (24 samples), `osu-leaf` (427 samples) and `japanese-vowels`
(12 channels), and Striate's synthetic volumes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from none_of_these import PICTURES
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from scipy.ndimage import gaussian_filter, gaussian_filter1d

import striate
from striate.data.layouts.arrays import ArraySource
from striate.data.layouts.layout import open_source
from striate.data.sandbox import read_all
from striate.data.source import Reading, Source
from striate.fitting.held_out import NOT_KEPT
from striate.metrics.intervals import wilson_interval
from striate.metrics.unlabelled.held_out import MAX_MEASURED, HeldOutItems
from striate.run.run import Run
from striate.run.unlabelled.drift import compared
from striate.run.unlabelled.looking import Seen
from striate.tasks.prediction import Prediction

NUM_ITEMS = 600
NUM_TEST = 60
SIDE = 64
FOREIGN = {
    "italy-power": "gun-point", "osu-leaf": "gun-point", "japanese-vowels": "basic-motions",
}  # fmt: skip
"""The series whose items, at their length, are foreign to each."""

Array = NDArray[Any]


def blurred(item: Array) -> Array:
    if item.dtype != np.uint8:
        return np.asarray(gaussian_filter1d(item, 1.5, axis=1, mode="nearest"), np.float32)
    if item.shape[-1] != 3:
        return np.asarray(gaussian_filter(item.astype(np.float32), 1.5)).round().astype(np.uint8)
    return np.asarray(Image.fromarray(item).filter(ImageFilter.GaussianBlur(1.5)))


def darkened(item: Array) -> Array:
    if item.dtype != np.uint8:
        return item / 2
    if item.shape[-1] != 3:
        return item // 2
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(item)).enhance(0.5))


CHANGES: dict[str, Callable[[Array], Array]] = {
    "resplit": lambda item: item,
    "blurred": blurred,
    "darkened": darkened,
}


@cache
def items_of(name: str) -> tuple[list[str], list[Array]]:
    """Labels and items of a set in random order, six hundred at most."""
    if name in PICTURES:
        pairs = [(label, _picture(image)) for label, image in islice(PICTURES[name](), 1000)]
    else:
        source = open_source(f"sample:{name}")
        order = np.random.default_rng(0).permutation(len(source.listing.items))[:NUM_ITEMS]
        chosen = [source.listing.items[place] for place in order]
        pairs = [
            (item.label or "", _array(reading.array, source.kind))
            for item, reading in read_all(source, chosen, None)
            if isinstance(reading, Reading)
        ]
    order = np.random.default_rng(0).permutation(len(pairs))[:NUM_ITEMS]
    return [pairs[place][0] for place in order], [pairs[place][1] for place in order]


def _array(array: Array, kind: str) -> Array:
    """An item as pixels of three channels, voxels, or samples by channel."""
    if kind == "image":
        return _picture(Image.fromarray(array.transpose(1, 2, 0)[..., :3].squeeze()))
    return array[0] if kind == "volume" else array


def _picture(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("L").resize((SIDE, SIDE)).convert("RGB"))


def foreign_to(name: str) -> list[Array]:
    """Items of another set, in the form of those of the set."""
    example = items_of(name)[1][0]
    if name in FOREIGN:
        channels, length = example.shape
        return [_brought_to(item, channels, length) for item in items_of(FOREIGN[name])[1]]
    pictures = items_of("textures" if name != "textures" else "digits")[1]
    if example.shape[-1] == 3:
        return pictures
    # Of a volume each slice is a part of one picture, a pixel further.
    depth, height, width = example.shape
    return [
        np.stack([picture[k : k + height, :width, 0] for k in range(depth)]) for picture in pictures
    ]


def _brought_to(item: Array, channels: int, length: int) -> NDArray[np.float32]:
    """A series of as many channels and samples."""
    places, own = np.linspace(0, 1, length), np.linspace(0, 1, item.shape[1])
    rows = [np.interp(places, own, item[number % len(item)]) for number in range(channels)]
    return np.stack(rows).astype(np.float32)


def source_of(name: str, items: Sequence[Array], labels: Sequence[str] | None = None) -> Source:
    example = items[0]
    kind = (
        "signal" if example.dtype != np.uint8 else "image" if example.shape[-1] == 3 else "volume"
    )
    equal = len({item.shape for item in items}) == 1
    arrays = np.stack(items) if equal else list(items)
    return ArraySource(arrays, labels, kind=kind, name=name)


@dataclass(frozen=True, kw_only=True)
class Looked:
    """Items as a run sees them: everything that is compared, (items, ...) each."""

    source: Source
    features: NDArray[np.float32]
    outputs: NDArray[np.float32]
    novelty: NDArray[np.float64]
    predictions: list[Prediction]
    figures: list[dict[str, float]]

    def new(self, places: NDArray[np.int64]) -> Seen:
        predictions = [self.predictions[place] for place in places]
        return Seen(
            source=self.source, places=places.tolist(), predictions=predictions, num_skipped=0
        )


def looked_at(run: Run, name: str, items: Sequence[Array]) -> Looked:
    source = source_of(name, items)
    read = [(i, r) for i, r in run.read(source, source.listing.items) if isinstance(r, Reading)]
    parts = list(run.predictor.parts(reading for _, reading in read))
    predictions = run.described([item for item, _ in read], parts)
    return Looked(
        source=source,
        features=torch.cat([part.features for part in parts]).numpy(),
        outputs=torch.cat([part.outputs for part in parts]).numpy(),
        novelty=np.array([p.novelty for p in predictions], np.float64),
        predictions=predictions,
        figures=[run.kind.measured(reading, None) for _, reading in read],
    )


def kept(looked: Looked, test: NDArray[np.int64], further: NDArray[np.int64]) -> HeldOutItems:
    """The sample that a run would keep of test items, and of further ones."""
    both = np.concatenate([test, further])
    rows = [looked.figures[place] for place in test[:MAX_MEASURED]]
    names = {name for row in rows for name in row} - NOT_KEPT
    traits = {name: np.array([row.get(name, np.nan) for row in rows]) for name in sorted(names)}
    told = np.isfinite(looked.novelty).all()
    return HeldOutItems.of(
        looked.features[both],
        np.arange(len(both)),
        looked.outputs[test],
        looked.novelty[test] if told else np.empty(0),
        traits,
    )


def trials(
    name: str, fit: int, count: int, method: str, num_new: int, first: int
) -> list[dict[str, list[str]]]:
    """The tests that flagged each change, for each trial of one fit."""
    labels, items = items_of(name)
    order = np.random.default_rng(1000 + fit).permutation(len(items))
    learnt, rest = np.split(order, [len(items) // 3])
    with tempfile.TemporaryDirectory() as work:
        options = {"image_size": SIDE} if items[0].shape[-1] == 3 else {}
        source = source_of(name, [items[k] for k in learnt], [labels[k] for k in learnt])
        run = striate.fit(source, out=f"{work}/run", method=method, seed=fit, time="10m", **options)
        looked = {
            what: looked_at(run, name, [change(items[place]) for place in rest])
            for what, change in CHANGES.items()
        }
        foreign = foreign_to(name)
        looked["foreign"] = looked_at(run, name, foreign[: len(rest)])
        return [
            _trial(run, looked, len(rest), num_new, first + fit * count + number)
            for number in range(count)
        ]


def _trial(
    run: Run, looked: dict[str, Looked], num_rest: int, num_new: int, seed: int
) -> dict[str, list[str]]:
    order = np.random.default_rng(seed).permutation(num_rest)
    new, test, further = np.split(order, [num_new, num_new + NUM_TEST])
    held_out = kept(looked["resplit"], test, further)
    found = {}
    for what, each in looked.items():
        places = new if what != "foreign" else new % len(each.predictions)
        features = held_out.rounded(held_out.as_stored(each.features[places]))
        figures = [each.figures[place] for place in places[:MAX_MEASURED]]
        seen, sampled = each.new(places), np.arange(len(places))
        result = compared(run, held_out, seen, features, sampled, figures, seed=seed)
        found[what] = [check.name for check in result.checks if check.found]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", default=["digits", "textures", "italy-power", "synthetic-volumes"])  # fmt: skip
    parser.add_argument("--trials", type=int, default=100, help="trials of each set")
    parser.add_argument("--fits", type=int, default=1, help="fits that these are divided among")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--method", default="probe")
    parser.add_argument("--new", type=int, default=60, help="new items of a trial")
    given = parser.parse_args()
    torch.set_num_threads(1)
    changes = (*CHANGES, "foreign")
    for name in given.sets:
        each = -(-given.trials // given.fits)
        found = [
            row
            for fit in range(given.fits)
            for row in trials(name, fit, each, given.method, given.new, given.first)
        ]
        counts = {what: sum(bool(row[what]) for row in found) for what in changes}
        cells = [
            f"{count} ({low:.3f} to {high:.3f})"
            for count in counts.values()
            for low, high in [wilson_interval(count / len(found), len(found))]
        ]
        print(f"| {name} | {len(found)} | {' | '.join(cells)} |", flush=True)
        for what in changes:
            by_test = Counter(test for row in found for test in row[what])
            print(f"{name} {what}, by test: {dict(by_test)}", flush=True)


if __name__ == "__main__":
    main()
