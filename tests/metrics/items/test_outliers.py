"""Items unlike the others of their class."""

import numpy as np

from striate.metrics.items.outliers import NEIGHBOURS, _to_neighbours, odd_items


def test_odd_items_are_found_by_class():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 8))
    labels = np.arange(200) % 2
    features[labels == 1] += 12
    features[7] = 40
    features[10] = 12  # at home in the other class
    found = odd_items(features, labels)
    assert [item for item, _ in found] == [7, 10]
    assert odd_items(rng.normal(size=(200, 8)), labels) == []


def test_small_classes_have_no_odd_items():
    assert odd_items(np.r_[np.zeros((9, 3)), np.full((1, 3), 99.0)], np.zeros(10, int)) == []


def test_distances_are_those_of_scikit_learn():
    from sklearn.neighbors import NearestNeighbors

    items = np.random.default_rng(0).normal(size=(1500, 5))
    theirs = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(items).kneighbors(items)[0][:, 1:]
    np.testing.assert_allclose(_to_neighbours(items), theirs.mean(1), rtol=1e-6)
