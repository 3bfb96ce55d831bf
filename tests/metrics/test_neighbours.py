"""The nearest known items are those of scikit-learn's brute force."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from striate.errors import ArgumentError
from striate.metrics.neighbours import nearest_neighbours, standardization


def test_numbers_and_similarities_are_scikit_learns():
    rng = np.random.default_rng(0)
    known, items = rng.standard_normal((90, 17)), rng.standard_normal((600, 17))
    numbers, similarities = nearest_neighbours(items, known, 5)
    found = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(known)
    distances, expected = found.kneighbors(items)
    np.testing.assert_array_equal(numbers, expected)
    np.testing.assert_allclose(similarities, 1 - distances, atol=1e-6)


def test_an_item_is_not_its_own_neighbour():
    known = np.random.default_rng(1).standard_normal((7, 4)).astype(np.float32)
    own = np.array([0, 3, -1])
    numbers, similarities = nearest_neighbours(known[[0, 3, 5]], known, 6, own=own)
    assert 0 not in numbers[0] and 3 not in numbers[1] and numbers[2, 0] == 5
    assert similarities[2, 0] == pytest.approx(1)
    assert (np.diff(similarities, axis=1) <= 0).all()


def test_of_too_few_known_items_none_is_made_up():
    known = np.eye(2, 3)
    numbers, similarities = nearest_neighbours(known[:1], known, 4, own=np.array([0]))
    assert numbers.tolist() == [[1, -1]]
    assert similarities[0, 0] == 0 and np.isnan(similarities[0, 1])


def test_equal_similarities_come_in_the_order_of_the_items_and_zeros_do_no_harm():
    known = np.array([[0.0, 0], [2, 0], [1, 0], [0, 1]])
    numbers, _ = nearest_neighbours(np.array([[3.0, 0], [0, 0]]), known, 3)
    assert numbers.tolist() == [[1, 2, 0], [0, 1, 2]]


def test_features_of_another_network_are_refused():
    with pytest.raises(ArgumentError, match="the same network"):
        nearest_neighbours(np.zeros((1, 3)), np.zeros((2, 4)), 1)


def test_standardized_features_are_scikit_learns():
    rng = np.random.default_rng(2)
    known, items = rng.uniform(3, 4, (50, 6)), rng.standard_normal((9, 6))
    known[:, 2] = 7
    mean, scale = standardization(known)
    expected = StandardScaler().fit(known).transform(items)
    expected[:, 2] = 0
    np.testing.assert_allclose((items - mean) * scale, expected, rtol=1e-9)
    assert standardization(np.ones((3, 6)))[1].tolist() == [0] * 6
