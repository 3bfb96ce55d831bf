"""Arrays of images: what their axes and values mean is decided once, and every item is read by it."""

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.layouts import ArraySource
from striate.data.source import UnreadableItem
from striate.data.unlabelled import Alone, Batch, open_inputs
from striate.errors import DataError, UnknownNameError

PHOTO = {"values": np.array("8-bit"), "scales": np.array([0.0, 1.0])}
RNG = np.random.default_rng(0)
FLOATS = RNG.random((40, 12, 12)).astype(np.float32)


def decided(arrays, **extras):
    return ArraySource(arrays, ["a", "b"] * (len(arrays) // 2), extras=extras).conventions


def read(arrays, extras=PHOTO):
    source = open_inputs([Batch(arrays)], extras=extras)
    return [source.read(item).array for item in source.listing.items]


def changed(place, value):
    images = FLOATS.copy()
    images[place] = value
    return images


@pytest.mark.parametrize(
    ("arrays", "values", "scales"),
    [
        (FLOATS, "8-bit", [0, 1]),
        (changed((5, 0, 0), 1.001), "8-bit", [0, 1]),
        (changed((5, 0, slice(6)), -0.2), "8-bit", [0, 1]),
        (changed((5, 0, 0), np.nan), "8-bit", [0, 1]),
        (changed((5, 0, 0), 40.0), "stored", None),  # a spot that clipping would lose
        (FLOATS * 255, "8-bit", [0, 255]),
        (FLOATS * 5, "stored", None),
        (FLOATS - 0.5, "stored", None),
        (FLOATS * 4000, "stored", None),
        ((FLOATS * 255).astype(np.int64), "8-bit", [255, 0]),
        ((FLOATS * 255).astype(np.uint8), "8-bit", [0, 0]),
        (FLOATS > 0.5, "8-bit", [0, 0]),
        ((FLOATS * 4000).astype(np.uint16), "stored", None),
        ((FLOATS * 300 - 20).astype(np.int16), "stored", None),
    ],
)
def test_values(arrays, values, scales):
    found = decided(arrays)
    assert (found["values"], found.get("scales"), found["axes"]) == (values, scales, "HW")


def test_two_ranges_are_refused():
    images = FLOATS.copy()
    images[::3] *= 255
    with pytest.raises(DataError, match="26 images of arrays have values up to 1 and others up to"):
        decided(images)


def test_one_image_of_another_range_costs_itself_alone():
    images = changed(3, 200.0)
    source = ArraySource(images, ["a", "b"] * 20)
    with pytest.raises(UnreadableItem, match="values from 200 to 200, where 0 is black and 1 is"):
        source.read(source.listing.items[3])
    assert source.read(source.listing.items[4]).array.max() > 200


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((6, 12, 12), "HW"), ((6, 3, 12, 12), "CHW"), ((6, 12, 12, 3), "HWC"), ((6, 5, 9, 9), "CHW")],
)
def test_axes(shape, axes):
    assert decided(np.zeros(shape, np.uint8))["axes"] == axes


def test_the_user_may_say_what_values_are():
    assert decided(FLOATS, values=np.array("stored"))["values"] == "stored"
    with pytest.raises(UnknownNameError, match="'stored'"):
        decided(FLOATS, values=np.array("store"))


def test_items_do_not_depend_on_their_company():
    images = FLOATS.copy()
    images[0] = 0.002  # of an image this dark the range cannot be known
    images[7, 0, 0] = 1.2
    together = read(images)
    for image, expected in zip(images, together, strict=True):
        np.testing.assert_array_equal(read(image[None])[0], expected)
    assert together[0].max() == 1 and together[7].max() == 255


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int64, np.float64])
def test_later_items_are_scaled_as_those_trained_on(dtype):
    dim, extras = np.full((1, 8, 8), 100, dtype), {**PHOTO, "scales": np.array([4095.0, 4095.0])}
    assert read(dim, extras)[0].max() == round(100 * 255 / 4095)


def test_what_is_far_from_the_range_is_refused_with_the_remedy():
    source = open_inputs([Batch(FLOATS[:2] * 200)], extras=PHOTO)
    with pytest.raises(UnreadableItem, match=r"where 0 is black and 1 is white.*or to uint8"):
        source.read(source.listing.items[0])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("scale", [1, 255])
def test_alpha_is_no_row_and_composited_as_in_files(mode, scale):
    picture = Image.fromarray(RNG.integers(0, 256, (9, 12, 4)).astype(np.uint8)).convert(mode)
    array = np.asarray(picture) if scale == 1 else np.asarray(picture) / np.float32(255)
    expected, *found = (
        source.read(source.listing.items[0]).array
        for source in (
            open_inputs([picture]),
            open_inputs([array], extras=PHOTO),
            open_inputs([Alone(array)], extras=PHOTO),
            open_inputs([Batch(array[None])], extras=PHOTO),
        )
    )
    for one in found:
        np.testing.assert_array_equal(one, expected)


def count(array, axes="", channels=3):
    extras = {**PHOTO, "axes": np.array(axes)} if axes else PHOTO
    return len(open_inputs([array], channels=channels, extras=extras).listing.items)


def test_what_was_trained_on_tells_one_from_several():
    three = np.zeros((3, 9, 9), np.uint8)
    assert count(three, "HW") == count(Alone(three), "HW") == 3
    assert count(three, "CHW") == count(Alone(three), "CHW") == 1
    assert count(np.zeros((9, 9, 3), np.uint8), "HW") == 1
    assert count(np.zeros((4, 9, 9), np.uint8), "HW") == 4
    assert count(three) == 1 and count(three, channels=1) == 3


@pytest.mark.parametrize("channels", [3, 4])
def test_an_array_that_may_be_one_or_several_is_refused_with_the_remedy(channels):
    array = np.zeros((channels, 9, 9), np.uint8)
    said = rf"give it as \(1, {channels}, 9, 9\) or as \({channels}, 1, 9, 9\)"
    with pytest.raises(DataError, match=said):
        count(Alone(torch.from_numpy(array)))
    assert count(Alone(array[None])) == 1
    assert count(Alone(array[:, None])) == count(Batch(array)) == channels


def test_channels_lie_where_they_lay_in_training():
    array = RNG.integers(0, 256, (2, 3, 9, 3)).astype(np.uint8)
    last = read(array, {**PHOTO, "axes": np.array("HWC")})
    assert last[0].shape == (3, 3, 9)


@pytest.mark.parametrize("axes", ["CHW", "HWC"])
def test_colours_are_found_where_no_model_of_photographs_has_so_many(axes):
    array = RNG.integers(0, 256, (2, 32, 24, 3)).astype(np.uint8)
    moved = np.moveaxis(array, -1, 1)
    for given in (array, moved):
        found = read(given, {**PHOTO, "axes": np.array(axes)})
        np.testing.assert_array_equal(np.stack(found), moved)
