"""`compare`: how often is a true difference found, and how often one between two seeds of a recipe?

    python benchmarks/compare.py [--trials 1000] [--pairs 100] [--items 2000] [--seed 0]

First, made answers: two classifiers of which the second is right 3 points more often, on `--items`
items. How often McNemar's test finds that depends on the share of items on which just one of the two
is right, so that several shares are gone through. With no difference at all the same share is drawn,
to see the level.

Then recipes: small networks (scikit-learn's `MLPClassifier`, 64 hidden units) learn from 1,000 items
of ten normal classes, twice with other seeds, and a third time from half of the items, which costs
some points. Each trial draws other classes, other items and other seeds, and compares on `--items` new
items; 100,000 further items tell what the true difference is. Printed is how often `compare`'s test
tells the networks apart at a level of 5 % and of 1 %.
"""

from __future__ import annotations

import argparse
import warnings
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from striate.metrics.paired import mcnemar

LEVELS = (0.05, 0.01)
NUM_CLASSES, NUM_FEATURES = 10, 20
NUM_LEARNT, NUM_TRUE = 1000, 100_000
SHARES = (0.05, 0.08, 0.10, 0.12, 0.14, 0.20)


@cache
def p_value(only_first: int, only_second: int) -> float:
    return mcnemar(only_first, only_second)


def found(difference: float, share: float, items: int, trials: int, seed: int) -> NDArray[np.int64]:
    """Trials in which the difference is found at each level."""
    rng = np.random.default_rng(seed)
    first, second = (share - difference) / 2, (share + difference) / 2
    counts = rng.multinomial(items, [first, second, 1 - share], size=trials)
    values = np.array([p_value(int(a), int(b)) for a, b, _ in counts])
    better = counts[:, 1] > counts[:, 0]
    return np.array([((values <= level) & (better | (difference == 0))).sum() for level in LEVELS])


def recipes(items: int, seed: int) -> list[tuple[float, float, float]]:
    """The p-value, the share of items on which one alone is right, and the true difference.

    The first pair is of one recipe with two seeds, the second of a recipe and a poorer one.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(NUM_CLASSES, NUM_FEATURES)) * 0.75

    def drawn(count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        labels = rng.integers(NUM_CLASSES, size=count)
        return centres[labels] + rng.normal(size=(count, NUM_FEATURES)), labels

    learnt, new, true = drawn(NUM_LEARNT), drawn(items), drawn(NUM_TRUE)
    right = []
    for number, count in ((0, NUM_LEARNT), (1, NUM_LEARNT), (2, NUM_LEARNT // 2)):
        network = MLPClassifier((64,), max_iter=40, random_state=10 * seed + number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(learnt[0][:count], learnt[1][:count])
        right.append([network.predict(part[0]) == part[1] for part in (new, true)])
    rows = []
    for first, second in ((right[0], right[1]), (right[2], right[0])):
        only = [int((a & ~b).sum()) for a, b in ((first[0], second[0]), (second[0], first[0]))]
        true_difference = float(second[1].mean() - first[1].mean())
        rows.append((p_value(*only), sum(only) / items, true_difference))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(
        "| only one right | trials | 3 points found at 5 % | at 1 % | none: told apart at 5 % | at 1 % |"
    )
    for share in SHARES:
        counts = [
            count
            for difference in (0.03, 0.0)
            for count in found(difference, share, given.items, given.trials, given.seed)
        ]
        print(f"| {share:.2f} | {given.trials} | {' | '.join(map(str, counts))} |", flush=True)
    pairs = np.array([recipes(given.items, given.seed + k) for k in range(given.pairs)])
    for name, rows in (("two seeds", pairs[:, 0]), ("half of the items", pairs[:, 1])):
        told = [int((rows[:, 0] <= level).sum()) for level in LEVELS]
        print(
            f"{name}: {len(rows)} pairs; only one right {rows[:, 1].mean():.3f}; true difference "
            f"{rows[:, 2].mean():+.4f}, deviation {rows[:, 2].std():.4f}; told apart at 5 %: "
            f"{told[0]}, at 1 %: {told[1]}"
        )


if __name__ == "__main__":
    main()
