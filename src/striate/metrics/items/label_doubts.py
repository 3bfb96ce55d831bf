"""How doubtful each label is, learnt from labels that are wrong because they were drawn at random.

Models that have not seen an item say nothing of its label that they were told. So another label,
drawn at random, looks to them as a wrong one does, and what tells such labels from the given ones
tells wrong labels: how small the label's own probability is, how large that of the best other
class, what the label usually gets, and how unsure the probabilities are as a whole. How much each
counts differs from data to data. A logistic regression learns it, beginning from an order that
does well on most; it takes given labels for right by as much as it holds them for right itself, in
a few rounds (an EM algorithm, since some of the given labels are wrong too).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

PROBABILITY_FLOOR: Final = 0.02
"""What is added to a label's own probability: much smaller ones are not known so well.

Models learn from labels of which some are wrong, and of how many parts in a thousand a probability
is says little."""

_PENALTY: Final = 0.3
"""Half of it times the squared change of the order, in standard deviations of what it is made of,
is added to the loss of all items."""

_TAIL_FLOOR: Final = 0.002
"""The same where it is learnt how much small probabilities tell."""

_ROUNDS: Final = 15
_LEAST_WRONG: Final = 0.02
_MOST_WRONG: Final = 0.3
"""Shares between which that of the wrong labels is taken to be."""

_MAX_DRAWN: Final = 100_000
"""Labels that are drawn, at most; of few items every other label is taken."""

_STEPS: Final = 50
_STEADY: Final = 1e-6
_RIDGE: Final = 1e-4


def label_doubts(
    probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """How doubtful each label is, from 0 to 1: about the chance that it is wrong.

    Args:
        probabilities: Calibrated probabilities, each row of a model that has not seen the item.
        labels: Numbers of the classes that the labels name.
    """
    usual = usual_probabilities(probabilities, labels)
    plain = np.log(plain_doubts(probabilities, labels, usual))
    items, drawn = _drawn_labels(labels, np.flatnonzero(np.isfinite(usual)))
    if not len(drawn):
        return _chance(plain)
    given = _traits(probabilities, labels, usual)
    traits = np.concatenate([given, _traits(probabilities[items], drawn, usual)])
    scaled = (traits - traits.mean(0)) / (traits.std(0) + 1e-9)
    start = np.concatenate([plain, np.log(plain_doubts(probabilities[items], drawn, usual))])
    is_drawn = np.arange(len(start)) >= len(labels)
    if start[is_drawn].mean() <= plain.mean():  # the probabilities know nothing of the labels
        return _chance(plain)
    columns = np.column_stack([np.ones(len(start)), start, scaled])
    share = num_errors(probabilities, labels, usual) / len(labels)
    share = min(max(share, _LEAST_WRONG), _MOST_WRONG)
    weights = np.where(is_drawn, share * len(labels) / len(drawn), 1.0)
    penalty = np.array([_RIDGE, _RIDGE, *[_PENALTY] * scaled.shape[1]])
    chance = np.zeros(len(labels))
    for _ in range(_ROUNDS):
        weights[: len(labels)] = 1 - chance
        found = _logistic(columns, is_drawn, weights, penalty)
        chance = _chance(columns[: len(labels)] @ found)
    return chance


def plain_doubts(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    usual: Float[np.ndarray, " c"],
) -> Float[np.ndarray, " n"]:
    """How doubtful each label is by an order that does well on most data, from 0.

    What items of the label usually get, and to half as much of an exponent the best other class's
    probability, beside the label's own probability and `PROBABILITY_FLOOR`. The best other class
    alone favours items between two classes, the own probability alone those that no class suits.

    Args:
        probabilities: Calibrated probabilities, each row of a model that has not seen the item.
        labels: Numbers of the classes that the labels name.
        usual: What `usual_probabilities` gives.
    """
    own = probabilities[np.arange(len(labels)), labels]
    best_other = other_probabilities(probabilities, labels, usual).max(1)
    compared = np.maximum(best_other, 1e-9) ** 0.25 * usual[labels] ** 0.5
    doubts: NDArray[np.float64] = compared / (own + PROBABILITY_FLOOR)
    return doubts


def num_errors(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    usual: Float[np.ndarray, " c"],
) -> float:
    """About how many labels are wrong, as confident learning estimates it.

    Among the items to which a model gives some class at least the probability that its own items
    get on average, it is the share for which that is another class than the label's.

    Args:
        probabilities: Calibrated probabilities, each row of a model that has not seen the item.
        labels: Numbers of the classes that the labels name.
        usual: What `usual_probabilities` gives.

    Source: Northcutt, Jiang and Chuang, JAIR 70, 2021, arXiv:1911.00068.
    """
    confident = np.where(probabilities >= usual, probabilities, -1.0)
    clear, wrong = confident.max(1) >= 0, confident.argmax(1) != labels
    of_class = labels[:, None] == np.unique(labels)
    num_clear = (of_class & clear[:, None]).sum(0)
    num_wrong = (of_class & (clear & wrong)[:, None]).sum(0)
    return float((of_class.sum(0) * num_wrong / np.maximum(num_clear, 1)).sum())


def usual_probabilities(
    probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " c"]:
    """The mean probability of a class for its items; infinite where it has none.

    Args:
        probabilities: Calibrated probabilities.
        labels: Numbers of the classes that the labels name.
    """
    own = probabilities[np.arange(len(labels)), labels]
    classes = range(probabilities.shape[1])
    return np.array([own[labels == c].mean() if (labels == c).any() else np.inf for c in classes])


def other_probabilities(
    probabilities: Float[np.ndarray, "n c"],
    labels: Int[np.ndarray, " n"],
    usual: Float[np.ndarray, " c"],
) -> Float[np.ndarray, "n c"]:
    """The probabilities of other classes than the label's; 0 of those without items.

    Args:
        probabilities: Calibrated probabilities.
        labels: Numbers of the classes that the labels name.
        usual: What `usual_probabilities` gives.
    """
    other = labels[:, None] != np.arange(probabilities.shape[1])
    return np.where(other & np.isfinite(usual), probabilities, 0.0)


def _traits(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], usual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(items, 5) What a label is judged by, as logarithms."""
    own = probabilities[np.arange(len(labels)), labels]
    best_other = other_probabilities(probabilities, labels, usual).max(1)
    logarithms = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    unsure = -(probabilities * logarithms).sum(1) / np.log(probabilities.shape[1])
    parts = [own, best_other, unsure]
    columns = [np.log(np.maximum(part, 0) + PROBABILITY_FLOOR) for part in parts]
    return np.stack([*columns, np.log(own + _TAIL_FLOOR), np.log(usual[labels])], 1)


def _drawn_labels(
    labels: NDArray[np.int64], classes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Items, and for each another label than its own: all there are, or as many drawn at random."""
    count = len(labels) * len(classes)
    places = np.arange(count)
    if count > _MAX_DRAWN:
        places = np.random.default_rng(0).choice(count, _MAX_DRAWN, replace=False)
    items, drawn = places // max(len(classes), 1), classes[places % max(len(classes), 1)]
    other = drawn != labels[items]
    return items[other], drawn[other]


def _logistic(
    columns: NDArray[np.float64],
    answers: NDArray[np.bool_],
    weights: NDArray[np.float64],
    penalty: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The coefficients of a penalized logistic regression, by Newton's method."""
    found = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        chance = _chance(columns @ found)
        slope = columns.T @ (weights * (chance - answers)) + penalty * found
        bent = weights * chance * (1 - chance)
        step = np.linalg.solve((columns * bent[:, None]).T @ columns + np.diag(penalty), slope)
        found -= step
        if np.abs(step).max() < _STEADY:
            break
    return found


def _chance(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    chance: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    return chance
