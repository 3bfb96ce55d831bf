"""Risk against coverage: by hand, against a plain loop, and its interval."""

import numpy as np
import pytest

from striate.metrics.deciding.risk_coverage import risk_area, risk_coverage


def test_by_hand():
    found = risk_coverage(np.array([0.9, 0.5, 0.8, 0.6]), np.array([0.0, 1.0, 0.0, 1.0]))
    assert found.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert found.risk == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert found.threshold.tolist() == [0.9, 0.8, 0.6, 0.5]
    assert found.area.value == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)


def test_items_that_are_equally_sure_stand_in_no_order():
    rng = np.random.default_rng(0)
    confidence = rng.choice([0.6, 0.7, 0.9], 30)
    errors = (rng.random(30) < 1 - confidence).astype(float)
    areas = []
    for _ in range(4000):
        order = rng.permutation(30)
        order = order[np.argsort(-confidence[order], kind="stable")]
        areas.append((np.cumsum(errors[order]) / np.arange(1, 31)).mean())
    told = risk_coverage(confidence, errors).area
    assert told.value == pytest.approx(np.mean(areas), abs=0.003)
    again = risk_coverage(confidence[::-1], errors[::-1]).area
    assert again.value == pytest.approx(told.value)


def test_the_interval_holds_the_area_of_many_items():
    def drawn(seed, count):
        rng = np.random.default_rng(seed)
        confidence = rng.uniform(0.5, 1, count)
        return confidence, (rng.random(count) > confidence).astype(float)

    true = risk_area(*drawn(0, 200_000), np.ones((200_000, 1)))[0]
    held = 0
    for seed in range(1, 41):
        low, high = risk_coverage(*drawn(seed, 150)).area.ci95
        held += low <= true <= high
    assert held >= 35
