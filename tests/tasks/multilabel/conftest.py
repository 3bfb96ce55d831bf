import csv

import numpy as np
import pytest
from PIL import Image

from striate.report import EvaluatedItems
from striate.tasks.multilabel.scoring import LabelCalibration

LABELS = ("bar", "disc", "square")


@pytest.fixture
def answers():
    """A function: probabilities, decisions and truth of items with labels of different frequency."""

    def make(num_items=200, num_labels=4, seed=0, ties=False):
        rng = np.random.default_rng(seed)
        truth = rng.random((num_items, num_labels)) < np.linspace(0.1, 0.6, num_labels)
        scores = 1 / (1 + np.exp(-rng.normal(2.0 * truth - 1, 1.2)))
        probabilities = np.round(scores, 1) if ties else scores
        return probabilities, probabilities >= np.linspace(0.3, 0.6, num_labels), truth

    return make


@pytest.fixture
def make_labelled(make_inputs):
    """Facts and test items of a made-up run of several labels."""

    def make(num_items=120, signal=2.0, test=None, **facts):
        rng = np.random.default_rng(0)
        truth = rng.random((num_items, 3)) < (0.5, 0.3, 0.2)
        items = {
            "ids": [f"{i}.png" for i in range(num_items)],
            "truth": truth,
            "outputs": rng.normal(signal * (truth - 0.5), 1.0),
            "calibration": LabelCalibration(
                scale=(1.5, 1.0, 0.5), bias=(0.0, -0.5, 0.1), thresholds=(0.5, 0.4, 0.3)
            ),
            "constant": truth.mean(0),
        }
        made, _ = make_inputs(classes=LABELS, num_items=num_items, **facts)
        return made, EvaluatedItems(**(items | (test or {})))

    return make


@pytest.fixture(scope="session")
def manifest(tmp_path_factory, own_cache):
    """A manifest of small pictures that show a bar, a disc and a square, some of them or none."""
    root = tmp_path_factory.mktemp("several")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48]
    rows = [("path", "labels")]
    for number in range(90):
        has = rng.random(3) < (0.4, 0.5, 0.35)
        pixels = rng.integers(0, 90, (48, 48, 3)).astype(np.uint8)
        column, row = rng.integers(12, 36, 2)
        if has[0]:
            pixels[:, column - 8 : column - 4] = (60, 220, 60)
        if has[1]:
            pixels[(x - row) ** 2 + (y - column) ** 2 < 64] = (230, 60, 60)
        if has[2]:
            pixels[row - 10 : row, column : column + 10] = (70, 70, 240)
        Image.fromarray(pixels).save(root / f"{number}.png")
        rows.append(
            (f"{number}.png", "|".join(n for n, there in zip(LABELS, has, strict=True) if there))
        )
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root / "manifest.csv"


@pytest.fixture(scope="session")
def labelled_run(manifest, tmp_path_factory):
    """A finished run of several labels by method probe."""
    import striate

    out = tmp_path_factory.mktemp("runs") / "labels"
    return striate.fit(manifest, out=out, method="probe", image_size=48, device="cpu")
