"""Random numbers without state: each is a pure function of (seed, epoch, item, draw).

Nothing depends on which numbers were drawn before, so the number of workers, the make-up of a
batch and a resumed epoch change no draw. The mixing function is the finalizer of SplitMix64
(Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MASK = (1 << 64) - 1


def item_keys(ids: Iterable[str]) -> NDArray[np.uint64]:
    """(items,) A number for each id, the same wherever the item stands and however it is encoded.

    Composed and decomposed Unicode give the same key: file systems differ in which they return.
    """
    digests = b"".join(
        hashlib.blake2b(
            unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape"), digest_size=8
        ).digest()
        for name in ids
    )
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def uniforms(keys: NDArray[np.uint64], count: int, *, seed: int, epoch: int) -> NDArray[np.float64]:
    """(keys, count) numbers in [0, 1) of 53 bits each; a row depends on its own key alone."""
    rows = _mix(keys ^ _mix(_counter(seed, epoch)))
    draws = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    bits = _mix(rows[:, None] + draws[None, :]) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


@dataclass(frozen=True)
class Draws:
    """The random numbers of some items in one pass over the data.

    Attributes:
        keys: (n,) Keys of the items, see `item_keys`.
        seed: Seed of the run.
        epoch: Number of the pass; each draws other numbers.
    """

    keys: NDArray[np.uint64]
    seed: int
    epoch: int

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """(n, count) numbers in [0, 1), the same ones at each call."""
        return uniforms(self.keys, count, seed=self.seed, epoch=self.epoch)


def epoch_order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """A permutation of range(n), another in each epoch."""
    return np.argsort(permutation_keys(seed, epoch, n), kind="stable")


def permutation_keys(seed: int, stream: int, n: int) -> NDArray[np.float64]:
    """(n,) numbers in [0, 1) by which range(n) is put in random order."""
    # A stream apart from the items' draws: positions are small numbers, keys are hashes.
    return uniforms(np.arange(n, dtype=np.uint64), 1, seed=seed, epoch=stream)[:, 0]


def _counter(seed: int, epoch: int) -> NDArray[np.uint64]:
    """(1,) seed and epoch in one number; as an array, since those wrap without a warning."""
    low = _mix(np.array([seed & _MASK], np.uint64))
    return low + np.array([epoch & _MASK], np.uint64) * _GOLDEN


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
