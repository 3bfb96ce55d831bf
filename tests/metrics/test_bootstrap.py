"""Draws follow groups and classes; intervals cover the truth as often as they say."""

import numpy as np
import pytest
from scipy.stats import binomtest

from striate.metrics.classification import METRICS, evaluate, metric_values
from striate.metrics.intervals import (
    effective_size,
    percentile_interval,
    resampling_weights,
    wilson_interval,
)


def draws(labels, groups, **options):
    return np.concatenate(list(resampling_weights(labels, groups, **options)), axis=1)


def test_groups_are_drawn_whole_and_classes_keep_their_number_of_groups():
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    groups = np.array([9, 9, 4, 7, 7, 7, 5, 5])
    weights = draws(labels, groups, num_resamples=200)
    assert weights.shape == (8, 200)
    for group in (9, 4, 7, 5):
        rows = weights[groups == group]
        assert (rows == rows[0]).all()
    per_group = weights[[0, 2, 3, 6]]
    assert (per_group[:2].sum(0) == 2).all()
    assert (per_group[2:].sum(0) == 2).all()


def test_each_item_is_drawn_once_on_average():
    labels = np.arange(50) % 2
    weights = draws(labels, np.arange(50), num_resamples=4000)
    # standard error of a mean of 4000 near-Poisson counts: 0.0158
    np.testing.assert_allclose(weights.mean(1), 1, atol=5 * 0.0158)


def test_draws_depend_on_the_seed_only():
    labels = np.arange(30) % 3
    first, again, other = (draws(labels, np.arange(30), seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_many_items_come_in_blocks(monkeypatch):
    monkeypatch.setattr("striate.metrics.intervals._MAX_CELLS", 300)
    blocks = list(resampling_weights(np.arange(100) % 2, np.arange(100), 10))
    assert [block.shape[1] for block in blocks] == [3, 3, 3, 1]


def test_intervals_equal_a_plain_loop_over_resamples(sample):
    probabilities, labels = sample(0, 80, 3)
    evaluation = evaluate(probabilities, labels, num_resamples=50, seed=3)
    weights = draws(labels, np.arange(80), num_resamples=50, seed=3).astype(int)
    for name in ("balanced_accuracy", "macro_f1", "roc_auc", "log_loss"):
        values = [
            metric_values(probabilities.repeat(w, 0), labels.repeat(w))[name][0] for w in weights.T
        ]
        low, high = np.percentile(values, [2.5, 97.5])
        told = evaluation.metrics[name].ci95
        if name in ("balanced_accuracy", "roc_auc"):  # widened to closed forms
            assert told[0] <= low + 1e-12 and told[1] >= high - 1e-12, name
            low, high = told
        assert told == pytest.approx((low, high), abs=1e-12), name


def test_intervals_cover_the_truth(sample):
    probabilities, labels = sample(10**9, 300_000, 2, signal=0.8)
    truth = metric_values(probabilities, labels)
    hits = dict.fromkeys(METRICS, 0)
    for seed in range(5000, 5300):
        metrics = evaluate(*sample(seed, 200, 2, signal=0.8), num_resamples=200).metrics
        for name in METRICS:
            low, high = metrics[name].ci95
            hits[name] += low <= truth[name][0] <= high
    # 95 % wanted. Percentile limits of 200 items reach 93.5 to 95 % (1000 data sets); a binomial
    # of 300 at 0.935 lies at 267 or above with probability 0.999.
    assert min(hits.values()) >= 267, hits


def test_copies_do_not_narrow_the_interval(sample):
    probabilities, labels = sample(7, 60, 2)
    copies = evaluate(probabilities.repeat(5, 0), labels.repeat(5), np.arange(60).repeat(5), seed=1)
    once = evaluate(probabilities, labels, np.arange(60), seed=1)
    for name in METRICS:
        assert copies.metrics[name].ci95 == pytest.approx(once.metrics[name].ci95, abs=1e-12), name


@pytest.mark.parametrize(("right", "items"), [(0, 10), (3, 10), (50, 51), (40, 40)])
def test_wilson_equals_scipy(right, items):
    theirs = binomtest(right, items).proportion_ci(method="wilson")
    assert wilson_interval(right / items, items) == pytest.approx(
        (theirs.low, theirs.high), abs=1e-12
    )


def test_effective_size():
    assert effective_size(np.arange(7)) == 7
    assert effective_size(np.zeros(7, int)) == 1
    assert effective_size(np.array([0, 0, 1])) == pytest.approx(9 / 5)


def test_draws_without_spread_give_no_interval():
    assert percentile_interval(np.full(10, 0.5)) is None
    assert percentile_interval(np.full(10, np.nan)) is None
    assert percentile_interval(np.array([0.0, 1.0, np.nan])) == pytest.approx((0.025, 0.975))
