"""Items to label: doubtful ones, one of each sort."""

import numpy as np
import pytest

from striate.metrics.unlabelled.diverse import (
    diverse,
    doubt_of_classes,
    doubt_of_labels,
    foremost,
    projected,
)


@pytest.fixture
def sorts():
    """Five tight clusters of twenty items."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 6)) * 10
    return np.repeat(centres, 20, 0) + rng.normal(size=(100, 6)) * 0.01


def test_one_of_each_sort_is_chosen(sorts):
    chosen = diverse(sorts, np.full(100, 0.5), 5)
    assert sorted(chosen.positions // 20) == [0, 1, 2, 3, 4]
    # The most doubtful ten times as many, of which each belongs to one.
    assert sum(chosen.similar) == 50


def test_items_without_doubt_are_left_alone(sorts):
    doubt = np.zeros(100)
    doubt[[3, 4, 45, 46, 88]] = 0.9
    chosen = diverse(sorts, doubt, 3)
    assert {0, 2, 4} == set(chosen.positions // 20)


def test_copies_are_chosen_once():
    chosen = diverse(np.ones((10, 3)), np.ones(10), 4)
    assert len(chosen.positions) == 1


def test_no_more_than_there_are(sorts):
    assert len(diverse(sorts[:3], np.ones(3), 8).positions) == 3
    assert len(diverse(sorts[:0], np.ones(0), 8).positions) == 0


def test_the_choice_depends_on_the_seed_alone(sorts):
    first, again = (diverse(sorts, np.linspace(0, 1, 100), 4, seed=3) for _ in range(2))
    assert np.array_equal(first.positions, again.positions)


def test_doubt():
    probabilities = np.array([[0.5, 0.5, 0.0], [0.9, 0.06, 0.04]])
    assert doubt_of_classes(probabilities) == pytest.approx([1.0, 0.16])
    assert doubt_of_labels(probabilities) == pytest.approx([1.0, 0.2])


def test_projection_keeps_angles():
    rows = np.random.default_rng(0).normal(size=(20, 2000))
    short = projected(rows)
    assert short.shape == (20, 128)
    exact = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.abs(short @ short.T - exact @ exact.T).max() < 0.45
    assert np.linalg.norm(short, axis=1) == pytest.approx(np.ones(20))


def test_foremost():
    assert foremost(np.array([0.1, 0.9, 0.5]), 2).tolist() == [1, 2]
