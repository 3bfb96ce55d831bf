"""faults.md, 'Files': what the pixels of a file mean, one test a case, by its number."""

import numpy as np
import pytest
from PIL import ExifTags, Image
from tests.data.picture_files import codes, encode, hwc, photo, reason

from striate.data.readers import image as image_reader
from striate.data.readers.image import decode_image

SEED = 20
UPRIGHT = np.asarray(photo(40, 24))
STORED = {  # what a camera stores for an orientation, from the upright image (EXIF 2.32, 4.6.4)
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_fault_06_exif_orientation(image_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    lossless = {"lossless": True} if image_format == "WEBP" else {}
    options = {"quality": 100, "subsampling": 0} if image_format == "JPEG" else lossless
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    reading = decode_image(encode(stored, image_format, exif=exif, **options))
    assert reading.array.shape == (3, 24, 40)
    tolerance = {"JPEG": 4, "AVIF": 24}.get(image_format, 0)
    assert np.abs(hwc(reading).astype(int) - UPRIGHT).max() <= tolerance


COLOURS = {  # C, M, Y, K and the RGB they mean: (255 - ink)(255 - K) / 255
    (0, 0, 0, 0): (255, 255, 255),
    (0, 0, 0, 255): (0, 0, 0),
    (255, 0, 0, 0): (0, 255, 255),
    (0, 255, 0, 0): (255, 0, 255),
    (0, 0, 255, 0): (255, 255, 0),
    (0, 255, 255, 0): (255, 0, 0),
    (51, 102, 153, 51): (163, 122, 82),
}


def adobe_transform(jpeg: bytes, transform: int) -> bytes:
    """`jpeg` with the colour transform of its Adobe marker changed (0 is CMYK, 2 is YCCK)."""
    at = jpeg.index(b"Adobe") + 11
    return jpeg[:at] + bytes([transform]) + jpeg[at + 1 :]


@pytest.mark.parametrize(("ink", "expected"), COLOURS.items())
def test_fault_07_cmyk(ink: tuple[int, ...], expected: tuple[int, ...]) -> None:
    image = Image.new("CMYK", (16, 16), ink)
    for content, tolerance in ((encode(image, "TIFF"), 1), (encode(image, "JPEG", quality=100), 2)):
        colour = hwc(decode_image(content))[8, 8].astype(int)
        assert np.abs(colour - expected).max() <= tolerance


def ycck_jpeg(ink: tuple[int, ...]) -> bytes:
    """As Adobe writes it: inks inverted, their complement (the inks again) as YCbCr, then K.

    Pillow inverts what it is handed to a CMYK JPEG, so it is handed the complement of what
    shall be stored, and only the marker is then changed.
    """
    ycbcr = Image.new("RGB", (1, 1), ink[:3]).convert("YCbCr").getpixel((0, 0))
    handed = (*(255 - value for value in ycbcr), ink[3])
    content = encode(Image.new("CMYK", (16, 16), handed), "JPEG", quality=100)
    return adobe_transform(content, 2)


@pytest.mark.parametrize(("ink", "expected"), COLOURS.items())
def test_fault_07_ycck(ink: tuple[int, ...], expected: tuple[int, ...]) -> None:
    colour = hwc(decode_image(ycck_jpeg(ink)))[8, 8].astype(int)
    assert np.abs(colour - expected).max() <= 4


@pytest.mark.parametrize("ink", COLOURS)
def test_fault_07_agrees_with_torchvision(ink: tuple[int, ...]) -> None:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    cmyk = encode(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100)
    for content in (cmyk, ycck_jpeg(ink)):
        stored = torch.from_numpy(np.frombuffer(content, np.uint8).copy())
        theirs = decode_jpeg(stored, mode=ImageReadMode.RGB).numpy().astype(int)
        assert np.abs(decode_image(content).array - theirs).max() <= 2


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "PPM"])
def test_fault_08_16_bit_grey(image_format: str) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    reading = decode_image(encode(Image.fromarray(ramp), image_format))
    assert len(np.unique(reading.array)) == 256
    np.testing.assert_array_equal(hwc(reading)[..., 0], np.rint(ramp / 257).astype(np.uint8))
    assert codes(reading) == ["deep-grey"]


def test_fault_08_12_bit_grey_fills_the_range() -> None:
    ramp = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    reading = decode_image(encode(Image.fromarray(ramp), "PNG"))
    assert len(np.unique(reading.array)) == 256
    assert "0..4095" in reading.notes[0].message


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_fault_09_float(scale: float) -> None:
    ramp = np.linspace(0, scale, 256, dtype=np.float32).reshape(16, 16)
    reading = decode_image(encode(Image.fromarray(ramp), "TIFF"))
    np.testing.assert_array_equal(hwc(reading)[..., 1].ravel(), np.arange(256))


def test_fault_09_int32() -> None:
    ramp = (np.arange(256, dtype=np.int32) * 257).reshape(16, 16)
    reading = decode_image(encode(Image.fromarray(ramp), "TIFF"))
    np.testing.assert_array_equal(hwc(reading)[..., 2].ravel(), np.arange(256))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.float32([[-3, 7]]), "grey values from -3 to 7, allowed are 0 to 255 (or 0 to 1)"),
        (np.float32([[0, 1000]]), "grey values from 0 to 1000, allowed are 0 to 255 (or 0 to 1)"),
        (np.float32([[0, np.nan]]), "grey values that are not finite"),
        (np.float32([[0, np.inf]]), "grey values that are not finite"),
        (np.int32([[0, 70000]]), "grey values from 0 to 70000, allowed are 0 to 65535"),
    ],
)
def test_fault_09_refused_naming_the_range(values: np.ndarray, said: str) -> None:
    image = Image.fromarray(np.tile(values, (8, 4)))
    assert reason(encode(image, "TIFF")) == said


def two_halves(mode: str) -> Image.Image:
    """Left opaque, right wholly transparent over a colour that must stay hidden."""
    image = Image.new("RGBA", (16, 8), (200, 30, 30, 255))
    image.paste((10, 250, 10, 0), (8, 0, 16, 8))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "image_format"),
    [
        *(("RGBA", name) for name in ("PNG", "WEBP", "GIF", "TIFF", "AVIF")),
        *(("LA", name) for name in ("PNG", "TIFF")),
    ],
)
def test_fault_10_transparency_on_white(mode: str, image_format: str) -> None:
    reading = decode_image(encode(two_halves(mode), image_format))
    assert hwc(reading)[:, 8:].min() >= (254 if image_format == "AVIF" else 255)
    assert (hwc(reading)[:, :7].min(axis=-1) < 128).all()
    assert "transparency" in codes(reading)


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_fault_10_palette_with_transparency(image_format: str) -> None:
    image = Image.new("P", (16, 8), 0)
    image.putpalette([200, 30, 30, 10, 250, 10])
    image.paste(1, (8, 0, 16, 8))
    reading = decode_image(encode(image, image_format, transparency=1))
    np.testing.assert_array_equal(hwc(reading)[:, 8:], 255)
    np.testing.assert_array_equal(hwc(reading)[0, 0], (200, 30, 30))


def test_fault_10_half_transparent() -> None:
    image = Image.new("RGBA", (8, 8), (0, 100, 200, 128))
    colour = hwc(decode_image(encode(image, "PNG")))[4, 4].astype(int)
    expected = np.array([0, 100, 200]) * 128 / 255 + 255 * 127 / 255
    assert np.abs(colour - expected).max() <= 1


def test_fault_10_a_transparent_colour_of_grey_and_rgb_png() -> None:
    for mode, hidden in (("L", 10), ("RGB", (10, 250, 10))):
        image = Image.new(mode, (16, 8), 200 if mode == "L" else (200, 30, 30))
        image.paste(hidden, (8, 0, 16, 8))
        reading = decode_image(encode(image, "PNG", transparency=hidden))
        np.testing.assert_array_equal(hwc(reading)[:, 8:], 255)


def test_fault_10_palette_without_transparency() -> None:
    image = photo().quantize(16)
    reading = decode_image(encode(image, "PNG"))
    np.testing.assert_array_equal(hwc(reading), np.asarray(image.convert("RGB")))
    assert codes(reading) == []


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "PPM"])
def test_fault_11_one_bit(image_format: str) -> None:
    bits = np.random.default_rng(SEED).random((12, 20)) > 0.5
    reading = decode_image(encode(Image.fromarray(bits), image_format))
    np.testing.assert_array_equal(hwc(reading)[..., 0], bits * 255)


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_fault_12_animation(image_format: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    content = encode(frames[0], image_format, save_all=True, append_images=frames[1:])
    reading = decode_image(content)
    colour = hwc(reading)[8, 8].astype(int)
    assert np.abs(colour - (255, 0, 0)).max() <= 6
    assert codes(reading) == ["first-frame"]


def test_fault_13_multi_page_tiff() -> None:
    pages = [Image.new("L", (16, 16), level) for level in (40, 90)]
    reading = decode_image(encode(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert set(np.unique(reading.array)) == {40}
    assert [(note.code, note.severity) for note in reading.notes] == [("first-page", "warning")]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 3)])
def test_fault_14_under_the_minimum_size(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encode(Image.new("RGB", size), "PNG")
    assert reason(content) == (
        f"under the minimum size: {size[0]}x{size[1]}, the shorter side must be 4"
    )
    monkeypatch.setattr(image_reader, "MIN_SIDE", 1)
    assert decode_image(content).array.shape == (3, *size[::-1])
