"""Folds of a cross-validation that share no group and hold every stratum in proportion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.data.splits.iterative import iterative_parts
from striate.data.splits.stratified import FRACTIONS, split

_VALIDATION_SHARE = FRACTIONS[1] / (FRACTIONS[0] + FRACTIONS[1])
"""Share of the items that are learnt from which goes to the validation part."""


def fold_numbers(
    strata: NDArray[np.int64] | NDArray[np.bool_],
    groups: NDArray[np.int64],
    num_folds: int,
    *,
    seed: int,
) -> NDArray[np.int64]:
    """(items,) The fold in which each item is tested, from 0.

    Args:
        strata: (items,) Number of each item's stratum, or (items, strata) whether it is in each.
        groups: (items,) Items with the same number are in one fold.
        num_folds: Number of folds.
        seed: Seed of the random order.
    """
    members = strata if strata.ndim == 2 else strata[:, None] == np.unique(strata)
    shares = [1 / num_folds] * num_folds
    return iterative_parts(members.astype(bool), groups, shares, seed=seed)


def learning_splits(
    strata: NDArray[np.int64] | NDArray[np.bool_],
    groups: NDArray[np.int64],
    tested: NDArray[np.bool_],
    *,
    seed: int,
) -> NDArray[np.str_]:
    """(items,) "test" for some items, and "train" or "val" for the others, stratified and grouped.

    Args:
        strata: As for `fold_numbers`.
        groups: As for `fold_numbers`.
        tested: (items,) Which items are the test part; it may be empty.
        seed: Seed of the random choice.
    """
    splits = np.full(len(groups), "test", "<U5")
    rest = np.flatnonzero(~tested)
    fractions = (1 - _VALIDATION_SHARE, _VALIDATION_SHARE, 0.0)
    of_rest = strata[rest] if strata.ndim == 2 else np.unique(strata[rest], return_inverse=True)[1]
    splits[rest] = split(of_rest, groups[rest], seed=seed, fractions=fractions)
    return splits
