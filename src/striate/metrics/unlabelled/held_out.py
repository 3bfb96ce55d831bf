"""A bounded sample of held-out items of a run, which new items are compared with.

Axes: n items, m features that are kept, t test items, o outputs, s plain figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

MAX_COLUMNS: Final = 2048
"""Features of an item that are kept; of more, so many are taken, evenly spread."""

MAX_BYTES: Final = 1_250_000
"""Size of the features that are kept, at a byte each."""

MAX_ITEMS: Final = 1000
MAX_MEASURED: Final = 200
"""Items whose plain figures (brightness, length) are kept, at most."""

_STEPS: Final = 255
_TRAIT: Final = "trait."


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutItems:
    """Items that a run has not learnt from, as far as new items are compared with them.

    Attributes:
        columns: Numbers of the features that are kept.
        low: Smallest value of each feature.
        step: A 255th of the range of each feature.
        features: The features, in steps above the smallest.
        groups: Number of each item's group (copies, one patient).
        outputs: Uncalibrated outputs of the first items, which are test items.
        novelty: Novelty of the same; empty where the run tells none.
        traits: Plain figures of the first items by name, (items,) each.
    """

    columns: Int[np.ndarray, " m"]
    low: Float[np.ndarray, " m"]
    step: Float[np.ndarray, " m"]
    features: Int[np.ndarray, "n m"]
    groups: Int[np.ndarray, " n"]
    outputs: Float[np.ndarray, "t o"]
    novelty: Float[np.ndarray, " t"]
    traits: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(
        cls,
        features: Float[np.ndarray, "n f"],
        groups: Int[np.ndarray, " n"],
        outputs: Float[np.ndarray, "t o"],
        novelty: Float[np.ndarray, " t"],
        traits: Mapping[str, NDArray[np.float64]],
    ) -> Self:
        """The sample of some items, of which `capacity` says how many there may be.

        Args:
            features: Features, as the network's head takes them.
            groups: Number of each item's group.
            outputs: Uncalibrated outputs of the first items, the test items.
            novelty: Novelty of these; empty where it is not known.
            traits: Plain figures of the first items, by name.
        """
        columns = spread(features.shape[1])
        exact = features[:, columns].astype(np.float64)
        low, high = exact.min(0), exact.max(0)
        step = np.maximum((high - low) / _STEPS, np.finfo(np.float32).tiny)
        return cls(
            columns=columns,
            low=low.astype(np.float32),
            step=step.astype(np.float32),
            features=np.clip(np.round((exact - low) / step), 0, _STEPS).astype(np.uint8),
            groups=groups,
            outputs=outputs.astype(np.float32),
            novelty=novelty.astype(np.float32),
            traits=traits,
        )

    def as_stored(self, features: Float[np.ndarray, "k f"]) -> Float[np.ndarray, "k m"]:
        """Features of other items, of which those columns are taken that are kept, exact."""
        return np.asarray(features[:, self.columns], np.float32)

    def rounded(self, kept: Float[np.ndarray, "k m"]) -> NDArray[np.float64]:
        """Kept columns of other items in the same steps, so that rounding tells nobody apart."""
        steps = np.round((kept.astype(np.float64) - self.low) / self.step)
        return np.asarray(self.low + steps * self.step)

    @property
    def values(self) -> NDArray[np.float64]:
        """(n, m) The features in their own unit, to a 255th of their range."""
        return np.asarray(self.low + self.features.astype(np.float64) * self.step)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Every attribute as an array, to be stored."""
        names = ("columns", "low", "step", "features", "groups", "outputs", "novelty")
        traits = {_TRAIT + name: values for name, values in self.traits.items()}
        return {**{name: getattr(self, name) for name in names}, **traits}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The sample whose `tensors` these are."""
        traits = {k.removeprefix(_TRAIT): v for k, v in tensors.items() if k.startswith(_TRAIT)}
        plain = {k: v for k, v in tensors.items() if not k.startswith(_TRAIT)}
        return cls(**plain, traits=traits)


class FeatureSample:
    """Features of some of many items that come a batch at a time, drawn at random.

    Args:
        num_items: Number of items that will come.
        seed: Seed of the draw.

    """

    def __init__(self, num_items: int, seed: int = 0) -> None:
        self._num_items, self._seed, self._seen = num_items, seed, 0
        self._parts: list[NDArray[np.float32]] = []
        self._drawn = drawn(num_items, 0, seed)

    def take(self, features: Float[np.ndarray, "b f"]) -> None:
        """Take those of the next items."""
        if not self._seen:
            self._drawn = drawn(self._num_items, capacity(features.shape[1]), self._seed)
        first, last = np.searchsorted(self._drawn, [self._seen, self._seen + len(features)])
        kept = self._drawn[first:last] - self._seen
        self._parts.append(features[kept].astype(np.float32))
        self._seen += len(features)

    @property
    def positions(self) -> NDArray[np.int64]:
        """(kept items,) Positions of the items whose features are kept, ascending."""
        return self._drawn[: np.searchsorted(self._drawn, self._seen)]

    @property
    def features(self) -> NDArray[np.float32]:
        """(kept items, features) The features of the items at `positions`."""
        return np.concatenate(self._parts) if self._parts else np.empty((0, 0), np.float32)


def spread(width: int) -> NDArray[np.int32]:
    """Numbers of the features that are kept of so many, evenly spread."""
    return np.unique(np.linspace(0, width - 1, min(width, MAX_COLUMNS)).round().astype(np.int32))


def capacity(width: int) -> int:
    """Items with so many features whose features are kept, at most."""
    return min(MAX_ITEMS, MAX_BYTES // max(1, min(width, MAX_COLUMNS)))


def drawn(count: int, most: int, seed: int = 0) -> NDArray[np.int64]:
    """Positions of up to `most` of `count` items at random, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])
