"""Items unlike the others of their class, by distances in frozen features."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float, Int

NEIGHBOURS: Final = 5
"""Items of the own class to which the distance is taken."""

LEAST: Final = 20
"""Items of a class from which on it is known what is usual in it."""

DEVIATIONS: Final = 6.0
"""Robust standard deviations above the usual distance from which on an item is odd."""

_COMPONENTS: Final = 50
_ROWS: Final = 1024


def odd_items(
    features: Float[np.ndarray, "n f"], labels: Int[np.ndarray, " n"]
) -> list[tuple[int, float]]:
    """The positions of odd items and how odd each is, the oddest first.

    An item is odd whose mean distance to its nearest neighbours of the same class is far above
    what is usual in the class. How odd it is counts robust standard deviations (1.4826 times the
    median absolute deviation) of the logarithm of the distance.

    Args:
        features: Features of the items; their largest principal components are compared.
        labels: Numbers of their classes.
    """
    compared = _principal(features)
    scores = np.zeros(len(features))
    for label in np.unique(labels):
        inside = np.flatnonzero(labels == label)
        if len(inside) < LEAST:
            continue
        distance = np.log(_to_neighbours(compared[inside]) + 1e-12)
        median = np.median(distance)
        spread = 1.4826 * np.median(np.abs(distance - median))
        scores[inside] = (distance - median) / max(spread, 1e-9)
    ranked = np.argsort(-scores, kind="stable")
    return [(int(i), round(float(scores[i]), 3)) for i in ranked if scores[i] >= DEVIATIONS]


def _principal(features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n c"]:
    """The items in the components in which they differ most.

    Source: Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011, as
    scikit-learn has it: all components of ten thousand features would take minutes.
    """
    from sklearn.utils.extmath import randomized_svd  # slow to import

    spread = features.std(0)
    standard = (features - features.mean(0)) / np.where(spread > 0, spread, 1)
    count = min(_COMPONENTS, *standard.shape)
    _, _, axes = randomized_svd(standard, n_components=count, random_state=0)
    components: Float[np.ndarray, "n c"] = standard @ axes.T
    return components


def _to_neighbours(items: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
    """(items,) The mean distance to the nearest others."""
    squares = np.square(items).sum(1)
    found = []
    for start in range(0, len(items), _ROWS):
        rows = items[start : start + _ROWS]
        distances = squares[start : start + _ROWS, None] + squares - 2 * rows @ items.T
        distances[np.arange(len(rows)), start + np.arange(len(rows))] = np.inf
        nearest = np.partition(distances, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
        found.append(np.sqrt(np.maximum(nearest, 0)).mean(1))
    return np.concatenate(found)
