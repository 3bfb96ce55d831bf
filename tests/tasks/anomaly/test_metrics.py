"""Thresholds that promise a share of false alarms, and the figures of a detector."""

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from striate.tasks.anomaly.metrics import alarm_threshold, evaluate, metric_values


@pytest.mark.parametrize("num_items", [10, 39, 80, 200])
def test_a_threshold_keeps_its_promise_on_average_and_within_its_limits(num_items):
    rng = np.random.default_rng(0)
    rates, promise, held = [], None, 0
    for _ in range(2000):
        promise = alarm_threshold(rng.exponential(size=num_items))
        rates.append(np.exp(-promise.distance))  # the true share beyond it
        held += promise.low <= rates[-1] <= promise.high
    assert promise.num_items == num_items
    assert np.mean(rates) == pytest.approx(promise.share, abs=0.005)
    assert held / 2000 == pytest.approx(0.95, abs=0.015)


def test_too_few_items_promise_what_they_can():
    assert alarm_threshold(np.array([3.0, 1.0, 2.0])).distance == 3.0
    assert alarm_threshold(np.array([3.0, 1.0, 2.0])).share == pytest.approx(1 / 4)
    assert alarm_threshold(np.arange(19.0)).share == pytest.approx(0.05)
    assert alarm_threshold(np.arange(19.0)).distance == 18.0
    assert alarm_threshold(np.arange(39.0)).distance == 37.0


def test_figures_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    odd = rng.random(300) < 0.4
    scores = rng.gamma(9, 0.1, 300) + 0.3 * odd
    found = evaluate(scores, odd)
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(odd, scores))
    assert found["recall"].value == pytest.approx(recall_score(odd, scores > 1))
    assert found["precision"].value == pytest.approx(precision_score(odd, scores > 1))
    assert found["false_alarms"].value == pytest.approx((scores[~odd] > 1).mean())
    plain = metric_values(scores, odd, np.ones((300, 1)))
    for name, figure in found.items():
        assert figure.ci95[0] < figure.value < figure.ci95[1]
        assert plain[name][0] == pytest.approx(figure.value)


def test_without_odd_items_only_false_alarms_are_known():
    found = evaluate(np.linspace(0.5, 1.1, 40), np.zeros(40, bool))
    assert found["false_alarms"].value == pytest.approx((np.linspace(0.5, 1.1, 40) > 1).mean())
    assert {name for name, one in found.items() if one.value is None} == {
        "roc_auc",
        "recall",
        "precision",
    }
    assert found["roc_auc"].reason == "no odd item is here"


def test_a_perfect_order_still_has_an_interval():
    found = evaluate(np.r_[np.full(10, 0.5), np.full(10, 2.0)], np.arange(20) >= 10)
    assert found["roc_auc"].value == 1.0 and found["roc_auc"].ci95[0] < 0.95
