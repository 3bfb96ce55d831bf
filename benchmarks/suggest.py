"""What to label next: do suggested items teach a probe more than random ones?

    python benchmarks/suggest.py [--sets pixels digits textures ...] [--features FOLDER]
                                 [--seeds 10] [--first 30] [--count 30] [--rounds 4]

Half of each set is the test. Of the other half `--first` random items have labels; a logistic
regression learns from them, `--count` items are chosen, labelled and added, and so on. Printed is
the accuracy on the test after each round, the mean over the seeds, by each way to choose: at random
(what `suggest` must beat), the smallest lead of the first class (margin), k-means++ on gradients
(BADGE), and the way of `striate suggest`; then the mean gain of the latter over random with a 95 %
interval over the seeds.

The features are those of `none_of_these.py`, of the network that `striate fit --method probe` takes
for the set; "pixels" are scikit-learn's digits as 64 numbers, "cancer" and "wine" its tables.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
from none_of_these import PICTURES, SAMPLES, features_of
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from striate.metrics.unlabelled.diverse import diverse, doubt_of_classes, projected

TABLES = {"pixels": load_digits, "cancer": load_breast_cancer, "wine": load_wine}
WAYS = ("random", "margin", "BADGE", "striate suggest")
MAX_ITEMS = 2000


def loaded(name: str, folder: Path) -> tuple[NDArray, NDArray]:
    """Features and class numbers of a set."""
    if name in TABLES:
        X, labels = TABLES[name](return_X_y=True)
    else:
        X, labels = features_of(name, folder)
    return X.astype(np.float64)[:MAX_ITEMS], np.unique(labels, return_inverse=True)[1][:MAX_ITEMS]


def badge(X: NDArray, P: NDArray, count: int, rng: np.random.Generator) -> NDArray:
    """Ash et al. 2020: k-means++ on gradients, which are products of features and doubt."""
    doubt = -P.copy()
    doubt[np.arange(len(P)), P.argmax(1)] += 1
    lengths = np.square(X).sum(1) * np.square(doubt).sum(1)
    nearest, chosen = lengths + 1e-12, []
    for _ in range(min(count, len(X))):
        chosen.append(int(rng.choice(len(X), p=nearest / nearest.sum())))
        place = chosen[-1]
        inner = (X @ X[place]) * (doubt @ doubt[place])
        nearest = np.minimum(nearest, np.maximum(lengths + lengths[place] - 2 * inner, 1e-12))
    return np.unique(chosen)


def chosen(way: str, X: NDArray, P: NDArray, count: int, seed: int) -> NDArray:
    rng = np.random.default_rng(seed)
    if way == "random":
        return rng.permutation(len(X))[:count]
    if way == "margin":
        return np.argsort(-doubt_of_classes(P), kind="stable")[:count]
    if way == "BADGE":
        return badge(projected(X), P, count, rng)
    return diverse(projected(X), doubt_of_classes(P), count, seed=seed).positions


def curve(
    X: NDArray, labels: NDArray, way: str, seed: int, first: int, count: int, rounds: int
) -> list[float]:
    """Accuracy on the test half before and after each round."""
    order = np.random.default_rng(seed).permutation(len(X))
    test, pool = np.split(order, [len(order) // 2])
    known, accuracies = list(pool[:first]), []
    for step in range(rounds + 1):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01 if X.shape[1] > 100 else 1.0, max_iter=300))  # fmt: skip
        model.fit(X[known], labels[known])
        accuracies.append(float(model.score(X[test], labels[test])))
        rest = np.setdiff1d(pool, known)
        if not len(rest):
            break
        P = np.zeros((len(rest), labels.max() + 1))
        P[:, model.classes_] = model.predict_proba(X[rest])
        scaled = model[0].transform(X[rest])
        known += rest[chosen(way, scaled, P, min(count, len(rest)), 100 * seed + step)].tolist()
    return accuracies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", default=[*TABLES, *PICTURES, *SAMPLES])
    parser.add_argument("--features", type=Path, help="folder to keep features in")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=30)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = arguments.features or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    settings = (arguments.first, arguments.count, arguments.rounds)
    for name in arguments.sets:
        X, labels = loaded(name, folder)
        found = {
            way: np.array([curve(X, labels, way, s, *settings) for s in range(arguments.seeds)])
            for way in WAYS
        }
        for way, curves in found.items():
            print(f"| {name} | {way} | {' | '.join(f'{a:.3f}' for a in curves.mean(0))} |")
        gains = (found[WAYS[-1]] - found["random"])[:, 1:].mean(1)
        error = 1.96 * gains.std(ddof=1) / len(gains) ** 0.5
        print(f"{name}: gain over random {gains.mean():+.4f} +- {error:.4f}", flush=True)


if __name__ == "__main__":
    main()
