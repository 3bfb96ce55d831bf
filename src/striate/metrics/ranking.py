"""Area under the ROC curve: how well the scores rank the items of a class above all others."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def binary_roc_auc(
    scores: Float[np.ndarray, " n"],
    positive: Bool[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
) -> Float[np.ndarray, " b"]:
    """The chance that a positive item scores above a negative one; a tie counts one half.

    NaN where the weights leave no positive or no negative item.

    What a positive item beats among all items is read off one running sum; the pairs of two
    positives among them win half of their weight, whatever the scores.
    """
    order = np.argsort(scores)
    running = np.zeros((len(scores) + 1, weights.shape[1]))
    np.cumsum(weights[order], axis=0, out=running[1:])
    ascending, found = scores[order], scores[positive]
    below = running[np.searchsorted(ascending, found, side="left")]
    not_above = running[np.searchsorted(ascending, found, side="right")]
    of_positives = weights[positive]
    num_positives = of_positives.sum(0)
    wins = np.einsum("pb,pb->b", of_positives, below + not_above) / 2 - num_positives**2 / 2
    pairs = num_positives * (running[-1] - num_positives)
    undefined = np.full_like(wins, np.nan)
    return np.asarray(np.divide(wins, pairs, out=undefined, where=pairs > 0))


def class_roc_auc(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
) -> Float[np.ndarray, "c b"]:
    """The area of each class against all others; NaN where a class or its others have no item."""
    columns = range(probabilities.shape[1])
    return np.stack([binary_roc_auc(probabilities[:, c], labels == c, weights) for c in columns])


def roc_auc(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    weights: Float[np.ndarray, "n b"],
) -> Float[np.ndarray, " b"]:
    """The area of class 1 of two, or the plain mean of one-versus-rest areas of more.

    NaN where a class has no item, as in scikit-learn's `roc_auc_score`, which raises there.
    """
    if probabilities.shape[1] == 2:
        return binary_roc_auc(probabilities[:, 1], labels == 1, weights)
    return np.asarray(class_roc_auc(probabilities, labels, weights).mean(0))
