"""Items whose labels are likely wrong, by what models answer that have not seen them.

Confident learning: Northcutt, Jiang and Chuang, JAIR 70, 2021, arXiv:1911.00068. An item is in doubt
where a model gives another class at least the probability that items labelled with that class get
on average.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


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
    """The items whose labels are likely wrong, the most doubtful first.

    Args:
        probabilities: Calibrated probabilities, each row of a model that has not seen the item.
        labels: Numbers of the classes that the labels name.
    """
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    classes = np.arange(probabilities.shape[1])
    usual = np.array([own[labels == c].mean() if (labels == c).any() else np.inf for c in classes])
    others = np.where((probabilities >= usual) & (labels[:, None] != classes), probabilities, 0.0)
    likely = others.argmax(1)
    best = others[rows, likely]
    doubtful = np.flatnonzero(best > own)
    doubt = best / np.maximum(own, np.finfo(np.float64).tiny)
    ranked = doubtful[np.argsort(-doubt[doubtful], kind="stable")]
    return [DoubtfulLabel(int(i), int(likely[i]), float(best[i]), float(own[i])) for i in ranked]
