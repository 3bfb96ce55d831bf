"""The calibration error is right on average, and its interval covers the truth."""

import numpy as np
import pytest
from scipy.special import expit, logit

from striate.metrics.intervals import effective_size, wilson_interval
from striate.metrics.probabilities import ece
from striate.metrics.reliability import BIN_ITEMS, MAX_BINS, calibration_error, reliability_bins

SURENESS = {
    "sure": lambda n, rng: 0.5 + 0.5 * rng.beta(5, 1, n),
    "doubtful": lambda n, rng: 0.5 + 0.5 * rng.beta(2, 1.5, n),
    "certain": lambda n, rng: 1 - 0.5 * rng.beta(0.5, 8, n),
}
"""How the stated probabilities of three classifiers are spread."""

TRUTHS = [(1, 0), (0.7, 0), (1, -0.7), (1, 0.8), (0.4, 0)]
"""True log odds as scale and shift of the stated ones; the first is calibrated."""


def classifier(num_items, sureness, truth, rng):
    """Probabilities, labels, and the exact calibration error of this law."""
    stated = SURENESS[sureness](num_items, rng)
    true = expit(truth[0] * logit(np.clip(stated, 1e-9, 1 - 1e-9)) + truth[1])
    labels = (rng.random(num_items) >= true).astype(int)
    return np.stack([stated, 1 - stated], 1), labels, np.abs(stated - true)


def simulated(num_items, sureness, truth, num_sets):
    rng = np.random.default_rng(1)
    exact = classifier(200_000, sureness, truth, rng)[2].mean()
    sets = [classifier(num_items, sureness, truth, rng)[:2] for _ in range(num_sets)]
    told = [calibration_error(*one) for one in sets]
    plain = [ece(*one, np.ones((num_items, 1)))[0] for one in sets]
    covered = [one.ci95[0] <= exact <= one.ci95[1] for one in told]
    return exact, np.array([one.value for one in told]), np.array(plain), np.mean(covered)


@pytest.mark.parametrize(("num_items", "least"), [(60, 0.4), (300, 0.4)])
def test_less_bias_than_the_plain_error_and_the_interval_covers(num_items, least):
    bias, plain_bias = [], []
    for sureness in SURENESS:
        for truth in TRUTHS[:3]:
            exact, told, plain, covered = simulated(num_items, sureness, truth, 60)
            bias.append(told.mean() - exact)
            plain_bias.append(plain.mean() - exact)
            # A binomial of 60 at 0.95 lies at 51 or above with probability 0.9997.
            assert covered >= 51 / 60, (sureness, truth)
    assert abs(np.mean(bias)) < least * np.mean(plain_bias)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("num_items", [25, 60, 200, 600, 2000])
def test_the_interval_covers_over_500_test_sets(num_items):
    bias, plain_bias = [], []
    for sureness in SURENESS:
        for truth in TRUTHS:
            exact, told, plain, covered = simulated(num_items, sureness, truth, 500)
            bias.append(told.mean() - exact)
            plain_bias.append(plain.mean() - exact)
            # A binomial of 500 at 0.95 lies at 460 or above with probability 0.999.
            assert covered >= 0.92, (sureness, truth)
    assert abs(np.mean(bias)) < 0.005 < np.mean(plain_bias) + 0.002


def test_a_bin_without_an_error_leaves_doubt():
    told = calibration_error(np.tile([0.99, 0.01], (18, 1)), np.zeros(18, int))
    assert told.value == 0.0
    assert told.ci95[0] == 0.0
    assert told.ci95[1] > 0.1  # as the rule of three has it: 3 / 18 may be wrong


def test_far_from_the_diagonal_nothing_is_taken_off():
    probabilities, labels = np.tile([0.9, 0.1], (2000, 1)), np.arange(2000) % 2
    assert calibration_error(probabilities, labels).value == pytest.approx(0.4, abs=1e-6)


def test_copies_count_once(sample):
    probabilities, labels = sample(7, 60, 2)
    once = calibration_error(probabilities, labels)
    five = calibration_error(probabilities.repeat(5, 0), labels.repeat(5), np.arange(60).repeat(5))
    assert five.value == pytest.approx(once.value, abs=1e-12)
    assert five.ci95 == pytest.approx(once.ci95, abs=1e-12)


@pytest.mark.parametrize(("num_items", "num_bins"), [(1, 1), (79, 1), (80, 2), (5000, MAX_BINS)])
def test_bins_are_few_and_hold_every_item_once(sample, num_items, num_bins):
    probabilities, labels = sample(6, max(num_items, 3), 3)
    bins = reliability_bins(probabilities[:num_items], labels[:num_items])
    assert len(bins.count) == num_bins
    assert bins.count.sum() == num_items
    assert bins.count.min() >= min(BIN_ITEMS, num_items) and np.ptp(bins.count) <= 1
    right = probabilities[:num_items].argmax(1) == labels[:num_items]
    assert bins.accuracy @ bins.count == pytest.approx(right.sum())
    for share, size, limits in zip(bins.accuracy, bins.size, bins.interval, strict=True):
        assert tuple(limits) == wilson_interval(share, size)


def test_items_of_one_confidence_share_a_bin_and_groups_count_once():
    bins = reliability_bins(np.tile([0.7, 0.3], (200, 1)), np.zeros(200, int), np.arange(200) // 4)
    assert bins.count.tolist() == [200]
    assert bins.size.tolist() == [effective_size(np.arange(200) // 4)] == [50]
