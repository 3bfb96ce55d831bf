"""Resampling against torch's antialiased interpolation; sizes; cutting and filling."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from striate.kinds.volume import spacing
from striate.kinds.volume.spacing import centred, resampled, resampling_weights, size_at


@given(size=st.integers(1, 40), wanted=st.integers(1, 40))
@settings(max_examples=80, deadline=None)
def test_weights_are_torchs_antialiased_interpolation(size: int, wanted: int) -> None:
    eye = torch.eye(size, dtype=torch.float64)[None, None]
    theirs = F.interpolate(eye, (wanted, size), mode="bilinear", antialias=True)[0, 0]
    ours = resampling_weights(size, wanted)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-6)
    np.testing.assert_allclose(ours.sum(1), 1, atol=1e-6)


def test_enlarging_is_trilinear() -> None:
    array = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    theirs = F.interpolate(torch.from_numpy(array)[None], (7, 9, 8), mode="trilinear")[0]
    np.testing.assert_allclose(resampled(array, (7, 9, 8)), theirs.numpy(), atol=2e-6)


def test_slabs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).integers(-50, 900, (2, 11, 12, 9)).astype(np.int16)
    window = np.array([[0, 400], [10, 500]], np.float32)
    whole = resampled(array, (5, 6, 9), window)
    monkeypatch.setattr(spacing, "_SLAB", 300)
    np.testing.assert_array_equal(resampled(array, (5, 6, 9), window), whole)
    assert whole.dtype == np.float32
    assert whole[0].min() >= 0 and whole[0].max() <= 400


def test_a_size_that_stays_is_exact() -> None:
    array = np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(resampled(array, (3, 4, 5)), array)


def test_sizes() -> None:
    assert size_at((10, 20, 30), (3.0, 1.0, 1.0), (1.5, 1.0, 2.0)) == (20, 20, 15)
    assert size_at((1, 1, 1), (1.0, 1.0, 1.0), (9.0, 9.0, 9.0)) == (1, 1, 1)


def test_where_the_middle_alone_is_kept_no_more_is_computed() -> None:
    array = np.random.default_rng(0).normal(size=(2, 5, 4, 6)).astype(np.float32)
    fill = np.zeros(2)
    whole = centred(resampled(array, (90, 4, 61)), (8, 5, 7), fill)
    near = resampled(array, (90, 4, 61), kept=(8, 5, 7))
    assert near.shape == (2, 8, 4, 7)
    np.testing.assert_allclose(centred(near, (8, 5, 7), fill), whole, atol=1e-6)
    # A header in metres instead of millimetres, and one that says anything.
    for had in (1000.0, 1e300):
        space = size_at(array.shape[1:], (had,) * 3, (1.0,) * 3)
        assert resampled(array, space, kept=(8, 8, 8)).shape == (2, 8, 8, 8)


def test_the_middle_is_cut_or_filled() -> None:
    array = np.arange(2 * 4 * 2 * 3, dtype=np.float32).reshape(2, 4, 2, 3)
    got = centred(array, (2, 4, 3), np.array([-1.0, -2.0]))
    np.testing.assert_array_equal(got[:, :, 1:3], array[:, 1:3])
    assert (got[0, :, 0] == -1).all() and (got[1, :, 3] == -2).all()
