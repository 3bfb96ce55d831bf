"""A part of the items of a source, drawn at random, where there is no time to read all of them."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.randomness import epoch_order, permutation_keys
from striate.data.sandbox import read_all
from striate.data.source import Item, Source

LEAST_OF_CLASS: Final = 50
"""Items of each class, in each part of the split, that are kept however small the share is."""

NUM_BEFORE: Final = 16
"""Items that are read before the time is taken, while processes start."""

NUM_TIMED: Final = 256
MOST_TIMED: Final = 2.0
"""Items of which the time is taken, and the seconds after which it is known well enough."""

_JUDGED: Final = ("val", "test")

_STREAM: Final = -4
"""Which random numbers are drawn: none that a split is made by."""


def seconds_of_one(source: Source, size: int | None, *, seed: int) -> float:
    """The time that reading an item takes, by some that are drawn at random.

    Args:
        source: The data, of more items than `NUM_BEFORE`.
        size: The shorter side wanted, in pixels (see `Source.read`).
        seed: Seed of the random choice.
    """
    items = source.listing.items
    drawn = epoch_order(seed, _STREAM, len(items))[: NUM_BEFORE + NUM_TIMED]
    began, count = time.monotonic(), 0
    with closing(read_all(source, [items[place] for place in drawn.tolist()], size)) as reading:
        for count, _ in enumerate(reading):
            if count == NUM_BEFORE:
                began = time.monotonic()
            elif count > NUM_BEFORE and time.monotonic() - began > MOST_TIMED:
                break
    return (time.monotonic() - began) / max(count - NUM_BEFORE, 1)


def part_of(source: Source, share: float, *, seed: int) -> Source:
    """The source with a share of its items, in the order they had.

    All classes are drawn from alike. Items that the user gave to validate or to test by are all
    kept, unless they are more than half of what is to be kept.

    Args:
        source: The data.
        share: The share of the items to keep, from 0 to 1.
        seed: Seed of the random choice.
    """
    items = source.listing.items
    keys = permutation_keys(seed, _STREAM, len(items))
    kept = _ranks(_strata(items), keys) < LEAST_OF_CLASS
    judged = np.fromiter((item.split in _JUDGED for item in items), bool, len(items))
    if judged.sum() <= share * len(items) / 2:
        kept |= judged
        share = (share * len(items) - judged.sum()) / (len(items) - judged.sum())
    kept |= keys < share
    chosen = tuple(items[place] for place in np.flatnonzero(kept).tolist())
    part = copy.copy(source)
    part.listing = replace(source.listing, items=chosen)
    return part


def _strata(items: Sequence[Item]) -> NDArray[np.int64]:
    """(items,) A number for each class in each part of the split."""
    numbers: dict[tuple[str | None, str | None], int] = {}
    found = (numbers.setdefault((item.label, item.split), len(numbers)) for item in items)
    return np.fromiter(found, np.int64, len(items))


def _ranks(strata: NDArray[np.int64], keys: NDArray[np.float64]) -> NDArray[np.int64]:
    """(items,) The place of each item among those of its stratum in the order of the keys."""
    order = np.lexsort((keys, strata))
    first = np.searchsorted(strata[order], strata[order])
    ranks = np.empty(len(strata), np.int64)
    ranks[order] = np.arange(len(strata)) - first
    return ranks
