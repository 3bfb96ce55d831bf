"""'None of these': can a classifier tell that an item is of no class it knows?

    python benchmarks/none_of_these.py [--sets NAME ...] [--features FOLDER] [--classes 10]

In turn each class (up to `--classes` of a set) is left out of the training of a probe on frozen
features, and has to be told from held-out items of the classes that are known. Printed for each
set and method: the area under the ROC curve, and the shares of known and of unknown items beyond
the threshold that is to flag 5 % of the known, each the mean over the classes left out.

Images: scikit-learn's digits, letters in the system's fonts (slightly turned, moved and scaled),
and textures cut from scikit-image's pictures. Series: samples of aeon. Volumes: synthetic ones.
The features are those of `striate fit --method probe` on the whole set: what depends on the data in
them are the biases of MiniRocket alone. Half of the items of the known classes are learnt from, a
fifth gives the thresholds, the rest are the known items of the test; Striate's detector takes its
threshold from the items that it compares with, and so needs no others (both parts are given to it).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import striate
from striate.data.layouts.layout import open_source
from striate.data.source import Reading
from striate.metrics.novelty import FeaturedItems, fit_novelty, unit_length

TEXTURES = (
    "brick.png", "grass.png", "gravel.png", "ihc.png", "coins.png", "page.png",
    "hubble_deep_field.jpg", "moon.png", "retina.jpg", "coffee.png",
)  # fmt: skip
LETTERS = "ABCDEFGHKR"
NUM_DIGITS, NUM_CROPS, CROP_SIDE = 1000, 70, 64
SAMPLES = ("osu-leaf", "japanese-vowels", "basic-motions", "pickup-gesture", "synthetic-volumes")


def digits() -> Iterator[tuple[str, Image.Image]]:
    from sklearn.datasets import load_digits

    found = load_digits()
    for pixels, label in zip(found.images[:NUM_DIGITS], found.target, strict=False):
        yield str(label), Image.fromarray((pixels * 15).astype(np.uint8))


def letters() -> Iterator[tuple[str, Image.Image]]:
    rng = np.random.default_rng(0)
    fonts = sorted(Path("/usr/share/fonts").rglob("*.ttf"))
    for letter in LETTERS:
        for font in [font for font in fonts for _ in range(2)]:
            image = Image.new("L", (64, 64), 255)
            place = 32 + rng.integers(-5, 6, 2)
            made = ImageFont.truetype(str(font), int(rng.integers(30, 50)))
            ImageDraw.Draw(image).text(tuple(place), letter, font=made, fill=0, anchor="mm")
            yield letter, image.rotate(float(rng.uniform(-8, 8)), fillcolor=255)


def textures() -> Iterator[tuple[str, Image.Image]]:
    import skimage

    rng = np.random.default_rng(0)
    for name in TEXTURES:
        image = Image.open(Path(skimage.__file__).parent / "data" / name).convert("L")
        for _ in range(NUM_CROPS):
            left, top = (int(rng.integers(0, side - CROP_SIDE)) for side in image.size)
            yield name, image.crop((left, top, left + CROP_SIDE, top + CROP_SIDE))


PICTURES: dict[str, Callable[[], Iterator[tuple[str, Image.Image]]]] = {
    "digits": digits,
    "letters": letters,
    "textures": textures,
}


def features_of(name: str, folder: Path) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Features and labels of a set, kept in a file of the folder."""
    path = folder / f"{name}.npz"
    if not path.is_file():
        with tempfile.TemporaryDirectory() as work:
            data = f"sample:{name}"
            if name in PICTURES:
                data = f"{work}/data"
                for number, (label, image) in enumerate(PICTURES[name]()):
                    (Path(data) / label).mkdir(parents=True, exist_ok=True)
                    image.save(Path(data) / label / f"{number}.png")
            run = striate.fit(data, out=f"{work}/run", method="probe", time="10m", progress=print)
            source = open_source(data)
            pairs = [
                (item.label, reading)
                for item, reading in run.read(source, source.listing.items)
                if isinstance(reading, Reading)
            ]
            parts = run.predictor.parts(reading for _, reading in pairs)
            features = torch.cat([part.features for part in parts]).numpy()
            np.savez(path, X=features, L=np.array([label for label, _ in pairs]))
    stored = np.load(path)
    return stored["X"], stored["L"]


def distance(items: NDArray, known: NDArray, neighbour: int) -> NDArray[np.float64]:
    squared = np.square(items).sum(1)[:, None] + np.square(known).sum(1) - 2 * items @ known.T
    return np.sqrt(np.partition(squared, neighbour - 1, 1)[:, neighbour - 1].clip(0))


def mahalanobis(rows: NDArray, centres: NDArray, spread: NDArray) -> NDArray[np.float64]:
    """Squared distance from the nearest centre, under a shrunk covariance of the spread."""
    values, turns = np.linalg.eigh(ledoit_wolf(spread, assume_centered=True)[0])
    whitening = turns / np.sqrt(values)
    apart = (rows @ whitening)[:, None] - (centres @ whitening)[None]
    return np.square(apart).sum(2).min(1)


def strangeness(X: NDArray, learnt: NDArray, labels: NDArray) -> dict[str, NDArray[np.float64]]:
    """Of every item by each method of the literature, of features and labels that were learnt."""
    mean, std = X[learnt].mean(0), X[learnt].std(0) + 1e-6
    standardized = (X - mean) / std
    model = LogisticRegression(C=0.01, max_iter=200).fit(standardized[learnt], labels)
    logits = model.decision_function(standardized)
    energy = -np.logaddexp.reduce(logits, axis=1)
    direct = unit_length(X)
    rows = unit_length(standardized)
    rows = rows - rows[learnt].mean(0)
    axes = np.linalg.svd(rows[learnt], full_matrices=False)[2][:128]
    along = rows @ axes.T
    numbers = np.unique(labels, return_inverse=True)[1]
    centres = np.stack([along[learnt][numbers == k].mean(0) for k in range(numbers.max() + 1)])
    own = mahalanobis(along, centres, along[learnt] - centres[numbers])
    whole = mahalanobis(along, along[learnt].mean(0, keepdims=True), along[learnt])
    main = np.linalg.svd(standardized[learnt], full_matrices=False)[2][:64]
    residual = np.linalg.norm(standardized - standardized @ main.T @ main, axis=1)
    scale = logits[learnt].max(1).mean() / residual[learnt].mean()
    return {
        "1 - max probability": 1 - model.predict_proba(standardized).max(1),
        "energy": energy,
        "nearest neighbour": distance(direct, direct[learnt], 1),
        "fifth neighbour": distance(direct, direct[learnt], 5),
        "Mahalanobis": own,
        "relative Mahalanobis": own - whole,
        "ViM": scale * residual + energy,
    }


def judged(X: NDArray, labels: NDArray, left_out: str) -> dict[str, tuple[float, float, float]]:
    """Area, share of known and share of unknown items flagged, by method."""
    rng = np.random.default_rng(1)
    parts: list[list[int]] = [[], [], []]
    for name in np.unique(labels[labels != left_out]):
        own = rng.permutation(np.flatnonzero(labels == name))
        ends = [int(0.5 * len(own)), int(0.7 * len(own))]
        for part, chosen in zip(parts, np.split(own, ends), strict=True):
            part.extend(chosen.tolist())
    learnt, held, known = map(np.array, parts)
    unknown = np.flatnonzero(labels == left_out)
    found = {}

    def add(name: str, scores: NDArray, threshold: float) -> None:
        truth = np.repeat([0, 1], [len(known), len(unknown)])
        area = roc_auc_score(truth, scores[np.concatenate([known, unknown])])
        shares = [float((scores[which] > threshold).mean()) for which in (known, unknown)]
        found[name] = (float(area), *shares)

    for name, scores in strangeness(X.astype(np.float64), learnt, labels[learnt]).items():
        add(name, scores, float(np.quantile(scores[held], 0.95)))
    both = np.concatenate([learnt, held])
    detector = fit_novelty(FeaturedItems(features=X[both], groups=both, strata=labels[both]))
    assert detector is not None
    add("Striate", detector.novelty(X), 0.0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", default=[*PICTURES, *SAMPLES])
    parser.add_argument("--features", type=Path, help="folder to keep features in")
    parser.add_argument("--classes", type=int, default=10, help="classes to leave out of each set")
    arguments = parser.parse_args()
    folder = arguments.features or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    table: dict[str, list[NDArray[np.float64]]] = {}
    for name in arguments.sets:
        X, labels = features_of(name, folder)
        rows = [judged(X, labels, c) for c in np.unique(labels)[: arguments.classes]]
        for method in rows[0]:
            figures = np.mean([row[method] for row in rows], 0)
            table.setdefault(method, []).append(figures)
            print(f"| {name} | {method} | {' | '.join(f'{f:.3f}' for f in figures)} |", flush=True)
    print("| method |", " | ".join(arguments.sets), "| mean | known flagged |")
    for method, figures in table.items():
        areas = " | ".join(f"{figure[0]:.3f}" for figure in figures)
        means = np.mean(figures, 0)
        print(f"| {method} | {areas} | {means[0]:.3f} | {means[1]:.3f} |")


if __name__ == "__main__":
    main()
