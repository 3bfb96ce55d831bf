"""The map of the items: coordinates and shares are scikit-learn's."""

import sys

import numpy as np
import pytest
from sklearn.decomposition import PCA

from striate.errors import MissingExtraError
from striate.explorer.data import plane
from striate.explorer.data.plane import principal_plane, umap_plane


@pytest.mark.parametrize(
    "shape", [(300, 20), (40, 900), (1000, 900)], ids=["few features", "few items", "many of both"]
)
def test_coordinates_and_shares_are_scikit_learns(shape):
    rng = np.random.default_rng(0)
    features = rng.standard_normal(shape) @ np.diag(np.linspace(2, 0.2, shape[1]))
    features[: shape[0] // 3, 0] += 9
    features[::4, 3] -= 7
    found, shares = principal_plane(features.astype(np.float32) + 5)
    pca = PCA(2, svd_solver="full")
    expected = pca.fit_transform(features.astype(np.float32).astype(np.float64))
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found, expected * signs, atol=2e-4 * np.abs(expected).max())
    np.testing.assert_allclose(shares, pca.explained_variance_ratio_, rtol=1e-5)
    assert (found[np.abs(found).argmax(0), [0, 1]] > 0).all()


@pytest.mark.parametrize(
    ("features", "shares"),
    [
        (np.full((4, 3), 2.0), [0, 0]),
        (np.zeros((1, 5)), [0, 0]),
        (np.array([[0.0], [1], [3]]), [1, 0]),
    ],
    ids=["nothing varies", "one item", "one feature"],
)
def test_where_there_is_no_plane_the_rest_is_zero(features, shares):
    found, known = principal_plane(features)
    assert found.shape == (len(features), 2) and np.isfinite(found).all()
    np.testing.assert_allclose(known, shares, atol=1e-12)


def test_umap_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"striate\[umap\]"):
        umap_plane(np.zeros((5, 3)))


def test_umap_is_asked_for_the_cosine(monkeypatch):
    class Reducer:
        def __init__(self, **options):
            self.options = options

        def fit_transform(self, features):
            assert self.options["metric"] == "cosine" and self.options["random_state"] == 0
            assert self.options["n_neighbors"] == len(features) - 1
            return features[:, :2]

    monkeypatch.setattr(plane, "import_module", lambda _: type("umap", (), {"UMAP": Reducer}))
    features = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(umap_plane(features), features[:, :2])
