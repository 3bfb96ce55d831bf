"""Polarity and numbers of TIFF files, and HEIC pictures."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts import open_source
from striate.data.readers import image as image_reader
from striate.data.readers.image import decode_image, read_image
from striate.data.readers.tiff import read_bands
from striate.data.sandbox import read_all
from striate.data.source import Skip, UnreadableItem
from striate.data.unlabelled import open_inputs
from striate.errors import DataError
from striate.fitting.check import check

tifffile = pytest.importorskip("tifffile")

RAMP = np.add.outer(np.arange(12), np.arange(20))


def tiff(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
)
def test_min_is_white_is_turned_around_in_every_depth(dtype: str, compression: str | None) -> None:
    values = (RAMP % 2 if dtype == "bool" else RAMP).astype(dtype)
    plain = read_image(tiff(values, photometric="minisblack", compression=compression))
    white = read_image(tiff(values, photometric="miniswhite", compression=compression))
    assert np.argmax(plain.array[0]) == np.argmax(values)
    assert np.argmax(white.array[0]) == np.argmin(values)
    order = np.argsort(np.unique(white.array)[::-1])
    assert (np.diff(order) < 0).all()  # the same steps, the other way around
    if dtype not in ("bool", "uint8"):  # which Pillow turns, for they are pictures
        assert [note.code for note in white.notes] == ["polarity"]
    if dtype == "uint16":
        np.testing.assert_array_equal(white.array[0], 65535 - values)
        np.testing.assert_array_equal(
            decode_image(tiff(values, photometric="miniswhite")).array[0], 255
        )


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
def test_min_is_white_of_odd_depths(bits: int) -> None:
    values = (RAMP % 2**bits).astype(np.uint8 if bits <= 8 else np.uint16)
    white = read_image(tiff(values, photometric="miniswhite", bitspersample=bits)).array
    plain = read_image(tiff(values, photometric="minisblack", bitspersample=bits)).array
    full = 2**bits - 1 if bits > 8 else 255
    np.testing.assert_array_equal(white, full - plain)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ((RAMP * 100.5).astype(np.float32), "float32"),
        ((RAMP / 40 - 0.3).astype(np.float32), "float32"),
        ((RAMP - 20).astype(np.int16), "float32"),
        ((RAMP * 10**8).astype(np.uint32), "float32"),
        (RAMP / 7, "float32"),
        ((RAMP - 5).astype(np.int8), "int16"),
        (np.stack([RAMP + k for k in range(5)], -1).astype(np.uint8), "uint8"),
        (np.stack([RAMP + k for k in range(7)]).astype(np.float32), "float32"),
    ],
)
def test_scientific_numbers_are_kept(values: np.ndarray, dtype: str) -> None:
    layers = "contig" if values.shape[-1] == 5 else "separate" if values.ndim == 3 else None
    reading = read_image(tiff(values, photometric="minisblack", planarconfig=layers))
    expected = np.atleast_3d(values).transpose(2, 0, 1) if layers != "separate" else values
    assert reading.array.dtype == dtype
    np.testing.assert_array_equal(reading.array, expected.astype(dtype))


def test_decoders_write_nothing_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for number, compression in enumerate(["tiff_lzw", "tiff_adobe_deflate", "jpeg"] * 4):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)).save(
            file, "TIFF", compression=compression
        )
        content = bytearray(file.getvalue())
        for place in rng.integers(8, len(content), 20):
            content[place] = 0
        (tmp_path / f"{number}.tif").write_bytes(content)
    source = open_inputs([tmp_path])
    list(read_all(source, source.listing.items, None, 1))
    folders = tmp_path / "data" / "a" / "clip"
    folders.mkdir(parents=True)
    for path in tmp_path.glob("*.tif"):
        path.rename(folders / path.name)
    volumes = open_inputs([folders], kind="volume")
    list(read_all(volumes, volumes.listing.items, None, 1))
    assert capfd.readouterr() == ("", "")


def heic(orientation: int) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30] = 255  # white at the upper left
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    stored = pillow_heif.from_pillow(Image.fromarray(picture))
    stored.save(file, quality=95, exif=exif.tobytes())
    return file.getvalue()


@pytest.mark.parametrize(
    ("orientation", "shape", "corner"),
    [(1, (40, 60), (0, 0)), (3, (40, 60), (1, 1)), (6, (60, 40), (0, 1)), (8, (60, 40), (1, 0))],
)
def test_heic_is_read_with_its_orientation(
    tmp_path: Path, orientation: int, shape: tuple[int, int], corner: tuple[int, int]
) -> None:
    (tmp_path / "a.HEIC").write_bytes(heic(orientation))
    for data in (tmp_path / "a.HEIC", (tmp_path / "a.HEIC").read_bytes()):
        array = read_image(data).array
        assert array.shape == (3, *shape)
        bright = [array[0, 5, 5], array[0, 5, -5], array[0, -5, 5], array[0, -5, -5]]
        assert int(np.argmax(bright)) == 2 * corner[0] + corner[1]


def test_heic_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    content = heic(1)
    monkeypatch.setattr(image_reader, "_with_heif", lambda: False)
    with pytest.raises(UnreadableItem, match=r'pip install "striate\[heic\]"'):
        read_image(content)


def test_where_nothing_can_be_read_the_commonest_reason_is_told(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(5):
            (tmp_path / label / f"{number}.jpg").write_bytes(b"" if number else b"text")
    with pytest.raises(DataError) as caught:
        check(tmp_path)
    assert "empty file (8, as a/1.jpg), not an image (2, as a/0.jpg)" in str(caught.value)
    source = open_source(tmp_path)
    assert all(isinstance(a, Skip) for _, a in read_all(source, source.listing.items, None, 1))


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "minisblack"},
        {"photometric": "minisblack", "compression": "zlib", "rowsperstrip": 8},
        {"photometric": "minisblack", "planarconfig": "separate", "rowsperstrip": 8},
        {"photometric": "minisblack", "planarconfig": "separate", "compression": "zlib"},
        {"photometric": "minisblack", "tile": (16, 16)},
        {"photometric": "minisblack", "tile": (32, 32), "compression": "zlib"},
    ],
)
def test_whole_files_of_strips_and_tiles_are_read(options: dict[str, object]) -> None:
    array = np.arange(3 * 40 * 56, dtype=np.uint16).reshape(3, 40, 56)
    assert np.array_equal(read_bands(tiff(array, **options))[0], array)


def test_a_file_without_some_of_its_strips_is_damaged() -> None:
    """Five kilobytes that tell of strips they do not have would become 500 MB of zeros."""
    array = np.arange(40 * 56, dtype=np.int32).reshape(40, 56)
    content = tiff(array, compression="zlib", rowsperstrip=8)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        (rows,) = [tag for tag in file.pages[0].tags if tag.name == "RowsPerStrip"]
    short = bytearray(content)
    short[rows.valueoffset : rows.valueoffset + 2] = (2).to_bytes(2, "little")
    with pytest.raises(UnreadableItem, match="5 of its 20 strips or tiles are there"):
        read_bands(bytes(short))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_is_turned_upright_whoever_reads_it(orientation: int) -> None:
    tag = [(274, "H", 1, orientation, True)]
    by_pillow = read_image(tiff(RAMP.astype(np.uint16), extratags=tag)).array
    by_tifffile = read_image(tiff(RAMP.astype(np.float64), extratags=tag)).array
    np.testing.assert_array_equal(by_tifffile, by_pillow)
    assert by_tifffile.shape == ((1, 20, 12) if orientation > 4 else (1, 12, 20))
