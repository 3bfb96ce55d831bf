"""Parts that each hold every label in proportion, of items that have several labels or none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from striate.data.randomness import permutation_keys

_STREAM = -4
"""Of the random order, apart from those that a split into single strata draws from."""


def iterative_parts(
    members: NDArray[np.bool_],
    groups: NDArray[np.int64],
    fractions: Sequence[float],
    *,
    seed: int,
) -> NDArray[np.int64]:
    """(items,) Number of the part that each item is put into, by iterative stratification.

    The rarest label of those that are left is dealt out first, for it can be placed in the fewest
    ways: each of its groups goes to the part that lacks most items of the label, and of several
    such parts to the one that lacks most items. Groups without any label are dealt out last, by the
    number of items alone. The first part gets at least one item of every label.

    Args:
        members: (items, labels) Whether each item has each label.
        groups: (items,) Items with the same number stay together.
        fractions: The share wanted of each part, which add up to 1; a part of share 0 gets
            nothing.
        seed: Seed of the random order.

    Source: Sechidis, Tsoumakas, Vlahavas, On the Stratification of Multi-label Data, ECML 2011;
    groups take the place of items.
    """
    names, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    counts = np.zeros((len(names), members.shape[1]), np.int64)
    np.add.at(counts, group, members)
    shares = np.asarray(fractions, np.float64)
    lacking = shares[:, None] * counts.sum(0)
    room = shares * len(members)
    closed = np.where(shares > 0, 0.0, -np.inf)
    tie = permutation_keys(seed, _STREAM, len(names))
    part = np.full(len(names), -1)

    def place(number: int, wish: NDArray[np.float64]) -> None:
        """Put a group into the part of the greatest wish, then of the most room."""
        chosen = int(np.lexsort((-np.arange(len(shares)), room, np.round(wish + closed, 9)))[-1])
        part[number] = chosen
        lacking[chosen] -= counts[number]
        room[chosen] -= sizes[number]

    while True:
        left = counts[part < 0].sum(0)
        if not left.any():
            break
        label = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())
        holding = np.flatnonzero((part < 0) & (counts[:, label] > 0))
        # Groups that hold more of the label are harder to place, hence first.
        for number in holding[np.lexsort((tie[holding], -counts[holding, label]))]:
            place(int(number), lacking[:, label])
    unlabelled = np.flatnonzero(part < 0)
    for number in unlabelled[np.lexsort((tie[unlabelled], -sizes[unlabelled]))]:
        place(int(number), room)
    _complete_first_part(part, counts)
    return part[group]


def _complete_first_part(part: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    """Move the smallest group of a label that the first part lacks there."""
    for label in range(counts.shape[1]):
        holding = np.flatnonzero(counts[:, label])
        if len(holding) and not (part[holding] == 0).any():
            part[holding[counts[holding].sum(1).argmin()]] = 0
