"""Which items to label next: those that a model is in doubt about, and no two alike.

Axes: n items, f features, h features after projection, c items that are chosen.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

NUM_AXES: Final = 128
"""Directions that features are projected onto; distances are kept to about a tenth."""

CHOICE: Final = 10
"""Items of which one is chosen: the most doubtful ten times as many as are wanted."""

_LEAST: Final = 1e-3
"""Weight of an item without doubt, so that no cluster is empty."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Items that stand for all of their kind.

    Attributes:
        positions: Positions of the items, those with the most doubt around them first.
        similar: Number of items that each of them stands for, itself among them.
    """

    positions: Int[np.ndarray, " c"]
    similar: Int[np.ndarray, " c"]


def projected(features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n h"]:
    """Features along `NUM_AXES` random directions, scaled to length 1; as they are where fewer.

    Source: Achlioptas, "Database-friendly random projections", J. Comput. Syst. Sci. 66, 2003.
    """
    width = features.shape[1]
    rows = np.asarray(features, np.float32)
    if width > NUM_AXES:
        signs = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (width, NUM_AXES))
        rows = rows @ signs / np.float32(NUM_AXES**0.5)
    lengths = np.sqrt(np.square(rows).sum(1, keepdims=True))
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))


def doubt_of_classes(probabilities: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """One minus the lead of the most probable class before the next: 1 where both are alike."""
    if probabilities.shape[1] < 2:
        return np.asarray(1 - np.abs(2 * probabilities[:, 0] - 1))
    best = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(1 - (best[:, 1] - best[:, 0]))


def doubt_of_labels(probabilities: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Of items that have each label or not: how close the least sure label is to even chances."""
    return np.asarray(1 - np.abs(2 * probabilities - 1).min(1))


def diverse(
    features: Float[np.ndarray, "n h"],
    doubt: Float[np.ndarray, " n"],
    count: int,
    *,
    seed: int = 0,
) -> Chosen:
    """Items to label: of the most doubtful ones, one for each group of similar ones.

    The `CHOICE` times `count` most doubtful items are divided by k-means, each weighing as much as
    its doubt, and the item that is nearest to the middle of each cluster is chosen.

    Source: Zhdanov, "Diverse mini-batch active learning", 2019.

    Args:
        features: Features of the items; see `projected`.
        doubt: How much in doubt the model is about each item, from 0 to 1.
        count: Number of items, 1 or more; fewer are chosen where there are fewer distinct ones.
        seed: Seed of the clusters.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    # Among items of one doubt chance decides, and not the order in which they came.
    chance = np.random.default_rng(seed).random(len(doubt))
    kept = np.lexsort((chance, -doubt))[: CHOICE * count]
    if not len(kept):
        return Chosen(positions=kept, similar=kept)
    rows, weights = features[kept], np.maximum(doubt[kept], _LEAST)
    means = KMeans(min(count, len(kept)), n_init=1, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct items than clusters
        cluster = means.fit_predict(rows, sample_weight=weights)
    apart = np.square(rows - means.cluster_centers_[cluster]).sum(1)
    order = np.lexsort((apart, cluster))
    first = np.unique(cluster[order], return_index=True)[1]
    nearest, sizes = order[first], np.bincount(cluster)
    total = np.bincount(cluster, weights)
    ranked = np.argsort(-total[cluster[nearest]], kind="stable")
    return Chosen(positions=kept[nearest[ranked]], similar=sizes[cluster[nearest[ranked]]])


def foremost(keys: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Positions of the `count` largest of some numbers, ascending."""
    return np.sort(np.argsort(-keys, kind="stable")[:count])
