"""The colour map is perceptually even; the overlay leaves cold places as they are."""

import numpy as np
import pytest
from skimage.color import rgb2gray, rgb2lab

from striate.errors import ArgumentError
from striate.explain import colourize, overlay


def test_lightness_rises_evenly():
    ramp = colourize(np.linspace(0, 1, 111)[None])
    lightness = rgb2lab(ramp)[0, :, 0]
    np.testing.assert_allclose(lightness, np.linspace(14, 94, 111), atol=0.8)
    assert (np.diff(lightness[::5]) > 0).all()


def test_cold_places_show_the_picture_in_grey_and_hot_ones_the_colour():
    image = np.random.default_rng(0).integers(0, 256, (3, 6, 8), dtype=np.uint8)
    heat = np.zeros((6, 8))
    heat[0, 0] = 1
    picture = np.asarray(overlay(image, heat))
    grey = rgb2gray(image.transpose(1, 2, 0), channel_axis=-1) * 255
    assert picture.shape == (6, 8, 3)
    assert (np.ptp(picture[1:], axis=-1) == 0).all()
    # PIL weighs the channels by Rec. 601, scikit-image by Rec. 709
    np.testing.assert_allclose(picture[1:, :, 0], grey[1:], atol=32)
    np.testing.assert_allclose(
        picture[0, 0], 0.75 * np.array([254, 242, 87]) + 0.25 * grey[0, 0], atol=9
    )


def test_sizes_must_agree():
    with pytest.raises(ArgumentError, match="heat map of"):
        overlay(np.zeros((3, 4, 4), np.uint8), np.zeros((4, 5)))
