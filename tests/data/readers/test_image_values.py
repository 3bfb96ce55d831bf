"""Images whose values are kept as stored: NPY and TIFF files, and arrays of any channels."""

import builtins
import io
from importlib.util import find_spec

import numpy as np
import pytest
import tifffile
from PIL import Image

from striate.data.layouts import ArraySource, open_source
from striate.data.layouts.arrays import kind_of_array
from striate.data.readers.image import decode_image, read_image
from striate.data.readers.image_values import (
    channel_axis,
    channels_first,
    looks_like_image,
    read_npy_image,
)
from striate.data.readers.reader import kind_of_files, reader_of
from striate.data.source import UnreadableItem
from striate.data.unlabelled import open_inputs


def numbers(*shape, dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(0, 5000, shape).astype(dtype)


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((64, 80, 5), 2),
        ((5, 64, 80), 0),
        ((32, 40, 50), 0),
        ((33, 40, 50), None),
        ((64, 13, 64), None),
        ((8, 8, 8), 0),
        ((64, 80), None),
    ],
)
def test_the_shorter_end_is_the_channels(shape, axis):
    assert channel_axis(shape) == axis


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((64, 64, 13), True),
        ((13, 64, 64), True),
        ((20, 128, 128), False),
        ((28, 28, 28), False),
        ((480, 640), True),
        ((12, 5000), False),
        ((32, 64), False),
        ((9, 9), False),
    ],
)
def test_what_is_taken_for_an_image_where_nobody_says(tmp_path, shape, expected):
    assert looks_like_image(shape) is expected
    np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
    assert (kind_of_files([tmp_path / "a.npy"]) == "image") is expected
    if len(shape) == 3:
        assert (kind_of_array(np.empty((2, *shape), np.float32)) == "image") is expected


def test_a_file_is_read_as_the_kind_that_is_wanted(tmp_path):
    np.save(tmp_path / "a.npy", numbers(13, 64, 64))
    for kind, shape in (("image", (13, 64, 64)), ("volume", (1, 13, 64, 64))):
        reader = reader_of(tmp_path / "a.npy", kind)
        assert reader.kind == kind and reader.read(tmp_path / "a.npy").array.shape == shape


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("uint8", "uint8"),
        ("uint16", "uint16"),
        (">u2", "uint16"),
        ("int16", "int16"),
        ("int32", "float32"),
        ("float64", "float32"),
        ("float16", "float32"),
    ],
)
def test_npy_keeps_its_values(tmp_path, given, kept):
    array = (numbers(20, 24, 4) % 200).astype(given)
    np.save(tmp_path / "a.npy", array)
    found = read_npy_image(tmp_path / "a.npy").array
    assert found.dtype == kept
    np.testing.assert_array_equal(found, array.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.full((20, 20, 3), np.nan, np.float32), "1,200 values not finite"),
        (np.zeros((20, 20, 3), complex), "complex128 values"),
        (np.zeros((3, 20, 3)), "minimum size"),
        (np.zeros((40, 50, 60)), "at most 32 channels"),
    ],
)
def test_arrays_that_are_no_image(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UnreadableItem, match=said):
        read_npy_image(tmp_path / "a.npy")


def test_the_first_place_that_is_not_finite_is_named(tmp_path):
    array = np.zeros((20, 24, 4), np.float32)
    array[7, 9, 2] = np.inf
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UnreadableItem, match="first inf at row 7, column 9 of channel 2"):
        read_npy_image(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (numbers(5, 20, 24), {}),
        (numbers(5, 20, 24), {"photometric": "minisblack"}),
        (numbers(5, 20, 24), {"metadata": None, "photometric": "minisblack"}),
        (numbers(5, 20, 24), {"photometric": "minisblack", "planarconfig": "separate"}),
        (numbers(3, 20, 24), {"imagej": True, "metadata": {"axes": "CYX"}}),
        (numbers(2, 20, 24), {"ome": True, "metadata": {"axes": "CYX"}}),
        (numbers(4, 20, 24).astype(np.float32), {"photometric": "minisblack"}),
        ((numbers(4, 20, 24) % 256).astype(np.uint8), {"photometric": "minisblack"}),
    ],
)
def test_bands_of_a_tiff_file(array, options):
    found = read_image(tiff(array, **options)).array
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_bands_that_come_last():
    array = numbers(20, 24, 4)
    found = read_image(tiff(array, photometric="rgb", extrasamples=["unspecified"])).array
    np.testing.assert_array_equal(found, channels_first(array))


def test_of_a_stack_of_channels_the_first_plane_is_used():
    array = numbers(3, 2, 20, 24)
    reading = read_image(tiff(array, imagej=True, metadata={"axes": "ZCYX"}))
    np.testing.assert_array_equal(reading.array, array[0])
    assert [note.code for note in reading.notes] == ["first-page"]


@pytest.mark.parametrize("suffix", ["PNG", "TIFF"])
def test_grey_of_16_bits_keeps_them(suffix):
    array, buffer = numbers(20, 24), io.BytesIO()
    Image.fromarray(array).save(buffer, suffix)
    for given in (buffer.getvalue(), Image.fromarray(array)):
        found = read_image(given).array
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, array[None])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK", "1"])
@pytest.mark.parametrize("suffix", ["PNG", "TIFF"])
def test_pictures_of_8_bits_are_decoded_as_ever(mode, suffix):
    if (mode, suffix) == ("CMYK", "PNG"):
        pytest.skip("PNG has no CMYK")
    pixels = (numbers(20, 24, 4) % 256).astype(np.uint8)
    picture, buffer = Image.fromarray(pixels, "RGBA").convert(mode), io.BytesIO()
    picture.save(buffer, suffix)
    for given in (buffer.getvalue(), picture):
        found, expected = read_image(given), decode_image(given)
        np.testing.assert_array_equal(found.array, expected.array)
        assert found.sha256 == expected.sha256


def test_without_tifffile_the_extra_is_named(monkeypatch):
    content, importing = tiff(numbers(5, 20, 24)), builtins.__import__

    def without(name, *rest, **options):
        if name == "tifffile":
            raise ImportError(name)
        return importing(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnreadableItem, match=r'pip install "striate\[tiff\]"'):
        read_image(content)


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs is installed")
def test_without_imagecodecs_the_extra_is_named():
    pages = [Image.fromarray(numbers(20, 24, seed=seed)) for seed in range(2)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    with pytest.raises(UnreadableItem, match="compression of this TIFF file needs imagecodecs"):
        read_image(buffer.getvalue())


def test_a_damaged_tiff_file_is_an_unreadable_item():
    with pytest.raises(UnreadableItem, match="damaged TIFF file"):
        read_image(tiff(numbers(5, 20, 24))[:200])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int64"])
@pytest.mark.parametrize("first", [True, False])
def test_arrays_of_any_channels(dtype, first):
    images = (numbers(4, 6, 30, 32) % 250).astype(dtype)
    source = ArraySource(images if first else images.transpose(0, 2, 3, 1), ["a", "b"] * 2)
    kept = {"int64": "float32"}.get(dtype, dtype)
    for item, image in zip(source.listing.items, images, strict=True):
        found = source.read(item).array
        assert found.dtype == kept
        np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("images", [numbers(4, 20, 20) + 256, np.full((4, 20, 20), -1.5)])
def test_grey_arrays_of_more_than_8_bits_keep_their_values(images):
    source = ArraySource(images, ["a", "b"] * 2)
    found = source.read(source.listing.items[2]).array
    np.testing.assert_array_equal(found, images[2][None])


@pytest.mark.parametrize(
    ("asked", "channels", "kept"),
    [("8-bit", 3, "uint8"), ("stored", 3, "float32"), ("8-bit", 5, "float32")],
)
def test_a_model_may_ask_for_the_values_it_takes(asked, channels, kept):
    images = np.random.default_rng(0).random((4, channels, 20, 24)).astype(np.float32)
    source = ArraySource(images, ["a", "b"] * 2, extras={"values": np.array(asked)})
    found = source.read(source.listing.items[1]).array
    assert found.shape == (channels, 20, 24) and found.dtype == kept
    if kept == "float32":
        np.testing.assert_array_equal(found, images[1])


def test_a_file_of_several_images_is_told_by_the_channels(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 64, 64), np.uint8))
    for channels, count in ((3, 5), (5, 1)):
        source = open_inputs([tmp_path / "a.npy"], "image", channels)
        assert len(source.listing.items) == count


def test_an_npz_may_say_that_slices_are_channels(tmp_path):
    images = numbers(4, 20, 30, 32)
    np.savez(tmp_path / "a.npz", X=images, y=[0, 1, 0, 1])
    assert open_source(tmp_path / "a.npz").kind == "volume"
    np.savez(tmp_path / "a.npz", X=images, y=[0, 1, 0, 1], kind="image")
    source = open_source(tmp_path / "a.npz")
    np.testing.assert_array_equal(source.read(source.listing.items[0]).array, images[0])
