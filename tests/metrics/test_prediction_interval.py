"""Split-conformal intervals: the rank by brute force, and coverage as the theorem has it."""

import json

import numpy as np
import pytest

from striate.metrics.regression import PredictionInterval, coverage, fit_prediction_interval
from striate.tasks.regression.scoring import NumberCalibration


@pytest.mark.parametrize("num_items", [9, 10, 19, 99, 100, 250])
def test_the_half_width_is_the_least_that_ranks_high_enough(num_items):
    errors = np.random.default_rng(num_items).exponential(size=num_items)
    predictions = np.random.default_rng(0).normal(size=num_items)
    told = fit_prediction_interval(predictions, predictions - errors)
    # Brute force: the least error that at least 90 % of (errors and one to come) do not exceed.
    enough = [e for e in errors if 10 * int((errors <= e).sum()) >= 9 * (num_items + 1)]
    assert told.half_width == pytest.approx(min(enough), abs=1e-12)
    assert (told.level, told.num_items, told.knots) == (0.9, num_items, ())


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


def drawn(num_items, rng):
    """Predictions, and true numbers whose errors grow with them."""
    predictions = rng.uniform(1, 10, num_items)
    return predictions, predictions + rng.normal(size=num_items) * predictions / 5


def test_where_errors_follow_the_prediction_so_does_the_width():
    """Covered as promised, large numbers far better than by one width, and narrower on average."""
    rng, held, large, widths = np.random.default_rng(0), [], [], []
    same = np.quantile(np.abs(np.subtract(*drawn(100_000, rng))), 0.9)
    for _ in range(200):
        told = fit_prediction_interval(*drawn(300, rng))
        predictions, targets = drawn(500, rng)
        errors = np.abs(predictions - targets)
        inside = errors <= told.half_widths(predictions)
        held.append(inside.mean())
        large.append([each[predictions > 7].mean() for each in (inside, errors <= same)])
        widths.append((told.half_widths(predictions).mean(), bool(told.knots)))
    mean_width, follows = np.mean(widths, 0)
    scaled, constant = np.mean(large, 0)
    assert abs(np.mean(held) - 0.9) < 0.01
    assert scaled > constant + 0.06 and abs(scaled - 0.9) < 0.04
    assert mean_width < 0.97 * same and follows > 0.9


def test_where_errors_are_alike_the_width_mostly_is_one():
    rng, follows = np.random.default_rng(1), 0
    for _ in range(100):
        predictions = rng.uniform(1, 10, 200)
        told = fit_prediction_interval(predictions, predictions + rng.normal(size=200))
        follows += bool(told.knots)
    assert follows <= 8


def test_limits_of_a_scaled_interval_come_back_from_json():
    interval = PredictionInterval(
        half_width=2.0, level=0.9, num_items=200, knots=(0.0, 10.0), scales=(0.5, 1.5)
    )
    calibration = NumberCalibration(interval=interval)
    again = NumberCalibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert again == calibration
    assert [again.limits(number) for number in (-5.0, 5.0)] == [(-6.0, -4.0), (3.0, 7.0)]
    assert interval.range() == (1.0, 3.0)
    older = {"half_width": 2.0, "level": 0.9, "num_items": 200}
    document = {**calibration.to_json(), "interval": older}
    assert NumberCalibration.from_json(document).limits(5.0) == (3.0, 7.0)
