"""Intervals of areas and of balanced accuracy cover the truth, at the edge too."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from striate.metrics.area_interval import area_interval
from striate.metrics.classification import evaluate
from striate.metrics.intervals import mean_interval, wilson_interval
from striate.tasks.multilabel.metrics import evaluate as evaluate_labels


@pytest.mark.parametrize(("value", "m", "n"), [(0.5, 12, 20), (0.83, 7, 31), (0.999, 40, 40)])
def test_limits_solve_newcombes_equation(value, m, n):
    def excess(area):
        size = (m + n) / 2
        spread = area * (1 - area) / (m * n)
        spread *= 2 * size - 1 - (3 * size - 3) / ((2 - area) * (1 + area))
        return (value - area) ** 2 - norm.ppf(0.975) ** 2 * spread

    low, high = area_interval(value, m, n)
    assert low == pytest.approx(brentq(excess, 1e-9, value), abs=1e-9)
    assert high == pytest.approx(brentq(excess, value, 1 - 1e-12), abs=1e-9)


def test_an_area_of_1_falls_short_of_certainty_by_the_number_of_items():
    lows = [area_interval(1.0, n, n)[0] for n in (3, 9, 30, 300)]
    assert lows == sorted(lows)
    assert lows[1] == pytest.approx(0.780, abs=0.001)  # 18 items
    assert 0.98 < lows[3] < 0.999
    assert area_interval(0.0, 9, 9) == pytest.approx((0, 1 - lows[1]), abs=1e-9)


def test_the_mean_of_independent_shares_has_a_narrower_interval():
    limits = np.array([wilson_interval(1.0, 20)] * 4)
    low, high = mean_interval(np.ones(4), limits)
    assert high == 1.0
    assert 1 - low == pytest.approx((1 - limits[0, 0]) / 2)


def scores(num_positive, num_negative, distance, rng):
    """Probabilities of class 1 whose log odds are normal, a distance apart by class."""
    odds = np.concatenate([rng.normal(0, 1, num_negative), rng.normal(distance, 1, num_positive)])
    share = 1 / (1 + np.exp(-odds + distance / 2))
    labels = np.repeat([0, 1], [num_negative, num_positive])
    return np.stack([1 - share, share], 1), labels


def coverage(num_positive, num_negative, distance, num_sets):
    """How often the intervals of area and balanced accuracy hold the true figures."""
    rng = np.random.default_rng(3)
    truths = {
        "roc_auc": norm.cdf(distance / 2**0.5),
        "balanced_accuracy": norm.cdf(distance / 2),
    }
    hits = dict.fromkeys(truths, 0)
    for _ in range(num_sets):
        probabilities, labels = scores(num_positive, num_negative, distance, rng)
        metrics = evaluate(probabilities, labels, num_resamples=200).metrics
        assert metrics["roc_auc"].value == pytest.approx(
            roc_auc_score(labels, probabilities[:, 1]), abs=1e-12
        )
        for name, truth in truths.items():
            low, high = metrics[name].ci95
            hits[name] += low <= truth <= high
    return {name: count / num_sets for name, count in hits.items()}


@pytest.mark.parametrize(("m", "n", "distance"), [(9, 9, 3.5), (5, 40, 2.5)])
def test_intervals_cover_of_few_items_and_near_1(m, n, distance):
    # A binomial of 50 at 0.95 lies at 42 or above with probability 0.999.
    assert min(coverage(m, n, distance, 50).values()) >= 42 / 50


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("m", "n"), [(5, 5), (9, 9), (5, 40), (40, 5), (30, 30), (20, 300)])
@pytest.mark.parametrize("distance", [0.0, 1.5, 2.5, 3.5])
def test_intervals_cover_over_500_test_sets(m, n, distance):
    # Shares of few items take few values, whose intervals cover 93 % at worst here.
    assert min(coverage(m, n, distance, 500).values()) >= 0.91


def test_labels_without_a_wrong_rank_claim_no_certainty():
    truth = (np.arange(30)[:, None] + np.arange(2)) % 2 == 0
    found = evaluate_labels(np.where(truth, 0.9, 0.1), truth, truth)
    assert found.metrics["roc_auc"].value == 1.0
    for figure in (found.metrics["roc_auc"], found.per_label[0].roc_auc):
        assert 0.85 < figure.ci95[0] < 0.91 and figure.ci95[1] == 1.0
