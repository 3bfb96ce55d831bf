"""Learning from good items alone, beside a plain PatchCore: solar cells that are functional.

    python benchmarks/anomaly.py [--train 400] [--test 200] [--size 224] [--time 1h] [--seed 0]

Both learn from functional cells alone, with the ImageNet weights of EfficientNet-Lite0 that come with
Striate, and are tested on other functional and on defective cells (of the sample solar-cells; that
many of each, or all). A third part of functional cells, as large as a fifth of those of training,
gives Striate's threshold; the reference needs none. Printed: the area under the ROC curve of both,
the interval of their difference, and what Striate's threshold does.

The reference is PatchCore (Roth et al., CVPR 2022) written plainly: maps of strides 8 and 16, a 3 x 3
average, bilinear enlargement, a greedy coreset of a random projection to 128 numbers, the largest
distance of a patch from its nearest in the bank. It shares nothing with Striate but the network's
layers, and takes as many patches into its coreset as Striate.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import striate
from striate.data.layouts.layout import open_source
from striate.data.source import Source
from striate.metrics.intervals import percentile_interval, resampling_weights
from striate.metrics.probabilities import binary_roc_auc

GOOD = "functional"
CANDIDATES = 100_000


def chosen_cells(num_train: int | None, num_test: int | None, seed: int) -> Source:
    """The cells with a split: functional ones for training, others for the test."""
    source = open_source("sample:solar-cells")
    rng = np.random.default_rng(seed)
    by_label: dict[str, list[int]] = {}
    for place in rng.permutation(len(source.listing.items)).tolist():
        by_label.setdefault(source.listing.items[place].label or "", []).append(place)
    good, odd = by_label[GOOD], by_label["defective"]
    tested = good[: num_test or round(0.15 * len(good))]
    rest = good[len(tested) :]
    held_out = rest[: round((num_train or 0.7 * len(good)) / 5)]
    learnt = rest[len(held_out) :][: num_train or len(good)]
    parts = {"train": learnt, "val": held_out, "test": [*tested, *odd[: num_test or len(odd)]]}
    where = {place: part for part, places in parts.items() for place in places}
    items = source.listing.items
    source.listing = replace(
        source.listing,
        items=tuple(replace(items[place], split=where[place]) for place in sorted(where)),
    )
    return source


def pixels(source: Source, part: str, size: int) -> tuple[Tensor, NDArray[np.bool_], list[str]]:
    """(n, 3, size, size) cells of a part from -1 to 1, whether each is odd, and their names."""
    items = [item for item in source.listing.items if item.split == part]
    arrays = []
    for item in items:
        with Image.open(source.path(item)) as image:
            small = image.convert("L").resize((size, size), Image.Resampling.BILINEAR)
            arrays.append(np.asarray(small, np.float32) / 127.5 - 1)
    found = torch.from_numpy(np.stack(arrays))[:, None].expand(-1, 3, -1, -1)
    return found, np.array([item.label != GOOD for item in items]), [item.id for item in items]


@torch.inference_mode()
def patches(network: striate.models.Network, images: Tensor) -> Tensor:
    """(n, places, channels): the maps of strides 8 and 16 as PatchCore joins them."""
    maps = network.forward_intermediates(images.contiguous(), intermediates_only=True)
    sizes = {m.shape[-1]: m for m in maps}
    coarse = sorted(sizes)[1]
    fine = sorted(sizes)[2]
    first, second = (F.avg_pool2d(sizes[side], 3, 1, 1) for side in (fine, coarse))
    second = F.interpolate(second, first.shape[-2:], mode="bilinear")
    return torch.cat([first, second], 1).flatten(2).transpose(1, 2)


def greedy(rows: Tensor, count: int, seed: int) -> Tensor:
    """Positions of a k-centre greedy coreset."""
    generator = torch.Generator().manual_seed(seed)
    projected = rows @ torch.randn(rows.shape[1], 128, generator=generator)
    nearest = torch.full((len(rows),), torch.inf)
    place, found = 0, []
    for _ in range(count):
        found.append(place)
        distance = (projected - projected[place]).square().sum(1)
        nearest = torch.minimum(nearest, distance)
        place = int(nearest.argmax())
    return torch.tensor(found)


def patchcore(
    source: Source, size: int, bank_size: int, seed: int
) -> dict[str, tuple[float, bool]]:
    """The score of each test cell and whether it is odd, by name."""
    network = striate.create_model("efficientnet_lite0", weights="imagenet").eval()
    generator = torch.Generator().manual_seed(seed)
    train, _, _ = pixels(source, "train", size)
    each = -(-CANDIDATES // len(train))
    rows = torch.cat(
        [
            some[torch.randperm(len(some), generator=generator)[:each]]
            for batch in train.split(16)
            for some in patches(network, batch)
        ]
    )
    bank = rows[greedy(rows, bank_size, seed)]
    test, odd, names = pixels(source, "test", size)
    scores = [
        float(torch.cdist(one, bank).amin(1).amax())
        for batch in test.split(16)
        for one in patches(network, batch)
    ]
    return dict(zip(names, zip(scores, odd.tolist(), strict=True), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int)
    parser.add_argument("--test", type=int)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--time", default="1h")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    source = chosen_cells(given.train, given.test, given.seed)
    with tempfile.TemporaryDirectory() as folder:
        run = striate.fit(
            source,
            good=GOOD,
            out=Path(folder) / "run",
            image_size=given.size,
            time=given.time,
            seed=given.seed,
            progress=print,
        )
        rows = {row["item"]: row for row in run.folder.read_csv("predictions.csv")}
        bank_size = run.record.model.options["num_patches"]
        report = run.report
    print("reference ...", flush=True)
    reference = patchcore(source, given.size, bank_size, given.seed)
    names = [name for name in reference if rows[name]["split"] == "test"]
    odd = np.array([reference[name][1] for name in names])
    ours = np.array([float(rows[name]["score"]) for name in names])
    theirs = np.array([reference[name][0] for name in names])
    plain = np.ones((len(names), 1))
    areas = [float(binary_roc_auc(scores, odd, plain)[0]) for scores in (ours, theirs)]
    draws = np.concatenate(
        [
            binary_roc_auc(ours, odd, weights) - binary_roc_auc(theirs, odd, weights)
            for weights in resampling_weights(odd.astype(np.int64), np.arange(len(names)))
        ]
    )
    print(f"striate {version('striate')}, torch {torch.__version__}, numpy {np.__version__}")
    sizes = report.split_sizes
    print(f"{sizes}: {int((~odd).sum())} functional and {int(odd.sum())} defective tested")
    print(f"bank: {bank_size} patches; image size {given.size}")
    print(f"ROC AUC: striate {areas[0]:.4f}, reference {areas[1]:.4f}")
    print(f"difference {areas[0] - areas[1]:+.4f}, 95 % interval {percentile_interval(draws)}")
    for name, figure in report.test:
        print(f"{name}: {figure.as_text()}")
    print(f"promised: {report.promise}")


if __name__ == "__main__":
    main()
