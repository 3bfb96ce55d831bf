"""faults.md, 'Files': one test a case, by its number; what pixels and names may be is beside."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin
from tests.data.picture_files import codes, encode, hwc, photo, png, png_chunk, reason

from striate.data import sandbox
from striate.data.readers import image as image_reader
from striate.data.readers.image import decode_image
from striate.data.readers.image_formats import FORMATS, NOT_PICTURES
from striate.data.sandbox import DecoderPool, read_all
from striate.data.source import Decoding, Skip, TooLargeItem, UnreadableItem
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
