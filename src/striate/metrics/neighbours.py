"""The nearest of some known items to an item, by the direction of their features.

Features as a network gives them may have a large common part and scales that lie far apart, by
which every item is like every other; `standardization` takes both away, as a linear probe does.

Axes: n items, r known items, f features, k neighbours.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from striate.errors import ArgumentError
from striate.metrics.novelty import unit_length


def nearest_neighbours(
    items: Float[np.ndarray, "n f"],
    known: Float[np.ndarray, "r f"],
    count: int,
    *,
    own: Int[np.ndarray, " n"] | None = None,
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """The known items that are most similar to each item, the most similar first.

    The similarity is the cosine of the angle between the features, 1 where they point the same way.
    Of equally similar items the one with the smaller number comes first.

    Args:
        items: Features of the items.
        known: Features of the known items.
        count: Number of neighbours; fewer are found where fewer are known.
        own: The number among the known items of each item itself, which is left out; -1 where it is
            none of them. No item is left out where None.

    Returns:
        The numbers of the neighbours among the known items, and their similarities. Where an item
        is left out and too few others are known, the last number is -1 and its similarity NaN.

    Raises:
        ArgumentError: The features of items and known items are not equally many.
    """
    if items.shape[1] != known.shape[1]:
        raise ArgumentError(
            f"items of {items.shape[1]} features, known items of {known.shape[1]}",
            fix="take the features of both from the same network",
        )
    directions = unit_length(known.astype(np.float32))
    count = min(count, len(known))
    numbers = np.empty((len(items), count), np.int64)
    similarities = np.empty((len(items), count))
    # Item by item, so that no digit of an answer depends on its company.
    for row, item in enumerate(unit_length(items.astype(np.float32))):
        found = (directions @ item).astype(np.float64)
        if own is not None and own[row] >= 0:
            found[own[row]] = -np.inf
        numbers[row] = np.argsort(-found, kind="stable")[:count]
        similarities[row] = found[numbers[row]]
    left_out = np.isneginf(similarities)
    return np.where(left_out, -1, numbers), np.where(left_out, np.nan, similarities.clip(-1, 1))


def standardization(
    known: Float[np.ndarray, "r f"],
) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
    """The mean of each feature over known items, and the inverse of its standard deviation.

    The inverse is 0 for a feature that does not vary, so that it counts for nothing.

    Args:
        known: Features of the known items, at least one.
    """
    exact = known.astype(np.float64)
    std = exact.std(0)
    varies = std > 1e-6 * max(float(std.max(initial=0.0)), 1e-30)
    return exact.mean(0), np.where(varies, 1 / np.where(varies, std, 1.0), 0.0)
