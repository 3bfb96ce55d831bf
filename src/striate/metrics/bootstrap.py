"""Draws with replacement of whole groups of items, class by class.

Copies of one item are one fact, so a group is drawn as a whole. Classes are drawn apart
(stratified): how many items a class has was decided by who collected the data and by the split,
not by chance, and a draw without any item of a class would leave most metrics undefined.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

NUM_RESAMPLES = 1000

_MAX_CELLS = 2**22
"""Items times draws held at once: 32 MiB of float64."""


def resampling_weights(
    labels: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Iterator[Float[np.ndarray, "n b"]]:
    """How often each item occurs in each draw, in blocks of draws.

    Args:
        labels: class of each item.
        groups: items of one number are drawn together; a group belongs to its first item's class.
        num_resamples: draws in all.
        seed: the draws depend on it and on the arguments only.
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    strata = [np.flatnonzero(labels[first] == label) for label in np.unique(labels[first])]
    rng = np.random.default_rng(seed)
    block = max(1, _MAX_CELLS // len(labels))
    for start in range(0, num_resamples, block):
        num_draws = min(block, num_resamples - start)
        drawn = np.empty((len(first), num_draws))
        for stratum in strata:
            drawn[stratum] = _draw(len(stratum), num_draws, rng)
        yield drawn[group]


def _draw(size: int, num_draws: int, rng: np.random.Generator) -> Int[np.ndarray, "size draws"]:
    """How often each of `size` things occurs in `size` draws with replacement, `num_draws` times."""
    chosen = rng.integers(size, size=(num_draws, size)) + size * np.arange(num_draws)[:, None]
    return np.bincount(chosen.ravel(), minlength=size * num_draws).reshape(num_draws, size).T
