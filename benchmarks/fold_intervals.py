"""How often intervals of a cross-validation hold the error of the final model.

    python benchmarks/fold_intervals.py

Ridge classifiers of two normal classes, whose true error is known in closed form. A plain interval
is Wilson's of the pooled items; the others are so many times as wide. Nadeau and Bengio's own
interval, from the spread of the folds and Student's t, stands last.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import norm, t

from striate.metrics.intervals import Estimate, fold_widening, share_estimate, widened

SETTINGS = [(60, 5), (60, 30), (200, 5), (200, 50), (1000, 50)]
"""Items and features."""


def fitted(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The weights of a ridge classifier."""
    return np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ labels)


def holds(figure: Estimate, error: float) -> bool:
    """Whether an interval holds an error."""
    low, high = figure.ci95 or (0.0, 1.0)
    return low <= error <= high


def trial(
    num_items: int, num_features: int, num_folds: int, rng: np.random.Generator
) -> list[bool]:
    """Whether each interval holds the error of the final model, once."""
    centre = np.zeros(num_features)
    centre[0] = 0.6
    labels = np.repeat([-1.0, 1.0], num_items // 2)
    x = rng.normal(size=(num_items, num_features)) + labels[:, None] * centre
    fold = rng.permutation(num_items) % num_folds
    wrong = np.empty(num_items)
    for k in range(num_folds):
        inside = fold == k
        weights = fitted(x[~inside], labels[~inside])
        wrong[inside] = np.sign(x[inside] @ weights) != labels[inside]
    final = fitted(x, labels)
    error = float(norm.cdf(-(final @ centre) / np.linalg.norm(final)))
    plain = share_estimate(float(wrong.mean()), np.arange(num_items))
    factors = (1.0, 1.25, fold_widening(num_folds))
    found = [holds(widened(plain, factor, 0.0, 1.0), error) for factor in factors]
    spread = np.std([wrong[fold == k].mean() for k in range(num_folds)], ddof=1)
    half = t.ppf(0.975, num_folds - 1) * spread * np.sqrt(1 / num_folds + 1 / (num_folds - 1))
    return [*found, bool(abs(error - wrong.mean()) <= half)]


def main() -> None:
    """Print a table of the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    trials = parser.parse_args().trials
    print("| folds | items | features | plain | 1.25 | Striate | Nadeau and Bengio, t |")
    print("|---|---|---|---|---|---|---|")
    for num_folds in (5, 10):
        for num_items, num_features in SETTINGS:
            rng = np.random.default_rng(0)
            rows = [trial(num_items, num_features, num_folds, rng) for _ in range(trials)]
            shares = " | ".join(f"{share:.3f}" for share in np.mean(rows, axis=0))
            print(f"| {num_folds} | {num_items} | {num_features} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
