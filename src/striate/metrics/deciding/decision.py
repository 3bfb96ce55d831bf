"""How an answer follows from probabilities: by what errors cost, by a target recall, or not at all.

Axes: n items, c classes.

Sources: Elkan, "The foundations of cost-sensitive learning", IJCAI 2001 (costs); Chow, "On optimum
recognition error and reject tradeoff", IEEE Transactions on Information Theory 1970 (not to answer);
split conformal prediction for the recall, Vovk, Gammerman, Shafer, "Algorithmic learning in a random
world", 2005.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from striate.metrics.deciding.aim import Aim
from striate.metrics.intervals import Estimate, Numbers, bootstrap, share_estimate

_SLACK: Final = 1e-4
"""By how much less, in log odds, is required than the threshold's own item has, so that this item is
found whatever engine answers and in whatever batch: both differ by the rounding of float32."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What some answers come to.

    Attributes:
        num_items: Number of items that were answered for.
        recall: Share of the items of the class of the aim that were found; None without a class.
        precision: Share of the items said to be of this class that are; None where none is.
        cost: Mean cost of an item, that of "I don't know" included.
        answered: Share of the items that were answered.
        error: Share of wrong answers among these; None where none is answered.
    """

    num_items: int
    recall: float | None
    precision: float | None
    cost: float
    answered: float
    error: float | None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How answers follow from calibrated probabilities.

    The answer is the class with the largest product of weight and probability. Weights that are
    costs make it the answer of least expected cost.

    Attributes:
        weights: (classes,) Weight of each class.
        of_class: Number of the class that the aim is about; None where there is none.
        recall: Share of this class that is to be found; None where costs decide.
        cost_unknown: Expected cost above which an item is left undecided; None to answer always.
        num_of_class: Number of held-out items of the class that the threshold was chosen on.
        promised: What the answers come to on the held-out items.
    """

    weights: tuple[float, ...]
    of_class: int | None = None
    recall: float | None = None
    cost_unknown: float | None = None
    num_of_class: int | None = None
    promised: Outcome | None = None

    @property
    def threshold(self) -> float | None:
        """Of two classes, the probability from which the aim's class is the answer; None of more."""
        if len(self.weights) != 2 or self.of_class is None:
            return None
        own, other = self.weights[self.of_class], self.weights[1 - self.of_class]
        return other / (own + other)

    @property
    def costs(self) -> tuple[float, ...]:
        """(classes,) What an error on an item of each class costs."""
        return self.weights if self.recall is None else (1.0,) * len(self.weights)

    @property
    def is_supported(self) -> bool:
        """Whether there were enough held-out items of the class to choose its threshold by."""
        if self.recall is None or self.num_of_class is None:
            return True
        return _rank(self.num_of_class, self.recall) > 0

    def chosen(self, probabilities: Float[np.ndarray, "n c"]) -> Int[np.ndarray, " n"]:
        """The number of the class that each item is taken for."""
        return np.asarray((probabilities * np.array(self.weights)).argmax(1))

    def expected_cost(self, probabilities: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """What the answer to each item costs on average, by its probabilities."""
        products = probabilities * np.array(self.costs)
        chosen = self.chosen(probabilities)[:, None]
        return np.asarray(products.sum(1) - np.take_along_axis(products, chosen, 1)[:, 0])

    def undecided(self, probabilities: Float[np.ndarray, "n c"]) -> Bool[np.ndarray, " n"]:
        """Which items are answered by "I don't know"."""
        if self.cost_unknown is None:
            return np.zeros(len(probabilities), bool)
        return np.asarray(self.expected_cost(probabilities) > self.cost_unknown)

    def to_json(self) -> dict[str, Any]:
        """The fields by their names, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The decision that `to_json` wrote."""
        promised = document["promised"]
        return cls(
            **{
                **document,
                "weights": tuple(document["weights"]),
                "promised": None if promised is None else Outcome(**promised),
            }
        )


def fit_decision(
    probabilities: Float[np.ndarray, "n c"],
    labels: Numbers,
    aim: Aim,
    classes: tuple[str, ...],
) -> Decision | None:
    """The decision that an aim asks for; None where nothing is asked.

    A target recall is reached by the largest threshold at which that share of new items of the
    class is found on average: of n held-out items of the class that with the rank (n + 1)(1 - recall)
    from below. Where n is too small for that, the threshold is that of the lowest of them. Costs
    need no choice, for the probabilities are calibrated on the held-out items.

    Args:
        probabilities: Calibrated probabilities of held-out items.
        labels: The class number of each item.
        aim: What is asked.
        classes: Names of the classes, in the order of their numbers.
    """
    if not aim:
        return None
    weights = np.ones(len(classes))
    of_class, recall, num_of_class = None, None, None
    for name, share in aim.target_recall.items():
        of_class, recall = classes.index(name), share
        inside = labels == of_class
        num_of_class = int(inside.sum())
        weights[of_class] = recall_weight(probabilities[inside], of_class, share)
    for name, cost in aim.error_costs.items():
        weights[classes.index(name)] = cost
    if aim.error_costs:
        of_class = int(weights.argmax())
    decision = Decision(
        weights=tuple(weights.tolist()),
        of_class=of_class,
        recall=recall,
        cost_unknown=aim.cost_unknown,
        num_of_class=num_of_class,
    )
    told = outcome(decision, probabilities, labels) if len(labels) else None
    return replace(decision, promised=told)


def recall_weight(probabilities: Float[np.ndarray, "n c"], number: int, recall: float) -> float:
    """The weight of a class at which a share of its new items is found.

    Args:
        probabilities: Calibrated probabilities of held-out items of the class.
        number: The number of the class.
        recall: The share.
    """
    if not len(probabilities):
        return 1.0
    logs = np.log(np.maximum(probabilities, 1e-300))
    lead = np.sort(logs[:, number] - np.delete(logs, number, 1).max(1))
    place = max(_rank(len(lead), recall), 1) - 1
    return float(np.exp(-lead[place] + _SLACK))


def _rank(count: int, recall: float) -> int:
    """Rank from below of the held-out item that gives the threshold; 0 where there are too few."""
    # Rounded, as (19 + 1) * (1 - 0.95) is 1 and a little less in floating point.
    return math.floor(round((count + 1) * (1 - recall), 9))


def outcome(
    decision: Decision,
    probabilities: Float[np.ndarray, "n c"],
    labels: Numbers,
    *,
    usual: bool = False,
) -> Outcome:
    """What the answers to some items come to; see `Outcome`.

    Args:
        decision: How they are answered, and what errors cost.
        probabilities: Calibrated probabilities of the items, of one at least.
        labels: The class number of each item.
        usual: Whether each item is answered by its most probable class instead.
    """
    answers, answered = _answers(decision, probabilities, usual)
    found = precision = None
    if decision.of_class is not None:
        found = _share((answers == decision.of_class)[labels == decision.of_class])
        precision = _share((labels == decision.of_class)[answers == decision.of_class])
    return Outcome(
        num_items=len(labels),
        recall=found,
        precision=precision,
        cost=float(item_costs(decision, probabilities, labels, usual=usual).mean()),
        answered=float(answered.mean()),
        error=_share((answers != labels)[answered]),
    )


def item_costs(
    decision: Decision,
    probabilities: Float[np.ndarray, "n c"],
    labels: Numbers,
    *,
    usual: bool = False,
) -> Float[np.ndarray, " n"]:
    """(n,) What the answer to each item cost: by its class where it is wrong, or for not knowing.

    Args:
        decision: How the items are answered, and what errors cost.
        probabilities: Calibrated probabilities of the items.
        labels: The class number of each item.
        usual: Whether each item is answered by its most probable class instead.
    """
    answers, answered = _answers(decision, probabilities, usual)
    paid = (answers != labels) * np.array(decision.costs)[labels]
    return np.where(answered, paid, decision.cost_unknown or 0.0)


def _answers(
    decision: Decision, probabilities: Float[np.ndarray, "n c"], usual: bool
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """The class that each item is taken for, and which items are answered."""
    if usual:
        return np.asarray(probabilities.argmax(1)), np.ones(len(probabilities), bool)
    return decision.chosen(probabilities), ~decision.undecided(probabilities)


@dataclass(frozen=True, kw_only=True)
class OutcomeEstimates:
    """What some answers come to, with 95 % intervals; see `Outcome`."""

    recall: Estimate | None
    precision: Estimate | None
    cost: Estimate
    answered: Estimate
    error: Estimate | None


def outcome_estimates(
    decision: Decision,
    probabilities: Float[np.ndarray, "n c"],
    labels: Numbers,
    groups: Numbers | None = None,
    *,
    usual: bool = False,
    seed: int = 0,
) -> OutcomeEstimates:
    """What the answers to some items come to, with intervals that count a group as one fact.

    Args:
        decision: How the items are answered, and what errors cost.
        probabilities: Calibrated probabilities of the items, of one at least.
        labels: The class number of each item.
        groups: Number of each item's group (copies); by default each is of its own.
        usual: Whether each item is answered by its most probable class instead.
        seed: Seed of the draws.
    """
    if groups is None:
        groups = np.arange(len(labels))
    told = outcome(decision, probabilities, labels, usual=usual)
    answers, answered = _answers(decision, probabilities, usual)
    paid = item_costs(decision, probabilities, labels, usual=usual)
    cost = bootstrap(
        lambda weights: {"cost": (paid[:, None] * weights).sum(0) / weights.sum(0)},
        np.zeros(len(labels), np.int64),
        groups,
        undefined="there is no item",
        seed=seed,
    )["cost"]

    def share(value: float | None, inside: Bool[np.ndarray, " n"]) -> Estimate | None:
        return None if value is None else share_estimate(value, groups[inside])

    return OutcomeEstimates(
        recall=share(told.recall, labels == decision.of_class),
        precision=share(told.precision, answers == decision.of_class),
        cost=cost,
        answered=share_estimate(told.answered, groups),
        error=share(told.error, answered),
    )


def _share(inside: Bool[np.ndarray, " n"]) -> float | None:
    return float(inside.mean()) if len(inside) else None
