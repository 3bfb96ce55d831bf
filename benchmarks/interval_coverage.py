"""How often the 95 % intervals of a report's figures hold the truth, over simulated test sets.

    python benchmarks/interval_coverage.py [--test-sets 500]

Of each law `--test-sets` sets of items are drawn; the true figures are those of 400,000 other items.
93 to 97 % are wanted. Classes: a classifier of normal logits that is right in about 60 to 95 % of
cases. Numbers: predictions with normal errors, and with errors that grow with the number.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from striate.metrics.classification import METRICS, evaluate, metric_values
from striate.metrics.regression import evaluate_regression, regression_values

NUM_TRUE = 400_000
CLASS_LAWS = [(200, 2, 1.0), (200, 5, 2.5), (1000, 2, 1.0), (1000, 5, 2.5), (2000, 3, 4.0)]
"""Items, classes, and how far the logit of the true class is raised."""

NUMBER_LAWS = [(200, False), (200, True), (1000, False), (1000, True)]
"""Items, and whether errors grow with the number."""


def classes(count: int, num_classes: int, signal: float, seed: int) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % num_classes)
    logits = rng.normal(size=(count, num_classes)) * signal**0.5
    logits[np.arange(count), labels] += signal
    told = np.exp(logits)
    return told / told.sum(1, keepdims=True), labels


def numbers(count: int, growing: bool, seed: int) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    targets = rng.gamma(4.0, 1.0, count)
    return targets + rng.normal(size=count) * (0.3 * targets if growing else 1.0), targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--test-sets", type=int, default=500)
    count = parser.parse_args().test_sets
    print(f"| items | classes | accuracy | {' | '.join(METRICS)} |")
    for law in CLASS_LAWS:
        truth = metric_values(*classes(NUM_TRUE, *law[1:], 10**6))
        held = dict.fromkeys(METRICS, 0)
        for seed in range(count):
            found = evaluate(*classes(*law, seed), num_resamples=400).metrics
            for name in METRICS:
                low, high = found[name].ci95 or (np.nan, np.nan)
                held[name] += bool(low <= truth[name][0] <= high)
        right = f"{truth['accuracy'][0]:.3f}"
        print(
            f"| {law[0]} | {law[1]} | {right} | {' | '.join(map(str, held.values()))} |", flush=True
        )
    for law in NUMBER_LAWS:
        truth = regression_values(*numbers(NUM_TRUE, law[1], 10**6), np.ones((NUM_TRUE, 1)))
        held = dict.fromkeys(truth, 0)
        for seed in range(count):
            found = evaluate_regression(*numbers(*law, seed), num_resamples=400)
            for name in truth:
                low, high = found[name].ci95 or (np.nan, np.nan)
                held[name] += bool(low <= truth[name][0] <= high)
        print(f"numbers: {law}: {held}", flush=True)


if __name__ == "__main__":
    main()
