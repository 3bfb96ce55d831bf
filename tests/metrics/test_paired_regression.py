"""Paired comparison of predicted numbers: Wilcoxon by counting all signs, and the difference."""

import itertools

import numpy as np
import pytest
from scipy.stats import rankdata

from striate.errors import ArgumentError
from striate.metrics.paired import compare_regression, signed_rank, signed_rank_sum
from striate.metrics.regression import REGRESSION_METRICS, regression_values


@pytest.mark.parametrize("seed", range(4))
def test_signed_rank_equals_a_count_of_all_signs(seed):
    differences = np.random.default_rng(seed).normal(0.5, 1, 9)
    ranks = rankdata(np.abs(differences))
    sums = [ranks @ signs for signs in itertools.product((-1, 1), repeat=9)]
    as_uneven = np.mean(np.abs(sums) >= abs(ranks @ np.sign(differences)))
    assert signed_rank(differences) == pytest.approx(as_uneven, rel=1e-12)
    assert signed_rank(np.concatenate([differences, [0.0, 0.0]])) == signed_rank(differences)


def test_who_is_clearly_better_is_decided_by_the_test_and_not_by_counts():
    """The first is a little closer on 120 items, the second much closer on the other 80."""
    targets = np.zeros(200)
    gains = np.concatenate([np.linspace(-0.2, -0.1, 120), np.linspace(1, 2, 80)])
    told = compare_regression(targets + 3, targets + 3 - gains, targets)
    assert (told.first_better, told.second_better) == (120, 80)
    ranks = np.arange(1, 201)
    assert told.lead == signed_rank_sum(gains) == ranks[120:].sum() - ranks[:120].sum()
    assert told.p_value < 0.01
    assert told.clearly_better == "second"
    turned = compare_regression(targets + 3 - gains, targets + 3, targets)
    assert (turned.lead, turned.clearly_better) == (-told.lead, "first")


def test_the_same_predictor_twice():
    targets = np.arange(30.0)
    told = compare_regression(targets + 1, targets + 1, targets)
    assert (told.first_better, told.second_better, told.p_value) == (0, 0, 1.0)
    assert all(told.differences[n].value == 0 for n in REGRESSION_METRICS)
    assert all(told.differences[n].ci95 is None for n in REGRESSION_METRICS)


def test_a_closer_predictor_is_seen_and_pairing_narrows_the_interval():
    rng = np.random.default_rng(0)
    targets, errors = rng.normal(0, 3, 300), rng.normal(0, 1, 300)
    first, second = targets + errors, targets + 0.8 * errors
    told = compare_regression(first, second, targets)
    gain = told.differences["mae"]
    values = [regression_values(p, targets)["mae"][0] for p in (first, second)]
    assert gain.value == pytest.approx(values[1] - values[0])
    assert gain.ci95[0] < gain.value < gain.ci95[1] < 0
    assert (told.first_better, told.second_better) == (0, 300)
    assert told.p_value < 1e-6
    unpaired = 2 * 1.96 * (np.abs(errors).std() * (1 + 0.8**2) ** 0.5) / 300**0.5
    assert np.ptp(gain.ci95) < 0.3 * unpaired
    assert told.differences["r2"].value > 0


def test_lines_and_json():
    targets = np.arange(12.0)
    told = compare_regression(targets + 1, targets + np.tile([0.5, 2.0], 6), targets)
    lines = told.as_lines("a", "b", unit="mm")
    assert lines[0].startswith("closer in a: 6, in b: 6 (Wilcoxon's signed-rank test: p = ")
    assert lines[1].startswith("mae                    +0.2500 mm (95 % interval -")
    assert told.as_json()["differences"]["mae"]["value"] == 0.25
    assert told.as_json()["second_better"] == 6


def test_no_variation_leaves_no_r2():
    told = compare_regression(np.arange(5.0), np.zeros(5), np.ones(5))
    assert told.differences["r2"].value is None and told.differences["r2"].reason
    assert "undefined" in told.as_lines("a", "b")[3]


def test_other_items_are_refused():
    with pytest.raises(ArgumentError, match="same items"):
        compare_regression(np.zeros(3), np.zeros(4), np.zeros(4))
