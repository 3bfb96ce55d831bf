"""Prediction sets: for each item the classes among which the true one is, as often as promised.

Split conformal prediction: held-out items tell how far down the ranked classes one must go to find
the true class. Whatever the network and the data, a set for a new item that is drawn like the
held-out ones then holds its class with at least the promised probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil, inf
from typing import Any, Final, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from striate.errors import ArgumentError
from striate.metrics.intervals import Estimate, Numbers, share_estimate

LEVEL: Final = 0.9
"""Share of new items whose set is to hold the true class."""

PENALTY: Final = 0.01
"""What each class beyond the first adds to a score, so that a long tail of classes is cut short.

On simulated probabilities of 3 to 100 classes 0 gives sets up to 4 % larger of many classes, and
0.05 covers the fifth of the items that are hardest by 2 to 4 points less (see docs/trust.md).
"""

SHARE: Final = 0.5
"""Share of its own probability in a class's score."""

CLASS_ITEMS: Final = 50
"""Held-out items of a class from which it has a threshold of its own; of fewer, its sets would be
too large: a threshold of n items promises up to 1 / (n + 1) more than it was asked to."""


@dataclass(frozen=True, kw_only=True)
class PredictionSets:
    """What makes sets of classes of probabilities.

    Attributes:
        thresholds: For each class, the highest score with which it is in a set; None where it
            always is, because too few items were held out.
        own: Whether the threshold of each class comes from its own items.
        level: Share of new items whose set is to hold the true class.
        num_items: Number of held-out items that the thresholds were taken from.
    """

    thresholds: tuple[float | None, ...]
    own: tuple[bool, ...]
    level: float
    num_items: int

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The sets that `to_json` wrote."""
        thresholds, own = tuple(document["thresholds"]), tuple(document["own"])
        return cls(**{**document, "thresholds": thresholds, "own": own})

    def to_json(self) -> dict[str, Any]:
        """Every attribute, fit for JSON."""
        document = asdict(self)
        return {**document, "thresholds": list(self.thresholds), "own": list(self.own)}

    def members(self, probabilities: Float[np.ndarray, "n c"]) -> Bool[np.ndarray, "n c"]:
        """Which classes are in the set of each item; the most probable one always is.

        Args:
            probabilities: Calibrated probabilities of the items.
        """
        limits = np.array([inf if limit is None else limit for limit in self.thresholds])
        found = set_scores(probabilities) <= limits
        found[np.arange(len(found)), probabilities.argmax(1)] = True
        return np.asarray(found)


def set_scores(
    probabilities: Float[np.ndarray, "n c"],
    *,
    penalty: float = PENALTY,
    share: float | Float[np.ndarray, "n 1"] = SHARE,
) -> Float[np.ndarray, "n c"]:
    """How far down the ranked classes each one stands: the lower the score, the likelier the class.

    The score of a class is the probability of all classes before it, a share of its own, and
    `penalty` for each class before it. Of classes with one probability the one with the lower number comes
    first.

    Args:
        probabilities: A row for each item.
        penalty: Added for each class that is more probable.
        share: Share of its own probability, of all items or of each. With 1 sets are larger than
            they need be; a random share, as in the paper, would give an item another set each
            time, and a half is its mean.

    Source: RAPS, Angelopoulos, Bates, Malik, Jordan, "Uncertainty sets for image classifiers using
    conformal prediction", ICLR 2021, with k_reg = 1.
    """
    exact = probabilities.astype(np.float64)
    order = np.argsort(-exact, axis=1, kind="stable")
    ranked = np.take_along_axis(exact, order, 1)
    ranked = ranked.cumsum(1) - (1 - share) * ranked + penalty * np.arange(exact.shape[1])
    scores = np.empty_like(exact)
    np.put_along_axis(scores, order, ranked, 1)
    return scores


def fit_prediction_sets(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    *,
    level: float = LEVEL,
    class_items: int = CLASS_ITEMS,
) -> PredictionSets | None:
    """The sets that held-out items ask for; None where they are too few (below 9 for 90 %).

    A class with enough items has a threshold of its own, so that the promise holds for its items
    too and not only on average. The other classes share one that is taken from all items.

    Args:
        probabilities: Calibrated probabilities of items that took no part in the training.
        labels: The class number of each item.
        level: Share of new items whose set is to hold the true class, in (0, 1).
        class_items: Held-out items from which a class has a threshold of its own.

    Raises:
        ArgumentError: The arrays do not fit together.

    Source: by class, Vovk, "Conditional validity of inductive conformal predictors", ACML 2012.
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ArgumentError(
            f"labels of shape {labels.shape} for probabilities of shape {probabilities.shape}",
            fix="give one label an item",
        )
    true_scores = set_scores(probabilities)[np.arange(len(labels)), labels]
    shared = conformal_quantile(true_scores, level)
    if shared is None:
        return None
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    own = counts >= class_items
    thresholds = [
        conformal_quantile(true_scores[labels == k], level) if own[k] else shared
        for k in range(len(counts))
    ]
    return PredictionSets(
        thresholds=tuple(thresholds), own=tuple(own.tolist()), level=level, num_items=len(labels)
    )


def conformal_quantile(scores: Float[np.ndarray, " n"], level: float) -> float | None:
    """The k-th smallest score, k = ceil((n + 1) level); None where there are fewer than k.

    A new score drawn like these is at most so large with a probability of at least `level`, and of
    at most level + 1 / (n + 1) where no two scores are equal.

    Args:
        scores: Scores of held-out items.
        level: The probability that is promised, in (0, 1).
    """
    # Rounded, since 0.9 * 10 must not become a hair above 9.
    rank = ceil(round((len(scores) + 1) * level, 9))
    if rank > len(scores):
        return None
    return float(np.partition(scores, rank - 1)[rank - 1])


def set_coverage(
    members: Bool[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    groups: Numbers | None = None,
) -> Estimate:
    """The share of items whose set holds their class, with Wilson's interval.

    Args:
        members: Which classes are in the set of each item; one item at least.
        labels: The class number of each item.
        groups: Number of each item's group, which counts as one fact; by default every item is a
            group of its own.
    """
    share = float(members[np.arange(len(labels)), labels].mean())
    return share_estimate(share, np.arange(len(labels)) if groups is None else groups)
