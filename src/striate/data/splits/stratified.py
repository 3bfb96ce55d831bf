"""Training, validation and test splits that share no group and hold every stratum in proportion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.randomness import permutation_keys
from striate.data.source import Item
from striate.data.splits.iterative import iterative_parts
from striate.data.target import Target
from striate.errors import ArgumentError, DataError

SPLITS: Final = ("train", "val", "test")
FRACTIONS: Final = (0.7, 0.15, 0.15)

MAX_HELD_OUT: Final = (5_000, 10_000)
"""Validation and test items that Striate chooses, at most: more would judge hardly better (the
standard error of an accuracy is at most 0.7 and 0.5 points), and are better learnt from."""


def split(
    strata: NDArray[np.int64] | NDArray[np.bool_],
    groups: NDArray[np.int64],
    *,
    seed: int,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> NDArray[np.str_]:
    """(items,) "train", "val" or "test": grouped, stratified, the same for the same seed.

    Every stratum is in training, and no split is empty where a group can be spared for it. A stratum of two items is also in the test split where no group
    forbids it, one of three or more in all splits. Items that may be in several strata are split
    by iterative stratification (see `iterative_parts`).

    Args:
        strata: (items,) Number of each item's stratum (its class), from 0; or (items, strata),
            whether each item is in each stratum.
        groups: (items,) Items with the same number stay together.
        seed: Seed of the random choice.
        fractions: Shares wanted of train, val and test; a split of share 0 gets nothing.

    Raises:
        ArgumentError: The fractions do not add up to 1, or nothing is left for training.
    """
    check_fractions(fractions)
    if not len(strata):
        return np.empty(0, "<U5")
    if strata.ndim == 2:
        return np.array(SPLITS)[iterative_parts(strata.astype(bool), groups, fractions, seed=seed)]
    deal = _Deal(strata.astype(np.int64), groups, np.asarray(fractions), seed)
    deal.place_groups()
    deal.place_single_items()
    deal.train_every_class()
    deal.fill_every_split()
    names: NDArray[np.str_] = np.array(SPLITS)[deal.assigned]
    return names


def check_fractions(fractions: tuple[float, float, float]) -> None:
    """Refuse fractions that are no shares of the data.

    Raises:
        ArgumentError: They are negative, do not add up to 1, or leave nothing for training.
    """
    if min(fractions) < 0 or fractions[0] == 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ArgumentError(
            f"fractions={fractions}", why="train, val and test add up to 1, with train above 0"
        )


def complete_splits(
    items: Sequence[Item],
    target: Target,
    groups: NDArray[np.int64],
    *,
    seed: int,
    fractions: tuple[float, float, float] = FRACTIONS,
    most: tuple[int, int] = MAX_HELD_OUT,
) -> NDArray[np.str_]:
    """The splits that the user gave, with those that are missing carved from training.

    Items without a split go to training first where others have one; without any, all are split.

    Args:
        items: The items, with the user's `split`.
        target: What is to be predicted of them.
        groups: (items,) Items with the same number stay together where Striate chooses.
        seed: Seed of the random choice.
        fractions: Shares wanted where Striate chooses.
        most: Validation and test items that Striate chooses, at most; others are learnt from.

    Raises:
        DataError: Nothing is left to train on, or a split asks for what training cannot teach.
    """
    if not any(item.split for item in items):
        wanted = _with_enough(fractions, len(items), most)
        return split(target.strata, groups, seed=seed, fractions=wanted)
    given = np.array([item.split or "train" for item in items])
    train = np.flatnonzero(given == "train")
    if not len(train):
        found = ", ".join(f"{n} in {name}" for name, n in sorted(Counter(given.tolist()).items()))
        raise DataError(
            "no item is in train", why=f"found {found}", fix="put the items to learn from in train"
        )
    target.check_splits(given)
    complete = [target.is_complete(given == name) for name in SPLITS]
    missing = [0.0 if has else f for has, f in zip(complete, fractions, strict=True)]
    missing[0] = fractions[0]
    of_train, val, test = (share / sum(missing) for share in missing)
    if of_train < 1:
        wanted = _with_enough((of_train, val, test), len(train), most)
        given[train] = split(target.strata[train], groups[train], seed=seed, fractions=wanted)
    return given


def _with_enough(
    shares: tuple[float, float, float], count: int, most: tuple[int, int]
) -> tuple[float, float, float]:
    """Shares of so many items of which no more are held out than `most`."""
    train, *held_out = shares
    kept = [min(share, limit / count) for share, limit in zip(held_out, most, strict=True)]
    return train + sum(held_out) - sum(kept), kept[0], kept[1]


def _wanted_counts(
    strata: NDArray[np.int64], fractions: NDArray[np.float64], seed: int
) -> NDArray[np.int64]:
    """(splits, strata) How many items of each stratum each split should get."""
    counts = np.bincount(strata)
    order = permutation_keys(seed, -1, fractions.size * len(counts)).reshape(len(counts), -1)
    return np.stack([_whole(n, fractions, tie) for n, tie in zip(counts, order, strict=True)], 1)


def _whole(
    count: int, fractions: NDArray[np.float64], tie: NDArray[np.float64]
) -> NDArray[np.int64]:
    """`count` in whole numbers by largest remainder; the smallest counts go where most needed."""
    exact = fractions * count
    whole = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.lexsort((tie, -np.round(exact - whole, 9)))
    whole[by_remainder[: count - int(whole.sum())]] += 1
    for place in (0, 2, 1):  # train, then test, then val
        if whole[place] == 0 and fractions[place] > 0 and whole.max() > 1:
            whole[whole.argmax()] -= 1
            whole[place] = 1
    if count == 1:
        whole[:] = (1, 0, 0)
    return whole


def _share(count: int, lacking: NDArray[np.int64]) -> NDArray[np.int64]:
    """`count` items shared in proportion to what each split lacks, which is at least that."""
    exact = lacking * (count / lacking.sum())
    shares: NDArray[np.int64] = np.floor(exact + 1e-9).astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: count - int(shares.sum())]] += 1
    return shares


class _Deal:
    """Items as they are dealt out to the splits.

    Attributes:
        assigned: (items,) The number of each item's split; -1 for one that has none yet.
    """

    def __init__(
        self,
        strata: NDArray[np.int64],
        groups: NDArray[np.int64],
        fractions: NDArray[np.float64],
        seed: int,
    ) -> None:
        self.assigned = np.full(len(strata), -1)
        self._strata, self._seed = strata, seed
        _, self._group, self._sizes = np.unique(groups, return_inverse=True, return_counts=True)
        self._wanted = _wanted_counts(strata, fractions, seed)  # (splits, strata)
        self._placed = np.zeros_like(self._wanted)

    def place_groups(self) -> None:
        """Put each group of several items where it brings the counts nearest to those wanted."""
        totals = self._wanted.sum(0)
        several = np.flatnonzero(self._sizes > 1)
        tie = permutation_keys(self._seed, -2, len(self._sizes))[several]
        members = np.split(np.argsort(self._group, kind="stable"), np.cumsum(self._sizes)[:-1])
        open_splits = np.flatnonzero(self._wanted.sum(1))
        rows = open_splits[:, None]
        for number in several[np.lexsort((tie, -self._sizes[several]))]:
            inside = members[number]
            kinds, counts = np.unique(self._strata[inside], return_counts=True)
            excess = self._placed[rows, kinds] - self._wanted[rows, kinds]
            # The growth of the squared distance from the wanted counts, each stratum on its own
            # scale.
            cost = (counts * (counts + 2 * excess) / totals[kinds]).sum(1)
            chosen = open_splits[cost.argmin()]
            self.assigned[inside] = chosen
            self._placed[chosen, kinds] += counts

    def place_single_items(self) -> None:
        """Deal out the items that are a group of their own so that the wanted counts are met."""
        singles = np.flatnonzero(self._sizes[self._group] == 1)
        tie = permutation_keys(self._seed, -3, len(self.assigned))[singles]
        shuffled = singles[np.argsort(tie, kind="stable")]
        for number in np.unique(self._strata[singles]):
            items = shuffled[self._strata[shuffled] == number]
            lacking = np.maximum(self._wanted[:, number] - self._placed[:, number], 0)
            counts = _share(len(items), lacking)
            self.assigned[items] = np.repeat(np.arange(len(SPLITS)), counts)

    def train_every_class(self) -> None:
        """Move the smallest group of a stratum that is not in training there."""
        for number in np.setdiff1d(self._strata, self._strata[self.assigned == 0]):
            candidates = np.unique(self._group[self._strata == number])
            smallest = candidates[self._sizes[candidates].argmin()]
            self.assigned[self._group == smallest] = 0

    def fill_every_split(self) -> None:
        """Move the smallest group that training can spare to each split that got nothing."""
        for place in (2, 1):
            if not self._wanted[place].any() or (self.assigned == place).any():
                continue
            spare = [group for group in np.unique(self._group[self.assigned == 0])
                     if self._is_spare(group)]  # fmt: skip
            if spare:
                smallest = min(spare, key=lambda group: int(self._sizes[group]))
                self.assigned[self._group == smallest] = place

    def _is_spare(self, group: int) -> bool:
        """Whether training has every stratum without a group of it too."""
        inside = self._group == group
        return bool(
            np.isin(self._strata[inside], self._strata[~inside & (self.assigned == 0)]).all()
        )
