"""What twice the data would bring: the fit, and how often its interval holds the truth."""

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.stats import norm

from striate.metrics.learning_curve import learning_curve, predicted_errors

SIZES = (40, 80, 160, 320)


def test_a_power_law_is_found_as_scipy_finds_it():
    rng = np.random.default_rng(0)
    sizes = np.array([25.0, 50, 100, 200, 400, 800])
    spread = np.full(6, 0.002)
    errors = 0.08 + 1.2 * sizes**-0.6 + rng.normal(size=6) * spread
    (told,) = predicted_errors(sizes, errors[None], spread, np.array([800.0, 1600.0]))

    def law(n, floor, slope, exponent):
        return floor + slope * n**-exponent

    found, _ = curve_fit(law, sizes, errors, p0=(0.1, 1.0, 0.5), bounds=(0, [1, 50, 2]))
    assert told == pytest.approx(law(np.array([800.0, 1600.0]), *found), abs=1e-3)


def test_neither_floor_nor_slope_falls_below_nothing():
    rising = np.array([[0.1, 0.12, 0.14, 0.2]])
    told = predicted_errors(np.array(SIZES, float), rising, np.full(4, 0.01), np.array([640.0]))
    assert told[0, 0] == pytest.approx(rising.mean())
    steep = 2.0 * np.array(SIZES) ** -1.0
    told = predicted_errors(
        np.array(SIZES, float), steep[None], np.full(4, 0.01), np.array([640.0])
    )
    assert told[0, 0] == pytest.approx(2.0 / 640, rel=0.05)


def simulated(seed, num_items=400, num_features=40, num_folds=5):
    """Errors of ridge classifiers on growing parts, and the true errors at once and twice as many."""
    rng = np.random.default_rng(seed)
    centre = np.zeros(num_features)
    centre[0] = 1.0
    labels = rng.choice([-1.0, 1.0], num_items)
    x = rng.normal(size=(num_items, num_features)) + labels[:, None] * centre

    def fitted(x, labels):
        return np.linalg.solve(x.T @ x + 5 * np.eye(num_features), x.T @ labels)

    folds = rng.permutation(num_items) % num_folds
    errors = np.zeros((num_items, len(SIZES)))
    for k in range(num_folds):
        rest = rng.permutation(np.flatnonzero(folds != k))
        inside = folds == k
        for column, size in enumerate(SIZES):
            weights = fitted(x[rest[:size]], labels[rest[:size]])
            errors[inside, column] = np.sign(x[inside] @ weights) != labels[inside]

    def true_error(count):
        found = []
        for _ in range(20):
            y = rng.choice([-1.0, 1.0], count)
            weights = fitted(rng.normal(size=(count, num_features)) + y[:, None] * centre, y)
            found.append(norm.cdf(-(weights @ centre) / np.linalg.norm(weights)))
        return np.mean(found)

    return errors, folds, true_error(num_items) - true_error(2 * num_items)


def test_the_interval_holds_the_true_gain():
    held, told = [], []
    for seed in range(40):
        errors, folds, gain = simulated(seed)
        curve = learning_curve(
            SIZES, errors, folds, np.arange(len(folds)), num_items=400, seed=seed
        )
        low, high = curve.gain.ci95
        held.append(low <= gain <= high)
        told.append(curve.gain.value - gain)
    assert np.mean(held) >= 0.9
    assert abs(np.mean(told)) < 0.01


def test_it_is_not_said_that_more_helps_where_nothing_is_learnt():
    rng = np.random.default_rng(0)
    said = []
    for seed in range(60):
        errors = (rng.random((300, 4)) < 0.3).astype(float)
        folds = np.arange(300) % 5
        curve = learning_curve(SIZES, errors, folds, np.arange(300), num_items=300, seed=seed)
        said.append(curve.is_supported)
    assert np.mean(said) <= 0.05


def test_few_sizes_have_no_curve():
    errors = np.zeros((10, 3))
    assert learning_curve((2, 4, 8), errors, np.arange(10) % 5, np.arange(10), num_items=10) is None
