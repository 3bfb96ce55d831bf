"""Regression metrics against scikit-learn and SciPy; intervals that hold the truth; no NaN ever."""

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, pearsonr

from striate.errors import ArgumentError
from striate.metrics.intervals import Estimate, estimate_lines, number_text
from striate.metrics.regression import (
    IN_UNIT,
    REGRESSION_METRICS,
    evaluate_regression,
    regression_values,
)

REFERENCES = {
    "mae": sk.mean_absolute_error,
    "rmse": sk.root_mean_squared_error,
    "r2": sk.r2_score,
    "median_absolute_error": sk.median_absolute_error,
    "pearson": lambda targets, predictions: pearsonr(targets, predictions).statistic,
}


def numbers(seed, num_items, noise=0.5, offset=3.0):
    rng = np.random.default_rng(seed)
    targets = rng.normal(offset, 2, num_items)
    return targets * 0.9 + rng.normal(0, noise, num_items), targets


def test_there_is_a_reference_for_every_metric():
    assert set(REFERENCES) == set(REGRESSION_METRICS)


@pytest.mark.parametrize("name", REGRESSION_METRICS)
@pytest.mark.parametrize("num_items", [2, 3, 10, 501])
@pytest.mark.parametrize("offset", [0.0, -1000.0])
def test_equals_the_reference(name, num_items, offset):
    predictions, targets = numbers(num_items, num_items, offset=offset)
    ours = evaluate_regression(predictions, targets, num_resamples=2)[name].value
    np.testing.assert_allclose(ours, REFERENCES[name](targets, predictions), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", REGRESSION_METRICS)
def test_weights_are_repetitions(name):
    predictions, targets = numbers(0, 30)
    weights = np.random.default_rng(1).integers(0, 4, (30, 7)).astype(float)
    ours = regression_values(predictions, targets, weights)[name]
    for column, value in zip(weights.T, ours, strict=True):
        repeated = [np.repeat(a, column.astype(int)) for a in (targets, predictions)]
        np.testing.assert_allclose(value, REFERENCES[name](*repeated), rtol=1e-11, atol=1e-12)


def test_the_interval_is_that_of_scipys_bootstrap():
    predictions, targets = numbers(3, 200)
    ours = evaluate_regression(predictions, targets, num_resamples=9999)["mae"].ci95
    theirs = bootstrap(
        (np.abs(predictions - targets),), np.mean, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    # Two sets of 9,999 draws: their quantiles differ by some hundredths of the width.
    np.testing.assert_allclose(ours, theirs, atol=0.04 * (theirs.high - theirs.low))


def test_the_interval_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(200):
        errors = np.random.default_rng(seed).normal(0, 1, 80)
        told = evaluate_regression(errors, np.zeros(80), num_resamples=300)["mae"].ci95
        held += told[0] < np.sqrt(2 / np.pi) < told[1]
    assert 0.90 < held / 200 < 0.985


def test_copies_widen_the_interval_and_leave_the_figure():
    predictions, targets = (np.repeat(a, 4) for a in numbers(5, 50))
    apart = evaluate_regression(predictions, targets)
    together = evaluate_regression(predictions, targets, np.repeat(np.arange(50), 4))
    for name in REGRESSION_METRICS:
        assert together[name].value == apart[name].value
        widths = [np.ptp(told[name].ci95) for told in (apart, together)]
        assert 1.6 < widths[1] / widths[0] < 2.5  # the square root of 4


def test_the_seed_decides():
    predictions, targets = numbers(6, 40)
    first = evaluate_regression(predictions, targets, seed=1)
    assert first == evaluate_regression(predictions, targets, seed=1)
    assert first != evaluate_regression(predictions, targets, seed=2)


def test_what_is_not_defined_has_a_reason():
    one = evaluate_regression(np.array([1.0]), np.array([3.0]))
    assert one["mae"].value == 2.0 and one["mae"].ci95 is None and one["mae"].reason
    assert one["r2"] == Estimate(value=None, reason="there is only one item")
    constant = evaluate_regression(np.array([1.0, 2.0, 3.0]), np.full(3, 0.1))
    for name in ("r2", "pearson"):
        assert constant[name] == Estimate(value=None, reason="every target is the same")
    flat = evaluate_regression(np.full(3, 0.7), np.array([1.0, 2.0, 3.0]))
    assert flat["r2"].value == sk.r2_score([1, 2, 3], [0.7] * 3)
    assert flat["pearson"] == Estimate(value=None, reason="every prediction is the same")


@given(
    st.lists(
        st.tuples(st.sampled_from([-1.5, 0.1, 0.3, 7.0]), st.floats(-1e6, 1e6)),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 3),
)
def test_never_a_nan_and_always_a_reason(pairs, num_groups):
    predictions, targets = (np.array(column) for column in zip(*pairs, strict=True))
    groups = np.arange(len(targets)) % (num_groups + 1)
    for told in (predictions, targets), (targets, predictions):
        for estimate in evaluate_regression(*told, groups, num_resamples=20).values():
            assert estimate.value is None or np.isfinite(estimate.value)
            assert estimate.ci95 is None or np.isfinite(estimate.ci95).all()
            assert (estimate.value is None or estimate.ci95 is None) == bool(estimate.reason)


def test_mistakes_are_refused():
    with pytest.raises(ArgumentError, match="no item"):
        evaluate_regression(np.empty(0), np.empty(0))
    with pytest.raises(ArgumentError, match="one number an item"):
        evaluate_regression(np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(ArgumentError, match="prediction 1 is nan"):
        evaluate_regression(np.array([0, np.nan]), np.zeros(2))
    with pytest.raises(ArgumentError, match="target 0 is inf"):
        evaluate_regression(np.zeros(2), np.array([np.inf, 0]))


def test_lines_for_a_person():
    told = evaluate_regression(np.array([1.0, 2.0, 3.5]), np.full(3, 2.0))
    lines = estimate_lines(told, digits=4, unit="mm", in_unit=IN_UNIT)
    assert lines[0].startswith("mae                    0.8333 mm (95 % interval ")
    assert lines[2] == "r2                     undefined (every target is the same)"


@given(st.floats(-1e12, 1e12).filter(lambda v: v == 0 or abs(v) > 1e-12), st.integers(1, 6))
def test_number_text_keeps_its_digits(value, digits):
    assert float(number_text(value, digits)) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))
