"""Items whose labels are likely wrong, by what models answer that have not seen them.

How many labels of a class are wrong is estimated as in confident learning (Northcutt, Jiang and
Chuang, JAIR 70, 2021, arXiv:1911.00068): among the items to which a model gives some class at least
the probability that items labelled with that class get on average, the share for which it is another
class than the label's. So many labels are in doubt, the most doubtful ones (`label_doubts`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from striate.metrics.items.label_doubts import (
    label_doubts,
    other_probabilities,
    plain_doubts,
    usual_probabilities,
)

MIN_DOUBT: Final = 3.0
"""The least of `plain_doubts` at which a label is likely wrong.

Where classes overlap, models are confidently wrong of many items between two of them, and the
estimate of how many labels are wrong is too large."""


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


def doubtful_labels(
    probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> list[DoubtfulLabel]:
    """The items whose labels are likely wrong, the most doubtful first (see `label_doubts`).

    They are as many as are estimated to be wrong, but for those of less plain doubt than
    `MIN_DOUBT`.

    Args:
        probabilities: Calibrated probabilities, each row of a model that has not seen the item.
        labels: Numbers of the classes that the labels name.
    """
    usual = usual_probabilities(probabilities, labels)
    others = other_probabilities(probabilities, labels, usual)
    plain = plain_doubts(probabilities, labels, usual)
    count = _num_errors(probabilities, labels, usual)
    doubts = label_doubts(probabilities, labels, count / max(len(labels), 1))
    ranked = np.argsort(-doubts, kind="stable")[: round(count)]
    return [
        DoubtfulLabel(
            int(i),
            int(others[i].argmax()),
            float(others[i].max()),
            float(probabilities[i, labels[i]]),
        )
        for i in ranked
        if plain[i] >= MIN_DOUBT
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
