"""Split-conformal intervals: the rank by brute force, and coverage as the theorem has it."""

import numpy as np
import pytest

from striate.metrics.regression import PredictionInterval, coverage, fit_prediction_interval


@pytest.mark.parametrize("num_items", [9, 10, 19, 99, 100, 250])
def test_the_half_width_is_the_least_that_ranks_high_enough(num_items):
    errors = np.random.default_rng(num_items).exponential(size=num_items)
    told = fit_prediction_interval(errors, np.zeros(num_items))
    # Brute force: the least error that at least 90 % of (errors and one to come) do not exceed.
    enough = [e for e in errors if 10 * int((errors <= e).sum()) >= 9 * (num_items + 1)]
    assert told == PredictionInterval(half_width=min(enough), level=0.9, num_items=num_items)


def test_too_few_items_give_none():
    assert fit_prediction_interval(np.arange(8.0), np.zeros(8)) is None
    assert fit_prediction_interval(np.arange(9.0), np.zeros(9)).half_width == 8


@pytest.mark.parametrize("num_items", [20, 49])
def test_new_items_are_covered_as_often_as_promised(num_items):
    rng = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        seen, new = rng.standard_cauchy(num_items), rng.standard_cauchy(20)
        told = fit_prediction_interval(seen, np.zeros(num_items))
        held.append(coverage(new, np.zeros(20), told).value)
    # 0.9 at least, and 1 / (n + 1) more at most; five standard errors for the 2,000 trials.
    slack = 5 * np.std(held) / 2000**0.5
    assert 0.9 - slack < np.mean(held) < 0.9 + 1 / (num_items + 1) + slack


def test_coverage_has_an_interval_that_groups_widen():
    interval = PredictionInterval(half_width=1.0, level=0.9, num_items=50)
    errors = np.where(np.arange(40) % 10 == 0, 2.0, 1.0)
    apart = coverage(errors, np.zeros(40), interval)
    together = coverage(errors, np.zeros(40), interval, np.arange(40) // 4)
    assert apart.value == together.value == 0.9
    assert together.ci95[0] < apart.ci95[0] < 0.9 < apart.ci95[1] < together.ci95[1]
