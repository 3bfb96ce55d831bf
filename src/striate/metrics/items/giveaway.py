"""Figures that say nothing of what an item shows, and yet tell its class."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

MIN_ACCURACY: Final = 0.9
"""The least balanced accuracy, 0.5 for a guess, by which a figure gives a class away."""

_FOLDS: Final = 5
_LEAST_OF_CLASS: Final = 10
_LEAVES_OF_CLASS: Final = 2
_LEAST_LEAF: Final = 3


@dataclass(frozen=True, kw_only=True)
class GiveAway:
    """A figure by which alone a class can be told from all others.

    Attributes:
        trait: Name of the figure.
        label: Number of the class.
        accuracy: Cross-validated balanced accuracy of a tree that knows this figure alone: the mean
            of the share of the class that it finds and of the share of the others that it leaves.
    """

    trait: str
    label: int
    accuracy: float


def giveaways(
    traits: Mapping[str, Float[np.ndarray, " n"]],
    labels: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    *,
    seed: int,
) -> list[GiveAway]:
    """The figures that tell a class, the most telling first; copies are never on both sides.

    Args:
        traits: Figures of all items by name; NaN where an item has none.
        labels: Numbers of the classes.
        groups: Items that are copies of each other share a number.
        seed: Seed of the folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    counts = np.bincount(labels)
    kept = np.flatnonzero(counts[labels] >= _LEAST_OF_CLASS)
    present = np.unique(labels[kept])
    if len(present) < 2:
        return []
    tree = DecisionTreeClassifier(
        max_leaf_nodes=_LEAVES_OF_CLASS * len(present) + 1,
        min_samples_leaf=_LEAST_LEAF,
        class_weight="balanced",
        random_state=0,
    )
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    found = []
    for name, values in traits.items():
        column = values[kept][:, None]
        if len(np.unique(column[np.isfinite(column)])) < 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fold may lack a class whose items are all copies
            told = cross_val_predict(tree, column, labels[kept], groups=groups[kept], cv=folds)
        # Of two classes, what gives one away gives the other away.
        for label in present.tolist() if len(present) > 2 else present[-1:].tolist():
            own, taken = labels[kept] == label, told == label
            accuracy = float((taken[own].mean() + (~taken[~own]).mean()) / 2)
            if accuracy >= MIN_ACCURACY:
                found.append(GiveAway(trait=name, label=label, accuracy=accuracy))
    return sorted(found, key=lambda one: -one.accuracy)
