"""'None of these': how unlike all that a model knows an item is, by the network's features.

A classifier answers everything with one of its classes, and a foreign item often with confidence.
The features tell more: what is unlike all known items lies far from them. Four measures are added.
The first is the distance from the nearest known item, in the direction of the features. The others
are taken along the axes in which known items differ most, after each has been scaled by how much it
varies within the classes: the distance from the nearest known item in direction, how far the
direction is from that of the nearest class's middle, and how little the nearest class's middle is
nearer than the next: a foreign item often lies between classes. Which measures are taken was chosen
by measurement (docs/trust.md).

Axes: n items, r known items, f features, m features that are compared, a axes, c classes (strata).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import NDArray

from striate.metrics.conformal import conformal_quantile

FALSE_ALARMS: Final = 0.05
"""Share of known items that are taken for none of the classes."""

MAX_COLUMNS: Final = 2048
"""Features that are compared; of more, so many are taken, evenly spread."""

MAX_BYTES: Final = 1_250_000
"""Size of the known items' features that are kept, at a byte each."""

MAX_JUDGED: Final = 2000
"""Items that the threshold is taken from, at most."""

NUM_AXES: Final = 128

MEASURES: Final = 4
"""Numbers that say how unlike the known items an item is; see `KnownItems.measures`."""

NEARLY: Final = 1.0
"""Is added to squared distances from the middles of classes, along axes whose variance is 1, before
they are compared: an item at a middle is not endlessly nearer to it than to the next."""

_FOLDS: Final = 5
_CONSTANT: Final = 1e-6
_CHUNK: Final = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownItems:
    """What items are compared with.

    Attributes:
        columns: Numbers of the features that are compared.
        reference: Features of known items, of length 1, in steps.
        step: The step of each feature.
        shift: Mean of each feature over known items.
        scale: Inverse of its standard deviation.
        axes: The axes in standardized features, in float16, each with 1 as its largest number.
        stretch: Makes each axis vary by 1 within the classes.
        whitened: Directions of the known items along the axes, of length 1.
        middles: The mean of each class along the axes.
    """

    columns: Int[np.ndarray, " m"]
    reference: Int[np.ndarray, "r m"]
    step: Float[np.ndarray, " m"]
    shift: Float[np.ndarray, " m"]
    scale: Float[np.ndarray, " m"]
    axes: Float[np.ndarray, "m a"]
    stretch: Float[np.ndarray, " a"]
    whitened: Float[np.ndarray, "r a"]
    middles: Float[np.ndarray, "c a"]

    @classmethod
    def of(
        cls,
        features: Float[np.ndarray, "r f"],
        strata: Shaped[np.ndarray, "r ..."],
        learnt: Bool[np.ndarray, " r"] | None = None,
    ) -> Self:
        """What items are compared with, made of known items.

        Args:
            features: Features of the items.
            strata: Of what each is, such as its class.
            learnt: Which of them the axes and the middles are made of; all where None.
        """
        width = features.shape[1]
        spread = np.linspace(0, width - 1, min(width, MAX_COLUMNS)).round()
        columns = np.unique(spread.astype(np.int32))
        exact = features[:, columns].astype(np.float64)
        chosen = np.ones(len(exact), bool) if learnt is None else learnt
        shift = exact[chosen].mean(0)
        scale = 1 / (exact[chosen].std(0) + 1e-6)
        standardized = (exact - shift) * scale
        numbers = _stratum_numbers(strata[chosen])
        axes = _within_class_axes(standardized[chosen], numbers)
        stretch = np.maximum(np.abs(axes).max(0, initial=0.0), np.finfo(np.float32).tiny)
        direct, along = unit_length(exact), standardized @ axes
        step = np.maximum(np.abs(direct).max(0) / 127, np.finfo(np.float32).tiny)
        return cls(
            columns=columns,
            reference=np.round(direct / step).astype(np.int8),
            step=step.astype(np.float32),
            shift=shift.astype(np.float32),
            scale=scale.astype(np.float32),
            axes=(axes / stretch).astype(np.float16),
            stretch=stretch.astype(np.float32),
            whitened=unit_length(along).astype(np.float16),
            middles=_means(along[chosen], numbers).astype(np.float16),
        )

    def measures(
        self,
        features: Float[np.ndarray, "n f"],
        apart: Bool[np.ndarray, "n r"] | None = None,
    ) -> Float[np.ndarray, "n 4"]:
        """How unlike the known ones items are, by each measure; of one class the last two tell nothing.

        Args:
            features: Features of the items.
            apart: Which item is not compared with which known one; all are where None.

        Source: the nearest neighbours, Sun, Ming, Zhu, Li, "Out-of-distribution detection with deep
        nearest neighbors", ICML 2022; the scaling by the variation within classes, Lee, Lee, Lee,
        Shin, "A simple unified framework for detecting out-of-distribution samples", NeurIPS 2018.
        """
        found = [np.empty((0, MEASURES))]
        for start in range(0, len(features), _CHUNK):
            rows = slice(start, start + _CHUNK)
            part = features[rows, self.columns].astype(np.float32)
            left_out = None if apart is None else apart[rows]
            along = (part - self.shift) * self.scale @ self._axes * self.stretch
            directions = unit_length(along)
            found.append(
                np.stack(
                    [
                        _distance(unit_length(part), *self._reference, left_out),
                        _distance(directions, *self._whitened, left_out),
                        1 - (directions @ unit_length(self._middles[0]).T).max(1),
                        _between(along, *self._middles),
                    ],
                    1,
                ).astype(np.float64)
            )
        return np.concatenate(found)

    @cached_property
    def _reference(self) -> tuple[Float[np.ndarray, "r m"], Float[np.ndarray, " r"]]:
        return _with_squares(self.reference.astype(np.float32) * self.step)

    @cached_property
    def _axes(self) -> Float[np.ndarray, "m a"]:
        return np.asarray(self.axes.astype(np.float32))

    @cached_property
    def _whitened(self) -> tuple[Float[np.ndarray, "r a"], Float[np.ndarray, " r"]]:
        return _with_squares(self.whitened.astype(np.float32))

    @cached_property
    def _middles(self) -> tuple[Float[np.ndarray, "c a"], Float[np.ndarray, " c"]]:
        return _with_squares(self.middles.astype(np.float32))


@dataclass(frozen=True, kw_only=True, eq=False)
class NoveltyDetector:
    """What tells how strange an item is to a model.

    Attributes:
        known: What items are compared with.
        mean: Mean of each measure over items that were held out.
        std: Standard deviation of each measure over them; infinite where it does not vary, so that
            it counts for nothing.
        threshold: Sum of the standardized measures that a share `false_alarms` of known items
            exceeds.
        false_alarms: That share.
        num_items: Number of held-out items that the threshold was taken from.
    """

    known: KnownItems
    mean: Float[np.ndarray, " 4"]
    std: Float[np.ndarray, " 4"]
    threshold: float
    false_alarms: float
    num_items: int

    def novelty(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, " n"]:
        """How strange items are, in standard deviations of known items; above 0 see `is_unknown`.

        Each item is compared by itself, so that no digit of its answer depends on its company.

        Args:
            features: Features of the items, as the network's head takes them.
        """
        found = [np.empty((0, MEASURES)), *map(self.known.measures, features[:, None])]
        standardized = (np.concatenate(found) - self.mean) / self.std
        return np.asarray(standardized.sum(1) - self.threshold)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Every attribute as an array, to be stored."""
        numbers = (self.threshold, self.false_alarms, self.num_items)
        own = {"mean": self.mean, "std": self.std, "numbers": np.array(numbers, np.float64)}
        stored = {field.name: getattr(self.known, field.name) for field in fields(KnownItems)}
        return {**stored, **own}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The detector whose `tensors` these are."""
        threshold, false_alarms, num_items = tensors["numbers"].tolist()
        stored = {field.name: tensors[field.name] for field in fields(KnownItems)}
        return cls(
            known=KnownItems(**stored),
            mean=tensors["mean"],
            std=tensors["std"],
            threshold=threshold,
            false_alarms=false_alarms,
            num_items=int(num_items),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FeaturedItems:
    """Items with their features.

    Attributes:
        features: Features, as the network's head takes them.
        groups: Number of each item's group (copies, one patient).
        strata: Of what each item is, such as its class.
    """

    features: Float[np.ndarray, "n f"]
    groups: Int[np.ndarray, " n"]
    strata: Shaped[np.ndarray, "n ..."]

    def part(self, chosen: Shaped[np.ndarray, " k"]) -> FeaturedItems:
        """Some of the items."""
        return FeaturedItems(
            features=self.features[chosen], groups=self.groups[chosen], strata=self.strata[chosen]
        )

    def to_compare(self) -> FeaturedItems:
        """Those that other items are compared with: of many, a part that has all strata alike."""
        width = max(1, min(self.features.shape[1], MAX_COLUMNS))
        return self.part(evenly(self.strata, MAX_BYTES // width))


def is_unknown(novelty: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which items of such a novelty are taken for none of the classes."""
    return np.asarray(novelty > 0)


def fit_novelty(items: FeaturedItems) -> NoveltyDetector | None:
    """What tells the novelty of new items; None where there are too few (below 19).

    For the threshold, beyond which a share of `FALSE_ALARMS` of new items like them lie, the items
    are held out themselves, fold by fold and group by group.

    Args:
        items: Items to compare with; no label and no gradient made their features.
    """
    if items.features.shape[1] == 0 or len(items.features) * FALSE_ALARMS < 1 - FALSE_ALARMS:
        return None
    kept = items.to_compare()
    known = KnownItems.of(kept.features, kept.strata)
    measures = _cross_measures(items, kept)
    mean, std = measures.mean(0), measures.std(0)
    if not (std[:2] > 0).all():
        return None
    std = np.where(std > _CONSTANT, std, np.inf)
    sums = ((measures - mean) / std).sum(1)
    threshold = conformal_quantile(sums, 1 - FALSE_ALARMS)
    assert threshold is not None, "there are enough items"
    return NoveltyDetector(
        known=known,
        mean=mean,
        std=std,
        threshold=threshold,
        false_alarms=FALSE_ALARMS,
        num_items=len(sums),
    )


def _cross_measures(items: FeaturedItems, kept: FeaturedItems) -> Float[np.ndarray, "n 4"]:
    """Measures of items by those that are kept and not of their group.

    The axes and the middles come from the kept items of the other folds, for they depend on labels;
    of too few groups there are no folds, and every measure is 0.
    """
    items = items.part(evenly(items.strata, MAX_JUDGED))
    names = np.unique(np.concatenate([items.groups, kept.groups]))
    found = np.zeros((len(items.groups), MEASURES))
    if len(names) <= _FOLDS:
        return found
    fold_of = np.random.default_rng(0).permutation(len(names)) % _FOLDS
    own, others = (fold_of[np.searchsorted(names, each.groups)] for each in (items, kept))
    for fold in range(_FOLDS):
        held = own == fold
        known = KnownItems.of(kept.features, kept.strata, learnt=others != fold)
        same = items.groups[held][:, None] == kept.groups
        found[held] = known.measures(items.features[held], same)
    return found


def _within_class_axes(
    standardized: Float[np.ndarray, "r m"], strata: Int[np.ndarray, " r"]
) -> Float[np.ndarray, "m a"]:
    """The axes in which known items differ most, each divided by its deviation within a stratum."""
    from sklearn.covariance import ledoit_wolf  # slow to import

    axes = _principal_axes(standardized)
    if not axes.shape[1]:
        return axes
    along = standardized @ axes
    within = along - _means(along, strata)[strata]
    variances, rotation = np.linalg.eigh(ledoit_wolf(within, assume_centered=True)[0])
    whitening = rotation / np.sqrt(np.maximum(variances, 1e-12))
    return np.asarray(axes @ whitening)


def _means(rows: Float[np.ndarray, "r k"], numbers: Int[np.ndarray, " r"]) -> NDArray[np.float64]:
    """(c, k) The mean of the rows of each number."""
    sums = np.zeros((numbers.max() + 1, rows.shape[1]))
    np.add.at(sums, numbers, rows)
    return np.asarray(sums / np.bincount(numbers)[:, None])


def _principal_axes(standardized: Float[np.ndarray, "r m"]) -> Float[np.ndarray, "m a"]:
    """The `NUM_AXES` directions of largest variation, fewer where the rows have fewer."""
    few_rows = len(standardized) < standardized.shape[1]
    products = standardized @ standardized.T if few_rows else standardized.T @ standardized
    curves, turns = np.linalg.eigh(products)
    kept = np.flatnonzero(curves > 1e-9 * max(float(curves[-1]), 1e-12))[-NUM_AXES:]
    turned = turns[:, kept]
    return np.asarray(standardized.T @ turned / np.sqrt(curves[kept]) if few_rows else turned)


def _stratum_numbers(strata: Shaped[np.ndarray, "r ..."]) -> NDArray[np.int64]:
    """A number from 0 up for each stratum; one for all where most strata have one item."""
    names, found = np.unique(strata, axis=0, return_inverse=True)
    found = found.reshape(-1).astype(np.int64)
    return found if 2 * len(names) <= len(found) else np.zeros(len(found), np.int64)


def unit_length(rows: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Rows divided by their length; rows of zeros stay as they are."""
    lengths = np.sqrt(np.square(rows).sum(1, keepdims=True))
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))


def _with_squares(
    rows: Float[np.ndarray, "r k"],
) -> tuple[Float[np.ndarray, "r k"], Float[np.ndarray, " r"]]:
    """Rows and the squares of their lengths, which would take longer than a distance to one item."""
    return rows, np.square(rows).sum(1)


def _squared(
    items: Float[np.ndarray, "n k"],
    known: Float[np.ndarray, "r k"],
    squares: Float[np.ndarray, " r"],
) -> Float[np.ndarray, "n r"]:
    """Squared distances of items from known ones."""
    # Of one item OpenBLAS would share the product out among threads, and wait for a core that is
    # busy with the network: 4 ms instead of 0.1.
    products = np.vecdot(known, items[0])[None] if len(items) == 1 else items @ known.T
    return np.asarray(np.square(items).sum(1)[:, None] + squares - 2 * products)


def _distance(
    items: Float[np.ndarray, "n k"],
    known: Float[np.ndarray, "r k"],
    squares: Float[np.ndarray, " r"],
    left_out: Bool[np.ndarray, "n r"] | None,
) -> Float[np.ndarray, " n"]:
    """Euclidean distance of each item from the nearest known one."""
    squared = _squared(items, known, squares)
    if left_out is not None:
        squared[left_out] = squared.max()
    return np.asarray(np.sqrt(np.maximum(squared.min(1).astype(np.float64), 0.0)))


def _between(
    along: Float[np.ndarray, "n a"],
    middles: Float[np.ndarray, "c a"],
    squares: Float[np.ndarray, " c"],
) -> Float[np.ndarray, " n"]:
    """How little nearer each item is to one middle than to the next: 0 at most, half-way; of a
    single middle 0.
    """
    squared = np.maximum(_squared(along, middles, squares), 0) + NEARLY
    if squared.shape[1] < 2:
        return np.zeros(len(along))
    nearest = np.partition(squared, 1, axis=1)[:, :2].astype(np.float64)
    return np.asarray(np.log(nearest[:, 0] / nearest[:, 1]))


def evenly(strata: Shaped[np.ndarray, "n ..."], count: int) -> NDArray[np.int64]:
    """Positions of up to `count` items, one of each stratum in turn, ascending.

    >>> evenly(np.array([0, 0, 0, 0, 1, 2]), 6).tolist()
    [0, 1, 2, 3, 4, 5]

    Args:
        strata: The stratum of each item, a number or a row of numbers.
        count: Number of items, at most.
    """
    _, stratum = np.unique(strata, axis=0, return_inverse=True)
    stratum = stratum.reshape(-1)
    order = np.random.default_rng(0).permutation(len(stratum))
    order = order[np.argsort(stratum[order], kind="stable")]
    counts = np.bincount(stratum)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[np.argsort(place, kind="stable")[:count]])
