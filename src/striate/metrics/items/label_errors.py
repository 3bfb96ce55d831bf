"""Items whose labels are likely wrong, by what models answer that have not seen them.

Confident learning: Northcutt, Jiang and Chuang, JAIR 70, 2021, arXiv:1911.00068. An item is in doubt
where a model gives another class at least the probability that items labelled with that class get
on average. How doubtful its label is depends on two things that its probability is compared with:
that of the best other class, and that which its class usually gets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray


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

    The geometric mean of the best other class's probability and of what items of the label usually
    get, as a multiple of the label's own probability. The first alone favours items between two
    classes, the own probability alone those that no class suits.

    Args:
        probabilities: Calibrated probabilities, each row of a model that has not seen the item.
        labels: Numbers of the classes that the labels name.
    """
    own = probabilities[np.arange(len(labels)), labels]
    others = np.where(labels[:, None] == np.arange(probabilities.shape[1]), 0.0, probabilities)
    compared = others.max(1) * _usual(probabilities, labels)[labels]
    doubts: NDArray[np.float64] = np.sqrt(compared) / np.maximum(own, np.finfo(np.float64).tiny)
    return doubts


def doubtful_labels(
    probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> list[DoubtfulLabel]:
    """The items whose labels are likely wrong, the most doubtful first (see `label_doubts`).

    Args:
        probabilities: Calibrated probabilities, each row of a model that has not seen the item.
        labels: Numbers of the classes that the labels name.
    """
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    classes = np.arange(probabilities.shape[1])
    usual = _usual(probabilities, labels)
    others = np.where((probabilities >= usual) & (labels[:, None] != classes), probabilities, 0.0)
    likely = others.argmax(1)
    best = others[rows, likely]
    doubtful = np.flatnonzero(best > own)
    ranked = doubtful[np.argsort(-label_doubts(probabilities, labels)[doubtful], kind="stable")]
    return [DoubtfulLabel(int(i), int(likely[i]), float(best[i]), float(own[i])) for i in ranked]


def _usual(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(classes,) The mean probability of a class for its items; infinite where it has none."""
    own = probabilities[np.arange(len(labels)), labels]
    classes = range(probabilities.shape[1])
    return np.array([own[labels == c].mean() if (labels == c).any() else np.inf for c in classes])
