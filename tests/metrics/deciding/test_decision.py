"""Decisions: by hand, against a plain loop, and whether what is promised holds for new items."""

import numpy as np
import pytest

from striate.errors import OptionError
from striate.metrics.deciding.aim import Aim
from striate.metrics.deciding.decision import (
    Decision,
    fit_decision,
    outcome,
    outcome_estimates,
)


def drawn(rng, count, classes=2, share=0.3):
    """Labels, and true probabilities of the classes of each item."""
    shares = np.array([share, *[(1 - share) / (classes - 1)] * (classes - 1)])
    labels = rng.choice(classes, count, p=shares)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), labels] += 1.5
    odds = np.exp(1.5 * logits) * shares  # Bayes' rule for normal scores of one deviation
    return odds / odds.sum(1, keepdims=True), labels


def test_costs_by_hand():
    decision = Decision(weights=(9.0, 1.0), of_class=0, cost_unknown=0.5)
    probabilities = np.array([[0.09, 0.91], [0.11, 0.89], [0.5, 0.5], [0.01, 0.99]])
    assert decision.threshold == pytest.approx(0.1)
    assert decision.chosen(probabilities).tolist() == [1, 0, 0, 1]
    assert decision.expected_cost(probabilities) == pytest.approx([0.81, 0.89, 0.5, 0.09])
    assert decision.undecided(probabilities).tolist() == [True, True, False, False]
    told = outcome(decision, probabilities, np.array([0, 0, 1, 0]))
    assert told.recall == pytest.approx(1 / 3)
    assert told.precision == pytest.approx(1 / 2)
    assert told.answered == pytest.approx(0.5)
    assert told.error == pytest.approx(1)
    assert told.cost == pytest.approx((0.5 + 0.5 + 1 + 9) / 4)
    usual = outcome(decision, probabilities, np.array([0, 0, 1, 0]), usual=True)
    assert usual.answered == 1
    assert usual.cost == pytest.approx((9 + 9 + 1 + 9) / 4)


def test_the_answer_has_the_least_expected_cost_of_all():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 50)
    costs = np.array([1.0, 5.0, 2.0, 0.5])
    decision = Decision(weights=tuple(costs))
    expected = [[sum(row * costs) - row[k] * costs[k] for k in range(4)] for row in probabilities]
    assert decision.chosen(probabilities).tolist() == np.argmin(expected, 1).tolist()
    assert decision.expected_cost(probabilities) == pytest.approx(np.min(expected, 1))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("recall", [0.9, 0.99])
def test_new_items_are_found_as_often_as_promised(classes, recall):
    found, names = [], tuple("abcd"[:classes])
    for seed in range(300):
        rng = np.random.default_rng(seed)
        aim = Aim(target_recall={"a": recall})
        decision = fit_decision(*drawn(rng, 500, classes), aim, names)
        found.append(outcome(decision, *drawn(rng, 1000, classes)).recall)
    error = 3 * np.std(found) / np.sqrt(len(found))
    assert recall - error <= np.mean(found) <= recall + error + 1 / 100


def test_the_threshold_is_the_largest_that_keeps_the_recall():
    rng = np.random.default_rng(0)
    probabilities, labels = drawn(rng, 400)
    decision = fit_decision(probabilities, labels, Aim(target_recall={"a": 0.9}), ("a", "b"))
    own = np.sort(probabilities[labels == 0, 0])
    allowed = int((len(own) + 1) * 0.1)
    last = own[allowed - 1]
    # By 1e-4 in log odds lower than the last item's, which float32 rounds a little.
    expected = np.log(last / (1 - last)) - 1e-4
    assert np.log(decision.threshold / (1 - decision.threshold)) == pytest.approx(
        expected, rel=1e-9
    )
    assert (decision.chosen(probabilities) == 0)[labels == 0].sum() == len(own) - allowed + 1
    assert decision.is_supported
    assert decision.num_of_class == len(own)


def test_too_few_items_for_a_recall_are_said():
    probabilities, labels = drawn(np.random.default_rng(0), 30)
    decision = fit_decision(probabilities, labels, Aim(target_recall={"a": 0.99}), ("a", "b"))
    assert not decision.is_supported
    assert decision.promised.recall == 1
    nineteen = Decision(weights=(1.0, 1.0), of_class=0, recall=0.95, num_of_class=19)
    assert nineteen.is_supported
    assert not Decision(weights=(1.0, 1.0), recall=0.95, num_of_class=18).is_supported


def test_costs_are_paid_as_expected_and_no_threshold_is_cheaper():
    rng = np.random.default_rng(0)
    probabilities, labels = drawn(rng, 200_000)
    aim = Aim(error_costs={"a": 8.0}, cost_unknown=0.4)
    decision = fit_decision(probabilities, labels, aim, ("a", "b"))
    cost = np.minimum(decision.expected_cost(probabilities), 0.4).mean()
    assert decision.promised.cost == pytest.approx(cost, rel=0.02)
    always = fit_decision(probabilities, labels, Aim(error_costs={"a": 8.0}), ("a", "b"))
    paid = [
        np.where(labels == 0, 8.0 * (probabilities[:, 0] < t), probabilities[:, 0] >= t).mean()
        for t in np.linspace(0.01, 0.9, 90)
    ]
    assert always.promised.cost <= min(paid) * 1.005


def test_unknown_is_answered_where_the_error_is_likelier_than_its_cost():
    probabilities, labels = drawn(np.random.default_rng(0), 500, 3)
    decision = fit_decision(probabilities, labels, Aim(cost_unknown=0.2), tuple("abc"))
    assert (decision.undecided(probabilities) == (1 - probabilities.max(1) > 0.2)).all()
    assert decision.promised.error < 0.2 < (probabilities.argmax(1) != labels).mean()
    told = outcome_estimates(decision, probabilities, labels)
    assert told.answered.value == pytest.approx(decision.promised.answered)
    assert told.error.ci95[0] < decision.promised.error < told.error.ci95[1]
    assert told.cost.ci95[0] < decision.promised.cost < told.cost.ci95[1]


def test_nothing_is_asked_by_default():
    assert not Aim()
    assert fit_decision(np.ones((1, 1)), np.zeros(1, int), Aim(), ("a",)) is None


@pytest.mark.parametrize(
    "values",
    [
        {"target_recall": {"a": 1.0}},
        {"target_recall": {"a": 0.0}},
        {"target_recall": {"a": 0.9, "b": 0.9}},
        {"error_costs": {"a": 0.0}},
        {"error_costs": {"a": float("inf")}},
        {"cost_unknown": 1.5},
        {"cost_unknown": -0.1},
        {"cost_unknown": float("nan")},
        {"target_recall": {"a": 0.9}, "cost_unknown": 0.2},
    ],
)
def test_values_that_mean_nothing_are_refused(values):
    with pytest.raises(OptionError):
        Aim(**values)


def test_a_cost_of_not_knowing_may_be_as_high_as_the_highest_error():
    assert Aim(error_costs={"a": 10.0}, cost_unknown=5.0).cost_unknown == 5


def test_it_comes_back_from_json():
    probabilities, labels = drawn(np.random.default_rng(0), 200)
    for aim in (Aim(target_recall={"b": 0.8}), Aim(error_costs={"a": 3}, cost_unknown=0.3)):
        decision = fit_decision(probabilities, labels, aim, ("a", "b"))
        assert Decision.from_json(decision.to_json()) == decision
