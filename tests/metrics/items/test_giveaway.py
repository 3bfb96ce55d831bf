"""Figures that tell a class, and such that do not."""

import numpy as np

from striate.metrics.items.giveaway import giveaways


def test_what_tells_a_class_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    traits = {
        "border": (labels == 2) + rng.normal(0, 0.1, 120),
        "weak": labels + rng.normal(0, 4, 120),
        "noise": rng.normal(size=120),
        "same": np.ones(120),
        "unknown": np.full(120, np.nan),
    }
    (found,) = giveaways(traits, labels, np.arange(120), seed=0)
    assert (found.trait, found.label) == ("border", 2)
    assert found.accuracy > 0.95


def test_copies_do_not_count_twice():
    rng = np.random.default_rng(1)
    labels = np.repeat(rng.integers(0, 2, 30), 4)
    groups = np.repeat(np.arange(30), 4)
    each = np.repeat(rng.normal(size=30), 4)  # known of every copy, and of nothing else
    assert giveaways({"each": each}, labels, groups, seed=0) == []


def test_an_unequal_class_is_not_given_away_by_being_frequent():
    rng = np.random.default_rng(0)
    labels = np.r_[np.zeros(190, int), np.ones(10, int)]
    assert giveaways({"noise": rng.normal(size=200)}, labels, np.arange(200), seed=0) == []
