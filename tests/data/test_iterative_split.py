"""Iterative stratification: every label in proportion, no group torn apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.splits import FRACTIONS, SPLITS, split
from striate.data.splits.iterative import iterative_parts


def labelled(seed, num_items=300, num_labels=6):
    """Labels that come together, from frequent ones to rare ones."""
    rng = np.random.default_rng(seed)
    shares = np.geomspace(0.5, 0.03, num_labels)
    together = rng.normal(size=num_items)
    noise = rng.normal(size=(num_items, num_labels))
    scores = 0.6 * together[:, None] + 0.8 * noise
    return scores > np.quantile(scores, 1 - shares, axis=0).diagonal()


@pytest.mark.parametrize("seed", range(5))
def test_every_label_is_in_proportion_and_better_than_at_random(seed):
    members = labelled(seed)
    splits = split(members, np.arange(300), seed=seed)
    shuffled = np.random.default_rng(seed).permutation(splits)

    def distance(splits):
        wanted = np.outer(FRACTIONS, members.sum(0))
        found = np.array([members[splits == name].sum(0) for name in SPLITS])
        return np.abs(found - wanted)

    assert distance(splits).max() <= 3
    assert distance(splits).mean() < distance(shuffled).mean()
    for name, fraction in zip(SPLITS, FRACTIONS, strict=True):
        assert abs((splits == name).sum() - fraction * 300) <= 6
        assert members[splits == name].any(0).all()


@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_groups_stay_together_and_training_has_every_label(seed, num_items, draw):
    rng = np.random.default_rng(seed)
    members = rng.random((num_items, 4)) < rng.uniform(0, 0.6, 4)
    groups = rng.integers(0, max(1, num_items // 2), num_items)
    splits = split(members, groups, seed=draw)
    assert set(splits) <= set(SPLITS)
    for group in np.unique(groups):
        assert len(set(splits[groups == group])) == 1
    np.testing.assert_array_equal(members[splits == "train"].any(0), members.any(0))
    np.testing.assert_array_equal(splits, split(members, groups, seed=draw))


def test_folds_are_parts_of_equal_shares():
    members = labelled(7)
    parts = iterative_parts(members, np.arange(300), [0.2] * 5, seed=0)
    assert np.bincount(parts).tolist() == pytest.approx([60] * 5, abs=4)
    found = np.array([members[parts == part].sum(0) for part in range(5)])
    assert np.abs(found - members.sum(0) / 5).max() <= 2


def test_a_share_of_zero_gets_nothing():
    splits = split(labelled(0), np.arange(300), seed=0, fractions=(0.8, 0.0, 0.2))
    assert set(splits) == {"train", "test"}
    assert (
        split(labelled(0), np.arange(300), seed=1) != split(labelled(0), np.arange(300), seed=2)
    ).any()
