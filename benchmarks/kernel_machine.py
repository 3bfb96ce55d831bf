"""What a kernel machine on frozen features should see, chosen without the cells it is tested on.

    python benchmarks/kernel_machine.py [--seeds 0 1 2 ...] [--features FOLDER]

The solar cells in the paper's protocol (see solar_cells.py): for each seed every design is judged by
cross-validation inside the 1,968 training cells, and all are then measured on the 656 test cells.
What the design with the least log loss in cross-validation reaches there was chosen by nothing in
it. A design is a set of blocks and statistics, a number of symmetries, and a second size of image.
Features take about 12 minutes on 2 CPU cores and are kept in FOLDER where it is given; a seed takes
one minute more. Expected: see docs/performance-details.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import nn

from striate.data.layouts import open_source
from striate.kinds.image.symmetry import apply_symmetry
from striate.models import create_model
from striate.models.kernel_machine import statistics
from striate.nn.kernel_head import LIMIT
from striate.transfer.features import extract

NUM_TEST = 656
GAMMAS = (0.5, 1.0)
RIDGES = (0.1, 0.3, 1.0, 3.0)
"""Of the regression that chooses the gamma."""

REGULARIZATION = 100.0
"""Of the logistic regression that is judged and measured."""

FIRST = 3
"""The block from which on statistics are taken, the stem being 0: the last at stride 4."""

VIEWS = ("300_0", "300_7", "300_2", "300_5")
"""Size and symmetry: as it is, then turned and mirrored."""

DESIGNS = (
    ("pooled last maps", 1, None),
    ("late blocks: mean", 1, None),
    ("late blocks: mean, deviation", 1, None),
    ("late blocks", 1, None),
    ("all blocks", 1, None),
    ("ends of late stages", 1, None),
    ("late blocks", 2, None),
    ("late blocks", 4, None),
    ("late blocks", 1, "400_0"),
    ("late blocks", 1, "224_0"),
    ("late blocks", 2, "400_0"),
    ("late blocks", 4, "400_0"),
)
"""Features, symmetries whose similarities are averaged, and a further size averaged with them."""


class Statistics(nn.Module):
    """Mean, deviation and maximum of every channel of every block but the first ones."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(module for _, module in network.blocks())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number >= FIRST:
                found += statistics(x)
        return torch.cat(found, 1)


def features_of(view: str, folder: Path) -> np.ndarray:
    """(cells, features) of a view, from the folder where they are there."""
    path = folder / f"f{view}.npy"
    if not path.exists():
        size, symmetry = map(int, view.split("_"))
        source = open_source("sample:solar-cells")
        pictures = [Image.open(source.path(i)).convert("L") for i in source.listing.items]
        pixels = np.stack([p.resize((size, size), Image.Resampling.BILINEAR) for p in pictures])
        network = create_model("efficientnet_lite0", weights="imagenet", num_classes=2)
        batches = torch.from_numpy(pixels)[:, None].expand(-1, 3, -1, -1).split(64)
        turned = (apply_symmetry(batch, symmetry) for batch in batches)
        parts = extract(network, turned, features=Statistics(network), dtype=torch.float32)
        np.save(path, torch.cat(list(parts)).numpy())
    return np.load(path, mmap_mode="r")


def columns() -> dict[str, np.ndarray]:
    """Which features belong to which set."""
    network = create_model("efficientnet_lite0", num_classes=2).eval()
    maps, widths = torch.zeros(1, 3, 64, 64), []
    with torch.inference_mode():
        for _, block in network.blocks():
            maps = block(maps)
            widths.append(maps.shape[1])
    widths = widths[FIRST:]
    last = len(widths) - 1
    starts = 3 * np.concatenate([[0], np.cumsum(widths)])

    def of(blocks: list[int], kinds: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
        """Statistics (mean, deviation, maximum) of blocks; of the last maps the mean alone."""
        parts = [
            np.arange(widths[b]) + starts[b] + kind * widths[b]
            for b in blocks
            for kind in ((0,) if b == last else kinds)
        ]
        return np.concatenate(parts)

    late = list(range(3, last + 1))
    return {
        "pooled last maps": of([last]),
        "late blocks: mean": of(late, (0,)),
        "late blocks: mean, deviation": of(late, (0, 1)),
        "late blocks": of(late),
        "all blocks": of(list(range(last + 1))),
        "ends of late stages": of([5, 8, 12, 13, last]),
    }


def differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared difference of each row of one and each of the other."""
    x, z = torch.from_numpy(a), torch.from_numpy(b)
    squares = (x * x).sum(1)[:, None] + (z * z).sum(1) - 2 * x @ z.T
    return squares.clamp(min=0).numpy() / a.shape[1]


class Compared:
    """Differences between views of the cells of one split.

    Args:
        features: by view, of all cells.
        train: positions of the training cells, whose first view standardizes all.
        test: of those to test on.
    """

    def __init__(
        self, features: dict[str, np.ndarray], train: np.ndarray, test: np.ndarray
    ) -> None:
        first = next(iter(features.values()))[train]
        mean, deviation = first.mean(0), first.std(0) + 1e-6
        scaled = {
            view: np.clip((x - mean) / deviation, -LIMIT, LIMIT).astype(np.float32)
            for view, x in features.items()
        }
        self.pairs = {
            (a, b): (
                differences(scaled[a][train], scaled[b][train]),
                differences(scaled[a][test], scaled[b][train]),
            )
            for a in features
            for b in features
        }

    def similarity(self, views: tuple[str, ...], part: int, gamma: float) -> np.ndarray:
        """The kernel of training (0) or test cells (1) and training cells, averaged over views."""
        kernels = [np.exp(-gamma * self.pairs[a, b][part]) for a in views for b in views]
        return sum(kernels) / len(kernels)


def left_out_area(
    values: np.ndarray, vectors: np.ndarray, targets: np.ndarray, ridge: float
) -> float:
    """ROC AUC of kernel ridge regression on each cell, fitted to the others."""
    centred = targets - targets.mean()
    inverse = 1 / (values.clip(0) + ridge)
    errors = (vectors @ (inverse * (vectors.T @ centred))) / (vectors**2 @ inverse)
    return roc_auc_score(targets > 0, centred - errors)


def judge(
    kernels: dict[float, tuple[np.ndarray, np.ndarray]], y: np.ndarray, truth: np.ndarray, seed: int
) -> dict[str, float]:
    """A design's figures in cross-validation and on the test cells."""
    best = None
    for gamma, (similar, _) in kernels.items():
        found = torch.linalg.eigh(torch.from_numpy(similar.astype(np.float64)))
        values, vectors = (part.numpy() for part in found)
        area = max(left_out_area(values, vectors, 2.0 * y - 1, ridge) for ridge in RIDGES)
        if best is None or area > best[0]:
            best = area, gamma, values, vectors
    _, gamma, values, vectors = best
    kept = values > 1e-7 * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    x, z = vectors * np.sqrt(values), kernels[gamma][1] @ (vectors / np.sqrt(values))
    logits = np.zeros(len(y))
    for fitted, held_out in StratifiedKFold(5, shuffle=True, random_state=seed).split(x, y):
        layer = LogisticRegression(C=REGULARIZATION, max_iter=500).fit(x[fitted], y[fitted])
        logits[held_out] = layer.decision_function(x[held_out])
    tested = LogisticRegression(C=REGULARIZATION, max_iter=500).fit(x, y).decision_function(z)
    return {
        "gamma": gamma,
        "cv log loss": log_loss(y, 1 / (1 + np.exp(-logits))),
        "cv accuracy": ((logits > 0) == y).mean(),
        "cv AUC": roc_auc_score(y, logits),
        "accuracy": ((tested > 0) == truth).mean(),
        "AUC": roc_auc_score(truth, tested),
    }


def split_figures(
    seed: int, labels: np.ndarray, views: dict[str, np.ndarray], sets: dict[str, np.ndarray]
) -> dict[tuple[str, int, str | None], dict[str, float]]:
    """Of each design on one split."""
    train, test = train_test_split(
        np.arange(len(labels)), test_size=NUM_TEST, stratify=labels.tolist(), random_state=seed
    )
    y, truth = labels[train] == "defective", labels[test] == "defective"
    found = {}
    compared = {
        name: Compared(
            {view: views[view][:, chosen] for view in VIEWS[: 4 if name == "late blocks" else 1]},
            train,
            test,
        )
        for name, chosen in sets.items()
    }
    sizes = {
        size: Compared({size: views[size][:, sets["late blocks"]]}, train, test)
        for size in ("400_0", "224_0")
    }
    for design in DESIGNS:
        name, count, size = design
        kernels = {}
        for gamma in GAMMAS:
            pair = [compared[name].similarity(VIEWS[:count], part, gamma) for part in (0, 1)]
            if size is not None:
                other = [sizes[size].similarity((size,), part, gamma) for part in (0, 1)]
                pair = [(a + b) / 2 for a, b in zip(pair, other, strict=True)]
            kernels[gamma] = pair[0], pair[1]
        found[design] = judge(kernels, y, truth, seed)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, *range(1000, 1008)])
    parser.add_argument("--features", type=Path)
    arguments = parser.parse_args()
    labels = np.array([item.label for item in open_source("sample:solar-cells").listing.items])
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.features or Path(temporary)
        views = {view: features_of(view, folder) for view in (*VIEWS, "400_0", "224_0")}
        rows, chosen = [], []
        for seed in arguments.seeds:
            rows.append(split_figures(seed, labels, views, columns()))
            best = min(DESIGNS, key=lambda design: rows[-1][design]["cv log loss"])
            chosen.append(best)
            figures = {name: round(float(v), 4) for name, v in rows[-1][best].items()}
            print(json.dumps({"seed": seed, "chosen": best, **figures}), flush=True)
    for design in DESIGNS:
        means = {name: np.mean([row[design][name] for row in rows]) for name in rows[0][design]}
        print(design, {name: round(float(value), 4) for name, value in means.items()})
    for name in ("accuracy", "AUC"):
        values = [row[design][name] for row, design in zip(rows, chosen, strict=True)]
        print(f"chosen in cross-validation, {name}: {np.mean(values):.4f} ± {np.std(values):.4f}")
    print(Counter(chosen))


if __name__ == "__main__":
    main()
