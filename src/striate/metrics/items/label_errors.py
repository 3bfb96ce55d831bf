"""Items whose labels are likely wrong, by what models answer that have not seen them.

How many labels of a class are wrong is estimated as in confident learning (Northcutt, Jiang and
Chuang, JAIR 70, 2021, arXiv:1911.00068): among the items to which a model gives some class at least
the probability that items labelled with that class get on average, the share for which it is another
class than the label's. So many labels are in doubt, the most doubtful ones. How doubtful a label is
depends on two things that its probability is compared with: that of the best other class, and that
which its class usually gets.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

MIN_DOUBT: Final = 3.0
"""The least of `label_doubts` at which a label is likely wrong.

Where classes overlap, models are confidently wrong of many items between two of them, and the
estimate of how many labels are wrong is too large."""

PROBABILITY_FLOOR: Final = 0.02
"""What is added to a label's own probability: much smaller ones are not known so well.

Models learn from labels of which some are wrong, and of how many parts in a thousand a probability
is says little."""


class DoubtfulLabel(NamedTuple):
    """A label that is likely wrong.

    Attributes:
        item: Position of the item.
        likely: Number of the class that it more likely belongs to.
        probability: Probability of that class.
        own_probability: Probability of the class that the label names.
    """

    item: int
    likely: int
    probability: float
    own_probability: float


def label_doubts(
    probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """How doubtful each label is, from 0.

    What items of the label usually get, and to half as much of an exponent the best other class's
    probability, beside the label's own probability and `PROBABILITY_FLOOR`. The best other class
    alone favours items between two classes, the own probability alone those that no class suits.

    Args:
        probabilities: Calibrated probabilities, each row of a model that has not seen the item.
        labels: Numbers of the classes that the labels name.
    """
    own = probabilities[np.arange(len(labels)), labels]
    usual = _usual(probabilities, labels)
    best_other = _others(probabilities, labels, usual).max(1)
    compared = best_other**0.25 * usual[labels] ** 0.5
    doubts: NDArray[np.float64] = compared / (own + PROBABILITY_FLOOR)
    return doubts


def doubtful_labels(
    probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> list[DoubtfulLabel]:
    """The items whose labels are likely wrong, the most doubtful first (see `label_doubts`).

    They are as many as are estimated to be wrong, but for those of less doubt than `MIN_DOUBT`.

    Args:
        probabilities: Calibrated probabilities, each row of a model that has not seen the item.
        labels: Numbers of the classes that the labels name.
    """
    usual = _usual(probabilities, labels)
    others = _others(probabilities, labels, usual)
    doubts = label_doubts(probabilities, labels)
    ranked = np.argsort(-doubts, kind="stable")[: round(_num_errors(probabilities, labels, usual))]
    return [
        DoubtfulLabel(
            int(i),
            int(others[i].argmax()),
            float(others[i].max()),
            float(probabilities[i, labels[i]]),
        )
        for i in ranked
        if doubts[i] >= MIN_DOUBT
    ]


def _num_errors(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], usual: NDArray[np.float64]
) -> float:
    """How many labels are wrong, by the share of wrong ones among the items that are clear."""
    confident = np.where(probabilities >= usual, probabilities, -1.0)
    clear, wrong = confident.max(1) >= 0, confident.argmax(1) != labels
    of_class = labels[:, None] == np.unique(labels)
    num_clear = (of_class & clear[:, None]).sum(0)
    num_wrong = (of_class & (clear & wrong)[:, None]).sum(0)
    return float((of_class.sum(0) * num_wrong / np.maximum(num_clear, 1)).sum())


def _others(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], usual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(items, classes) The probabilities of other classes than the label's; 0 of those without items."""
    other = labels[:, None] != np.arange(probabilities.shape[1])
    return np.where(other & np.isfinite(usual), probabilities, 0.0)


def _usual(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(classes,) The mean probability of a class for its items; infinite where it has none."""
    own = probabilities[np.arange(len(labels)), labels]
    classes = range(probabilities.shape[1])
    return np.array([own[labels == c].mean() if (labels == c).any() else np.inf for c in classes])
