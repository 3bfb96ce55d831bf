"""faults.md, 'Files': one test a case, by its number."""

import io
import os
import struct
import unicodedata
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from striate.data import sandbox
from striate.data.layouts import open_source
from striate.data.readers import image as image_reader
from striate.data.readers.image import decode_image
from striate.data.readers.image_formats import FORMATS, NOT_PICTURES
from striate.data.sandbox import DecoderPool, read_all
from striate.data.source import Decoding, Reading, Skip, TooLargeItem, UnreadableItem
from striate.data.unlabelled import open_inputs

SEED = 20
WRITTEN = {
    "AVIF",
    "BMP",
    "DIB",
    "GIF",
    "JPEG",
    "JPEG2000",
    "PNG",
    "PPM",
    "TIFF",
    "WEBP",
    "TGA",
    "QOI",
}


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def photo(width: int = 40, height: int = 24) -> Image.Image:
    """Smooth colours, so that JPEG keeps them within a few levels."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 9))
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def reason(data: bytes | Path) -> str:
    with pytest.raises(UnreadableItem) as caught:
        decode_image(data)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def codes(reading: Reading) -> list[str]:
    return [note.code for note in reading.notes]


def hwc(reading: Reading) -> np.ndarray:
    assert reading.array.dtype == np.uint8 and reading.array.shape[0] == 3
    assert reading.array.flags.c_contiguous
    return reading.array.transpose(1, 2, 0)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes, bits: int = 1, rows: int | None = None) -> bytes:
    """A grey PNG of zeros, made of chunks; small however large it claims to be."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width * bits + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + b"".join(extra)
        + png_chunk(b"IDAT", data + packer.flush())
        + png_chunk(b"IEND", b"")
    )


def test_fault_01_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert reason(tmp_path / "a.jpg") == "empty file"
    assert reason(b"") == "empty file"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "AVIF"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_fault_02_truncated(image_format: str, share: float) -> None:
    whole = encode(photo(200, 150), image_format)
    said = reason(whole[: int(len(whole) * share)])
    assert said == "truncated file" or said.startswith(f"damaged {image_format} file")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_fault_02_truncated_anywhere_is_refused_or_has_every_pixel(image_format: str) -> None:
    whole = encode(photo(16, 16), image_format)
    pixels = decode_image(whole).array
    refused = 0
    for length in range(1, len(whole)):
        try:
            np.testing.assert_array_equal(decode_image(whole[:length]).array, pixels)
        except UnreadableItem:
            refused += 1
    assert refused >= len(whole) - 24  # what may be missing: checksums and the end marker


@pytest.mark.parametrize(
    "content", [b"hello, world\n" * 9, b"<!DOCTYPE html><html><body>404</body></html>", b"\0" * 500]
)
def test_fault_03_text_named_jpg(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert reason(tmp_path / "a.jpg") == "not an image"


def test_fault_04_png_named_jpg(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(photo(), "PNG"))
    reading = decode_image(path)
    np.testing.assert_array_equal(hwc(reading), np.asarray(photo()))
    assert codes(reading) == ["format-mismatch"]
    assert reading.notes[0].message == "PNG content in a file named .jpg"
    path.with_suffix(".png").write_bytes(path.read_bytes())
    assert codes(decode_image(path.with_suffix(".png"))) == []


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40,
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\xff\xff\0\0\xff\xff\xff\x7f",
    ],
)
def test_fault_05_broken_exif(exif: bytes) -> None:
    reference = hwc(decode_image(encode(photo(), "JPEG")))
    reading = decode_image(encode(photo(), "JPEG", exif=exif))
    np.testing.assert_array_equal(hwc(reading), reference)
    assert codes(reading).count("broken-metadata") <= 1


def test_fault_05_broken_icc_and_dpi() -> None:
    reference = hwc(decode_image(encode(photo(), "JPEG")))
    broken_icc = encode(photo(), "JPEG", icc_profile=b"no profile at all")
    np.testing.assert_array_equal(hwc(decode_image(broken_icc)), reference)
    zero_dpi = bytearray(encode(photo(), "JPEG", dpi=(72, 72)))
    at = zero_dpi.index(b"JFIF\0") + 7
    zero_dpi[at : at + 5] = b"\x01\0\0\0\0"
    np.testing.assert_array_equal(hwc(decode_image(bytes(zero_dpi))), reference)


def test_fault_05_a_warning_becomes_one_note() -> None:
    ifd = struct.pack("<HHHII", 1, ExifTags.Base.Make, 2, 5000, 20) + b"\0\0\0\0"
    content = encode(photo(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + ifd)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reading = decode_image(content)
    assert codes(reading) == ["broken-metadata"]


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


def test_fault_15_over_the_pixel_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason(png(13000, 13000, rows=1)).startswith("over the pixel limit: 13000x13000")
        monkeypatch.setattr(image_reader, "MAX_PIXELS", 64 * 64)
        decode_image(png(64, 64))
        monkeypatch.setattr(image_reader, "MAX_PIXELS", 64 * 64 - 1)
        assert reason(png(64, 64)).startswith("over the pixel limit")


def test_fault_15_a_large_image_below_the_limit_is_read_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reading = decode_image(png(10_000, 9_500), size=32)
    assert min(reading.array.shape[1:]) >= 32
    assert codes(reading) == []


def test_fault_16_decompression_bomb() -> None:
    content = png(20000, 20000, rows=20000)
    assert len(content) < 60_000
    assert reason(content) == "over the pixel limit"


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_fault_16_a_tiff_file_is_no_way_around_it(mode: str, monkeypatch) -> None:
    """Beyond Pillow's own limit it was decoded by tifffile, in full."""
    out = io.BytesIO()
    Image.new(mode, (64, 64)).save(out, "TIFF", compression="tiff_deflate")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(TooLargeItem, match="over the pixel limit"):
        image_reader.read_image(out.getvalue())


def test_fault_17_png_text_bomb() -> None:
    packed = zlib.compress(b"x" * 50_000_000, 9)
    bomb = png_chunk(b"zTXt", b"comment\0\0" + packed)
    assert reason(png(16, 16, bomb)).startswith("damaged PNG file: Decompressed data too large")
    whole = png(16, 16)
    late = whole[: -len(png_chunk(b"IEND", b""))] + bomb + png_chunk(b"IEND", b"")
    assert reason(late).startswith("damaged PNG file")


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError, TypeError, SyntaxError, NotImplementedError, KeyError, struct.error, OSError),
        *(IndexError, EOFError, MemoryError, ZeroDivisionError, RuntimeError, OverflowError),
    ],
)
@pytest.mark.parametrize("stage", ["_open", "load"])
def test_fault_18_whatever_a_decoder_raises(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], stage: str
) -> None:
    def fail(self: object) -> None:
        raise error("from the decoder")

    content = encode(photo(), "PNG")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, stage, fail)
    said = reason(content)
    assert said.startswith("damaged PNG file") or said == "not enough memory to decode it"


def test_fault_18_random_damage_is_read_or_skipped() -> None:
    rng = np.random.default_rng(SEED)
    for image_format in WRITTEN - {"DIB"}:
        whole = np.frombuffer(encode(photo(), image_format), np.uint8)
        for _ in range(40):
            broken = whole.copy()
            broken[rng.integers(0, len(broken), 6)] = rng.integers(0, 256, 6)
            try:
                assert decode_image(broken.tobytes()).array.shape[0] == 3
            except UnreadableItem as error:
                assert error.reason


BROKEN_DECODER = """
import os, resource, time
import striate.data.sandbox as sandbox
import striate.data.readers.image as image
decode = image.read_image
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
def decode_or_not(path, **options):
    if path.name.startswith("hang"): time.sleep(1000)
    if path.name.startswith("crash"): os.abort()
    if path.name.startswith("print"): os.write(1, b"noise on standard output")
    return decode(path, **options)
image.read_image = decode_or_not
sandbox.serve()
"""


def test_fault_19_a_decoder_that_hangs_or_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = sandbox._PROGRAM.replace("serve()", "") + BROKEN_DECODER
    monkeypatch.setattr(sandbox, "_PROGRAM", program)
    names = ["a.png", "crash.png", "b.png", "hang.png", "print.png", "c.png", "crash2.png", "d.png"]
    for name in names:
        photo().save(tmp_path / name)
    source = open_inputs([tmp_path / name for name in names])
    answers = {
        Path(item.id).stem: answer
        for item, answer in read_all(source, source.listing.items, None, 2, seconds=1.0)
    }
    assert [name + ".png" for name in answers] == names
    skipped = {name: a.reason for name, a in answers.items() if isinstance(a, Skip)}
    crashed = "the decoder crashed (exit status -6)"
    late = "the decoder took over 1 s"
    assert skipped == {"crash": crashed, "crash2": crashed, "hang": late}
    for name in ("a", "b", "c", "d", "print"):
        np.testing.assert_array_equal(hwc(answers[name]), np.asarray(photo()))


def test_fault_19_a_dead_idle_decoder_costs_nothing(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.png")
    pool = DecoderPool()
    try:
        first = pool.decode(Decoding(decode_image, tmp_path / "a.png"))
        pool._own.decoder._process.kill()
        pool._own.decoder._process.wait()
        again = pool.decode(Decoding(decode_image, tmp_path / "a.png"))
        np.testing.assert_array_equal(again.array, first.array)
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "EPS; a vector drawing"),
        (b"%PDF-1.7\n", "PDF; export its pages as PNG"),
        (b"\xff\x0a" + b"\0" * 40, "JPEG XL; convert it to PNG"),
        (b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 200, "camera RAW; develop it to JPEG"),
    ],
)
def test_fault_20_formats_not_on_the_list(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert reason(tmp_path / "a.png").startswith(f"format not supported: {said}")


@pytest.mark.parametrize("suffix", [".nef", ".CR2", ".arw", ".dng"])
def test_fault_20_the_preview_in_a_cameras_raw_file_is_not_taken(
    tmp_path: Path, suffix: str
) -> None:
    photo().save(tmp_path / f"a{suffix}", "TIFF")
    assert "camera RAW" in reason(tmp_path / f"a{suffix}")
    photo().save(tmp_path / "b.tif", tiffinfo={50706: b"\1\4\0\0"})
    assert "camera RAW" in reason((tmp_path / "b.tif").read_bytes())


@pytest.mark.parametrize(
    "image_format", ["BLP", "DDS", "ICNS", "ICO", "PCX", "QOI", "SGI", "TGA", "MPO"]
)
def test_fault_20_whatever_pillow_decodes_is_read(tmp_path: Path, image_format: str) -> None:
    picture = photo().resize((32, 32))
    picture = picture.quantize(200) if image_format == "BLP" else picture
    suffix = "mpo" if image_format == "MPO" else image_format.lower()
    picture.save(tmp_path / f"a.{suffix}", image_format)
    with Image.open(tmp_path / f"a.{suffix}") as stored:
        expected = np.asarray(stored.convert("RGB"))
    np.testing.assert_array_equal(hwc(decode_image(tmp_path / f"a.{suffix}")), expected)


def test_fault_20_a_format_without_a_signature_is_told_by_its_suffix() -> None:
    assert reason(encode(photo(), "TGA")) == "not an image"


def test_fault_20_every_format_of_pillow_is_read_or_refused_by_name() -> None:
    Image.init()
    assert set(Image.OPEN) - {"HEIF"} == (FORMATS.keys() - {"HEIC"}) | NOT_PICTURES.keys()
    named = {s for suffixes in FORMATS.values() for s in suffixes}
    for suffix, name in Image.EXTENSION.items():
        if name in FORMATS:
            assert suffix in named


def class_folders(root: Path, *names: str, count: int = 2) -> Path:
    for index, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (16, 16), (60 * index, number, 0)).save(root / name / f"{number}.png")
    return root


def item_ids(root: Path) -> list[str]:
    return [item.id for item in open_source(root).listing.items]


def test_fault_21_upper_case_extensions(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "a", "b")
    photo().save(root / "a" / "X.JPG")
    photo().save(root / "a" / "Y.JpEg")
    photo().save(root / "b" / "Z.TIFF")
    assert {"a/X.JPG", "a/Y.JpEg", "b/Z.TIFF"} <= set(item_ids(root))


def test_fault_22_avif_and_heic(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "a", "b")
    photo().save(root / "a" / "x.avif", quality=100)
    (root / "b" / "y.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64)
    source = open_source(root)
    items = {item.id: item for item in source.listing.items}
    pixels = hwc(source.read(items["a/x.avif"])).astype(int)
    assert np.abs(pixels - UPRIGHT).max() <= 24
    with pytest.raises(UnreadableItem, match="damaged HEIC file"):
        source.read(items["b/y.heic"])


def test_fault_23_files_that_systems_leave(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "a", "b")
    before = item_ids(root)
    for name in ("Thumbs.db", ".DS_Store", "._0.png", ".hidden.jpg", "desktop.ini"):
        (root / "a" / name).write_bytes(b"\0\5\x16\7")
    for name in (".git", "__MACOSX", "@eaDir"):
        (root / name).mkdir()
        photo().save(root / name / "x.png")
    listing = open_source(root).listing
    assert [item.id for item in listing.items] == before
    assert listing.skipped == () and listing.notes == ()


def test_fault_24_unicode_names_composed_or_not(tmp_path: Path) -> None:
    names = ["é.png", "Ångström.png", "犬.png", "😀.png", "ไก่.png"]
    roots = []
    for form in ("NFC", "NFD"):
        root = class_folders(tmp_path / form, unicodedata.normalize(form, "café"), "dog")
        for name in names:
            photo().save(
                root / unicodedata.normalize(form, "café") / unicodedata.normalize(form, name)
            )
        roots.append(open_source(root))
    composed, decomposed = roots
    assert composed.listing.items == decomposed.listing.items
    assert {item.label for item in composed.listing.items} == {"café", "dog"}
    for item in decomposed.listing.items:
        np.testing.assert_array_equal(decomposed.read(item).array, composed.read(item).array)


def test_fault_24_names_that_differ_only_in_their_form_stay_two_items(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "a", "b")
    Image.new("L", (8, 8), 10).save(root / "a" / unicodedata.normalize("NFC", "é.png"))
    Image.new("L", (8, 8), 20).save(root / "a" / unicodedata.normalize("NFD", "é.png"))
    source = open_source(root)
    twins = [item for item in source.listing.items if "é" in item.id]
    assert [item.id for item in twins] == ["a/é.png", "a/é.png (2)"]
    assert {int(source.read(item).array.max()) for item in twins} == {10, 20}


ODD_NAMES = [
    "two words.png", "it's.png", 'say "hi".png', "100%.png", "-rf.png", "new\nline.png",
    "tab\there.png", "a,b;c.png", "#?&.png", "back\\slash.png", " .png",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_fault_25_odd_characters(tmp_path: Path, name: str) -> None:
    root = class_folders(tmp_path, "a", "b")
    photo().save(root / "a" / name)
    source = open_source(root)
    (item,) = [item for item in source.listing.items if item.id == f"a/{name}"]
    np.testing.assert_array_equal(hwc(source.read(item)), np.asarray(photo()))


def test_fault_25_odd_characters_reach_a_decoding_process(tmp_path: Path) -> None:
    for name in ODD_NAMES:
        photo().save(tmp_path / name)
    source = open_inputs([tmp_path])
    answers = list(read_all(source, source.listing.items, None, 1))
    assert len(answers) == len(ODD_NAMES)
    assert all(isinstance(answer, Reading) for _, answer in answers)


def test_fault_26_names_that_are_not_utf8(tmp_path: Path) -> None:
    root = class_folders(tmp_path, "a", "b")
    content = encode(photo(), "PNG")
    for name in (b"caf\xe9.png", b"\xff\xfe.png"):
        Path(os.fsdecode(os.fsencode(root / "a") + b"/" + name)).write_bytes(content)
    source = open_source(root)
    ids = [item.id for item in source.listing.items]
    assert {"a/caf\\xe9.png", "a/\\xff\\xfe.png"} <= set(ids)
    for item_id in ids:
        item_id.encode("utf-8")  # what a report or a JSON file needs
    assert all(isinstance(a, Reading) for _, a in read_all(source, source.listing.items, None, 1))


def test_fault_27_over_long_path(tmp_path: Path) -> None:
    assert reason(tmp_path / ("x" * 300 + ".png")) == "path too long"
    assert reason(Path("a/" * 3000 + "x.png")) == "path too long"


def test_fault_27_over_long_path_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = class_folders(tmp_path / "data", "a", "b", count=20)
    monkeypatch.chdir(root / "a")
    for _ in range(20):  # 20 times 250 characters: over the 4,096 of a path
        Path("d" * 250).mkdir()
        os.chdir("d" * 250)
    monkeypatch.chdir(tmp_path)
    listing = open_source(root).listing
    assert len(listing.items) == 40
    assert [skip.reason for skip in listing.skipped] == ["path too long"]


@pytest.mark.parametrize(
    "name", ["<script>alert(1)<", "=cmd()", "+1", "@SUM(A1)", "&amp;", "'; DROP TABLE x"]
)
def test_fault_28_hostile_names_stay_text(tmp_path: Path, name: str) -> None:
    root = class_folders(tmp_path, name, "b")
    source = open_source(root)
    assert {item.label for item in source.listing.items} == {name, "b"}
    assert all(source.read(item).array.shape == (3, 16, 16) for item in source.listing.items)
