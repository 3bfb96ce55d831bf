"""Reduced-scale decoding and the limits; what files may hold is in test_faults_files.py."""

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.data.readers import image as image_reader
from striate.data.readers.image import decode_image
from striate.data.readers.image_formats import IMAGE_SUFFIXES, sniff
from striate.data.source import UnreadableItem


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def photo(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    channels = (255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 40) * np.cos(y / 30))
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(4, 300),
    height=st.integers(4, 300),
    size=st.integers(1, 200),
    image_format=st.sampled_from(["JPEG", "PNG"]),
)
@example(width=4, height=5, size=1, image_format="JPEG")  # two roundings up made it 1 x 2
@example(width=4, height=5, size=1, image_format="PNG")
def test_the_shorter_side_never_falls_below_size(
    width: int, height: int, size: int, image_format: str
) -> None:
    content = encode(Image.new("RGB", (width, height)), image_format)
    shape = decode_image(content, size=size).array.shape
    shorter = min(width, height)
    if shorter < 2 * size:
        assert shape == (3, height, width)  # nothing to gain
    else:
        assert size <= min(shape[1:]) < 2 * size
    assert shape[1] / shape[2] == pytest.approx(height / width, rel=0.5)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_a_reduced_image_is_the_image(image_format: str) -> None:
    # Against Pillow's antialiased resize of the full decoding. A box filter and JPEG's own scaling
    # differ from it by a few levels on smooth content.
    content = encode(photo(900, 700), image_format, quality=95)
    reduced = decode_image(content, size=100).array.transpose(1, 2, 0)
    full = Image.open(io.BytesIO(content)).convert("RGB")
    reference = np.asarray(full.resize(reduced.shape[1::-1], Image.Resampling.BOX))
    difference = np.abs(reduced.astype(int) - reference)
    assert difference.mean() < 1.5 and np.percentile(difference, 99) <= 6


def test_without_size_the_pixels_are_pillows() -> None:
    for image_format in ("JPEG", "PNG", "WEBP", "BMP", "PPM", "JPEG2000"):
        content = encode(photo(61, 47), image_format)
        reference = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        np.testing.assert_array_equal(decode_image(content).array.transpose(1, 2, 0), reference)


def test_orientation_and_reduction_together() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(photo(800, 400), "JPEG", exif=exif)
    upright = np.rot90(np.asarray(Image.open(io.BytesIO(content))), -1)
    reduced = decode_image(content, size=100).array
    assert reduced.shape == (3, 200, 100)
    reference = upright.reshape(200, 4, 100, 4, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(reduced - reference).mean() < 1.5


def test_sha256_is_of_the_file() -> None:
    import hashlib

    content = encode(photo(9, 9), "PNG")
    assert decode_image(content).sha256 == hashlib.sha256(content).hexdigest()
    assert decode_image(content, size=4).sha256 == hashlib.sha256(content).hexdigest()


def test_threads_may_decode_at_the_same_time() -> None:
    contents = [encode(photo(50 + n, 40), "JPEG") for n in range(40)]
    alone = [decode_image(content).array for content in contents]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda content: decode_image(content).array, contents))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_limit_on_the_size_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(photo(20, 20), "PNG"))
    length = path.stat().st_size
    monkeypatch.setattr(image_reader, "MAX_BYTES", length)
    decode_image(path)
    monkeypatch.setattr(image_reader, "MAX_BYTES", length - 1)
    for data in (path, path.read_bytes()):
        with pytest.raises(UnreadableItem, match=f"over the limit of {length - 1}"):
            decode_image(data)


def test_the_pixel_limit_is_below_pillows_own() -> None:
    assert 2 * (Image.MAX_IMAGE_PIXELS or 0) > image_reader.MAX_PIXELS


def test_every_format_is_recognized_by_its_first_bytes() -> None:
    # A DIB has no signature, a PPM a short one.
    for name in ("AVIF", "BMP", "DDS", "GIF", "ICO", "JPEG", "PNG", "QOI", "SGI", "TIFF", "WEBP"):
        assert sniff(encode(photo(16, 16), name)) == name
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in IMAGE_SUFFIXES)


def test_torch_is_not_imported() -> None:
    program = "import sys, striate.data.sandbox; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
