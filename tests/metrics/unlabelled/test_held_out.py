"""The sample of held-out items: what is drawn, rounded, stored and read back."""

import numpy as np
import pytest

from striate.metrics.unlabelled.held_out import (
    MAX_BYTES,
    MAX_COLUMNS,
    MAX_ITEMS,
    FeatureSample,
    HeldOutItems,
    capacity,
)


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(40, 30)) * np.arange(30)


def made(features, **more):
    count = len(features)
    given = {
        "groups": np.arange(count),
        "outputs": np.zeros((count, 2)),
        "novelty": np.zeros(count),
        "traits": {"brightness": np.linspace(0, 1, count)},
    }
    return HeldOutItems.of(features, **(given | more))


def test_values_are_right_to_a_255th_of_the_range(features):
    kept = made(features)
    assert kept.features.dtype == np.uint8
    assert np.abs(kept.values - features).max() <= np.ptp(features, 0).max() / 255
    # New items are rounded alike, so that the same item has the same features.
    assert kept.rounded(kept.as_stored(features)) == pytest.approx(kept.values, abs=1e-5)


def test_what_is_stored_comes_back(features):
    kept = made(features)
    again = HeldOutItems.from_tensors(kept.tensors())
    assert again.tensors().keys() == kept.tensors().keys()
    for name, array in kept.tensors().items():
        assert np.array_equal(again.tensors()[name], array)
    assert set(again.traits) == {"brightness"}


def test_many_features_are_thinned_and_few_items_kept_of_them():
    kept = made(np.random.default_rng(0).normal(size=(3, 5000)))
    assert kept.features.shape == (3, MAX_COLUMNS)
    assert (kept.columns[0], kept.columns[-1]) == (0, 4999)
    assert capacity(5000) * MAX_COLUMNS <= MAX_BYTES
    assert capacity(10) == MAX_ITEMS


def test_a_sample_of_many_items_holds_the_rows_it_names():
    rows = np.arange(3000)[:, None] * np.ones((1, 4))
    sample = FeatureSample(3000)
    for start in range(0, 3000, 70):
        sample.take(rows[start : start + 70])
    assert len(sample.positions) == MAX_ITEMS
    assert np.array_equal(sample.features[:, 0], sample.positions)
    # It is drawn from all of them.
    assert sample.positions.max() > 2900


def test_fewer_items_may_come_than_were_announced():
    sample = FeatureSample(100)
    sample.take(np.ones((30, 2)))
    assert len(sample.positions) == len(sample.features) == 30


def test_none_may_come():
    assert FeatureSample(0).features.size == 0
