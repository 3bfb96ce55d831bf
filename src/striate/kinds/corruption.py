"""Common corruptions: what happens to items on their way, at five severities of each.

The idea is ImageNet-C's (Hendrycks and Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations", ICLR 2019); the parameters are Striate's own, for items of any size and
type. Values are understood as shares of an item's range: from 0 to 255 of 8-bit values, and of others
from its lowest to its highest value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from striate.data.randomness import item_keys
from striate.data.source import Reading

NUM_SEVERITIES: Final = 5

Values: TypeAlias = NDArray[np.float64]

Change: TypeAlias = Callable[[Values, float, np.random.Generator], Values]
"""Changes the values of an item, channels first, by a level, with random numbers."""


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """Something that happens to items, at five severities.

    Attributes:
        name: Its name, in kebab case.
        means: What its level is, for a person.
        levels: The level at each severity, from 1 to 5.
        change: Changes the values of an item.
        in_range: Whether these are shares of the item's range, from 0 to 1, and stay within it; else
            they are as they were read.
    """

    name: str
    means: str
    levels: tuple[float, float, float, float, float]
    change: Change
    in_range: bool = True

    def applied(self, reading: Reading, severity: int, *, item: str, seed: int = 0) -> Reading:
        """An item as it would have been read after the corruption.

        The random numbers depend on the seed, the name of the corruption and the item's id alone, so
        that they are the same at each severity.

        Args:
            reading: The item, of a kind with axes of space or time.
            severity: From 1 to 5.
            item: The item's id.
            seed: Seed of the random numbers.
        """
        key = int(item_keys([f"{self.name}/{item}"])[0])
        rng = np.random.default_rng([seed, key])
        level, array = self.levels[severity - 1], reading.array
        if not self.in_range:
            changed = self.change(array.astype(np.float64), level, rng)
            return replace(reading, array=changed.astype(array.dtype))
        low, high = value_range(array)
        shares = (array.astype(np.float64) - low) / (high - low)
        changed = low + (high - low) * np.clip(self.change(shares, level, rng), 0, 1)
        if array.dtype.kind in "ui":
            changed = np.rint(changed)
        return replace(reading, array=changed.astype(array.dtype))


def value_range(array: NDArray[Any]) -> tuple[float, float]:
    """The lowest and the highest value of an item, which differ.

    Of 8-bit values they are those of the type, else those that occur.

    >>> value_range(np.zeros(3, np.uint8)), value_range(np.array([-1.0, 3.0]))
    ((0.0, 255.0), (-1.0, 3.0))
    """
    if array.dtype == np.uint8:
        return 0.0, 255.0
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return low, high if high > low else low + 1.0


def noise(shares: Values, level: float, rng: np.random.Generator) -> Values:
    """Normal noise of a deviation of `level` of the range."""
    return shares + level * rng.normal(size=shares.shape)


def blur(shares: Values, level: float, rng: np.random.Generator) -> Values:
    """A Gaussian blur of a deviation of `level` of the shortest side."""
    from scipy.ndimage import gaussian_filter

    width = level * min(shares.shape[1:])
    return np.asarray(gaussian_filter(shares, (0, *[width] * (shares.ndim - 1)), mode="nearest"))


def gain(shares: Values, level: float, rng: np.random.Generator) -> Values:
    """Every value times `level`."""
    return shares * level


def brighter(shares: Values, level: float, rng: np.random.Generator) -> Values:
    """`level` of the range added to every value."""
    return shares + level


def contrast(shares: Values, level: float, rng: np.random.Generator) -> Values:
    """`level` of each value's distance from the mean of its channel."""
    means = shares.mean(axis=tuple(range(1, shares.ndim)), keepdims=True)
    return np.asarray(means + level * (shares - means))


NOISE: Final = Corruption(
    name="noise",
    means="deviation of normal noise, as a share of the range of values",
    levels=(0.04, 0.08, 0.12, 0.18, 0.26),
    change=noise,
)

CONTRAST: Final = Corruption(
    name="contrast",
    means="factor of each value's distance from the mean",
    levels=(0.75, 0.5, 0.35, 0.2, 0.1),
    change=contrast,
)
