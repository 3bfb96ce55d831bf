"""Temperature scaling against a fine grid, and its promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax as scipy_softmax
from sklearn.metrics import log_loss

from striate.metrics.calibration import (
    MIN_ITEMS,
    TemperatureScaling,
    fit_calibration,
    fit_temperature,
    negative_log_likelihood,
    softmax,
)


def logits_and_labels(seed, num_items=400, num_classes=3, temperature=1.0):
    """Labels drawn from the softmax of the logits, then logits sharpened by `temperature`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(num_items, num_classes))
    labels = np.array([rng.choice(num_classes, p=row) for row in scipy_softmax(logits, 1)])
    return logits * temperature, labels


def loss(logits, labels, temperature):
    return log_loss(labels, scipy_softmax(logits / temperature, 1), labels=range(logits.shape[1]))


def test_softmax_equals_scipy_and_survives_large_logits():
    logits = np.array([[1e4, 0.0, -1e4], [1.0, 2.0, 3.0]], dtype=np.float32)
    np.testing.assert_allclose(softmax(logits, 2), scipy_softmax(logits / 2, 1), atol=1e-7)


@pytest.mark.parametrize("sharpened", [0.4, 1.0, 3.0])
def test_temperature_is_the_best_of_a_fine_grid(sharpened):
    logits, labels = logits_and_labels(0, temperature=sharpened)
    fitted = fit_temperature(logits, labels)
    grid = np.geomspace(0.2, 5, 161)
    best = grid[np.argmin([loss(logits, labels, t) for t in grid])]
    assert fitted == pytest.approx(best, rel=0.021)  # the grid's step is 2.03 %
    assert fitted == pytest.approx(sharpened, rel=0.25)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(MIN_ITEMS, 60), st.floats(0.01, 50))
def test_temperature_never_makes_the_loss_worse(seed, num_items, scale):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=scale, size=(num_items, 4))
    labels = rng.integers(4, size=num_items)
    fitted = fit_temperature(logits, labels)
    assert 0.01 <= fitted <= 100
    # scikit-learn's clipping of probabilities does not matter before scales of about 30
    log_probabilities = [
        np.log(softmax(logits, t)[range(num_items), labels] + 1e-300) for t in (fitted, 1)
    ]
    assert log_probabilities[0].mean() >= log_probabilities[1].mean() - 1e-9


def test_temperature_is_one_where_it_cannot_be_told():
    logits, labels = logits_and_labels(1, num_items=MIN_ITEMS - 1, temperature=5)
    assert fit_temperature(logits, labels) == 1.0
    labels = np.arange(100) % 3
    assert fit_temperature(np.eye(3)[labels], labels) == 1.0


def test_temperature_keeps_the_predictions():
    logits, labels = logits_and_labels(2, temperature=3)
    calibrated = softmax(logits, fit_temperature(logits, labels))
    np.testing.assert_array_equal(calibrated.argmax(1), logits.argmax(1))


def leaning(num_items: int, lean: float, seed: int = 0):
    """Logits whose probabilities are right but for a shift towards class 0."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num_items, 3)) * 2
    labels = np.array([rng.choice(3, p=p) for p in softmax(logits)])
    return logits + lean * np.array([1.0, 0.0, 0.0]), labels


def test_a_lean_is_found_and_mended():
    logits, labels = leaning(3000, lean=1.5)
    fitted = fit_calibration(logits, labels)
    shift = np.array(fitted.bias) - fitted.bias[1]
    assert shift == pytest.approx([-1.5, 0, 0], abs=0.2)
    assert fitted.temperature == pytest.approx(1, abs=0.1)
    fresh, truth = leaning(3000, lean=1.5, seed=1)
    before = negative_log_likelihood(fresh, truth)
    assert negative_log_likelihood(fitted.scaled(fresh), truth) < before - 0.1


def test_the_shifts_are_the_least_of_scikit_learns_loss():
    from scipy.optimize import minimize
    from sklearn.metrics import log_loss

    logits, labels = leaning(400, lean=1.0)
    fitted = fit_calibration(logits, labels)

    def penalized(values):
        scaled = softmax(logits / values[0] + values[1:])
        return 400 * log_loss(labels, scaled) + 0.5 * values[1:] @ values[1:]

    best = minimize(penalized, [1.0, 0, 0, 0], method="Nelder-Mead", options={"maxiter": 4000})
    assert penalized(np.array([fitted.temperature, *fitted.bias])) <= best.fun + 1e-3


def test_without_a_lean_or_with_few_items_there_is_only_a_temperature():
    assert fit_calibration(*leaning(25, lean=1.0)).bias == ()
    logits, labels = leaning(20_000, lean=0.0, seed=3)  # the shifts then deviate by about 0.03
    shift = fit_calibration(logits, labels).bias
    assert shift == () or np.ptp(shift) < 0.15


def test_logits_are_divided_and_shifted():
    logits = np.array([[1.0, 2.0]])
    scaling = TemperatureScaling(temperature=2.0, bias=(0.5, 0.0))
    assert scaling.scaled(logits) == pytest.approx(np.array([[1.0, 1.0]]))
