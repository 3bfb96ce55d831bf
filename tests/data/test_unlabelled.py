"""What is to be predicted: bytes, images, tensors and arrays beside paths; items and batches."""

import gzip
import io
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.sandbox import read_all
from striate.data.source import Reading, Skip, UnreadableItem
from striate.data.unlabelled import Batch, Text, open_inputs, several
from striate.errors import DataError

SEED = 20


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, 256, shape).astype(np.uint8)


def encoded(image: Image.Image, image_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def sound(samples: int = 300) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((np.arange(samples) % 99 * 100).astype("<i2").tobytes())
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def readings(inputs: list, kind: str = "image", channels: int = 3) -> list[Reading]:
    source = open_inputs(inputs, kind, channels)
    here = [source.read(item) for item in source.listing.items]
    isolated = [answer for _, answer in read_all(source, source.listing.items, None, 2)]
    for one, other in zip(here, isolated, strict=True):
        assert isinstance(other, Reading)
        np.testing.assert_array_equal(one.array, other.array)
        assert (one.sha256, one.spacing) == (other.sha256, other.spacing)
    return here


# --- bytes ---


def test_bytes_are_read_as_their_file_is(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(pixels(9, 12, 3)))
    (tmp_path / "a.png").write_bytes(content)
    from_file, from_bytes = readings([tmp_path / "a.png", content])
    np.testing.assert_array_equal(from_file.array, from_bytes.array)
    assert from_file.sha256 == from_bytes.sha256
    items = open_inputs([tmp_path / "a.png", content]).listing.items
    assert [item.id for item in items] == [str(tmp_path / "a.png"), "bytes 1"]


def contents() -> list[tuple[str, bytes, str]]:
    nibabel = pytest.importorskip("nibabel")
    volume = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    nifti = nibabel.Nifti1Image(volume, np.eye(4)).to_bytes()
    return [
        (".wav", sound(), "signal"),
        (".csv", b"time,x\n0,1\n0.5,2\n1,4\n", "signal"),
        (".npy", npy(np.ones((2, 30), np.float32)), "signal"),
        (".npy", npy(volume), "volume"),
        (".npz", npz(volume=volume, spacing=np.array([3.0, 1, 1])), "volume"),
        (".nii", nifti, "volume"),
        (".nii.gz", gzip.compress(nifti), "volume"),
        (".jpg", encoded(Image.fromarray(pixels(16, 16, 3)), "JPEG"), "image"),
    ]


@pytest.mark.parametrize("number", range(8))
def test_bytes_of_every_format_are_told_by_their_head(tmp_path: Path, number: int) -> None:
    suffix, content, kind = contents()[number]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    from_file, from_bytes = readings([path, content], kind)
    np.testing.assert_array_equal(from_file.array, from_bytes.array)
    assert (from_file.sha256, from_file.spacing) == (from_bytes.sha256, from_bytes.spacing)


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"", "image", "empty file"),
        (b"hello", "image", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "signal", "an image among signals"),
        (b"\xff\xfe\0\0nothing", "signal", "the bytes of no file that holds a signal"),
        (sound(), "volume", "a signal among volumes"),
        (npy(np.ones((3, 4, 5))), "signal", "a volume among signals"),
    ],
)
def test_bytes_that_are_no_such_item_are_skipped(content: bytes, kind: str, said: str) -> None:
    source = open_inputs([content], kind)
    ((_, answer),) = read_all(source, source.listing.items, None, 1)
    assert isinstance(answer, Skip) and answer.reason == said


# --- images of Pillow's ---


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_images_are_read_as_their_file_is(mode: str) -> None:
    image = Image.fromarray(pixels(9, 12, 3))
    if mode in ("I;16", "F"):
        scale = 257 if mode == "I;16" else 1 / 255
        dtype = np.uint16 if mode == "I;16" else np.float32
        image = Image.fromarray((pixels(9, 12).astype(np.float64) * scale).astype(dtype))
    else:
        image = image.convert(mode)
    before = image.tobytes()
    stored = encoded(image, "TIFF" if mode in ("CMYK", "F") else "PNG")
    given, expected = readings([image, stored])
    np.testing.assert_array_equal(given.array, expected.array)
    assert image.tobytes() == before


def test_an_image_is_turned_as_its_exif_data_asks() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(pixels(9, 12, 3)), exif=exif)
    image = Image.open(io.BytesIO(content))
    given, expected = readings([image, content])
    assert given.array.shape == (3, 12, 9)
    np.testing.assert_array_equal(given.array, expected.array)
    assert image.size == (12, 9)


def test_an_image_is_no_signal() -> None:
    source = open_inputs([Image.new("L", (8, 8))], "signal", 1)
    with pytest.raises(UnreadableItem, match="an image among signals"):
        source.read(source.listing.items[0])


# --- arrays and tensors ---


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16, torch.bfloat16])
def test_tensors_are_read_as_arrays_are(dtype: torch.dtype) -> None:
    whole = pixels(2, 3, 8, 8) // 255
    tensor = torch.from_numpy(whole).to(dtype).requires_grad_(dtype.is_floating_point)
    found = readings([tensor, tensor[0]])
    assert len(found) == 3
    for reading, image in zip(found, [*whole, whole[0]], strict=True):
        scale = 1 if dtype == torch.uint8 else 255
        np.testing.assert_array_equal(reading.array, image * scale)


def test_a_batch_is_never_taken_for_an_item() -> None:
    grey = pixels(3, 8, 8)  # three grey images, or one of three colours
    assert len(open_inputs([grey]).listing.items) == 1
    source = open_inputs([Batch(grey)])
    assert [item.id for item in source.listing.items] == [f"array 0[{n}]" for n in range(3)]
    for item, image in zip(source.listing.items, grey, strict=True):
        np.testing.assert_array_equal(source.read(item).array, np.stack([image] * 3))
    assert len(open_inputs([Batch(torch.from_numpy(grey))]).listing.items) == 3


@pytest.mark.parametrize(
    ("shape", "kind", "channels", "count"),
    [
        ((8, 8), "image", 3, 1),
        ((1, 8, 8), "image", 3, 1),
        ((8, 8, 3), "image", 3, 1),
        ((5, 8, 8), "image", 3, 5),
        ((4, 3, 8, 8), "image", 3, 4),
        ((30,), "signal", 1, 1),
        ((4, 30), "signal", 1, 4),
        ((4, 30), "signal", 4, 1),
        ((2, 4, 30), "signal", 4, 2),
        ((5, 6, 7), "volume", 1, 1),
        ((2, 5, 6, 7), "volume", 1, 2),
        ((2, 5, 6, 7), "volume", 2, 1),
        ((3, 2, 5, 6, 7), "volume", 2, 3),
    ],
)
def test_axes_tell_one_item_from_several(
    tmp_path: Path, shape: tuple[int, ...], kind: str, channels: int, count: int
) -> None:
    array = np.zeros(shape, np.float32)
    assert len(open_inputs([array], kind, channels).listing.items) == count
    if kind == "image" or len(shape) in (3, 5):  # a file of several items is a batch too
        np.save(tmp_path / "a.npy", array)
        assert len(open_inputs([tmp_path / "a.npy"], kind, channels).listing.items) == count


def test_one_input_alone_needs_no_list() -> None:
    array, tensor, image = pixels(8, 8), torch.zeros(8, 8), Image.new("L", (8, 8))
    for entry in ("a.png", Path("a.png"), b"bytes", array, tensor, image, Batch(array)):
        (found,) = several(entry)
        assert found is entry
    assert several(["a", "b"]) == ["a", "b"]
    assert several(name for name in "ab") == ["a", "b"]


def test_an_open_file_and_any_bytes_are_the_content_of_a_file(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(pixels(9, 12, 3)))
    (tmp_path / "a.png").write_bytes(content)
    with (tmp_path / "a.png").open("rb") as file:
        given = [content, bytearray(content), memoryview(content), io.BytesIO(content), file]
        assert all(len(several(entry)) == 1 for entry in given)
        found = readings(given)
    assert len({reading.sha256 for reading in found}) == 1
    with (
        (tmp_path / "a.png").open(encoding="latin-1") as text,
        pytest.raises(DataError, match='opened as text; open it with "rb"'),
    ):
        open_inputs([text])


def test_a_column_of_names_is_a_sequence_of_them() -> None:
    names = ["a.png", "b.png"]
    for column in (np.array(names), np.array(names, object)):
        assert several(column) == names
    paths = np.array([Path("a.png")], object)
    assert several(paths) == [Path("a.png")]
    numbers = np.array([1, 2], object)
    assert several(numbers)[0] is numbers


def test_arrays_of_a_file_are_items_as_they_are_for_a_fit(tmp_path: Path) -> None:
    series = np.arange(60, dtype=np.float32).reshape(3, 20)
    np.savez(tmp_path / "pair.npz", X=series, y=np.arange(3))
    np.savez(tmp_path / "alone.npz", series)
    for name in ("pair.npz", "alone.npz"):
        found = readings([tmp_path / name], "signal", 1)
        np.testing.assert_array_equal(np.stack([one.array[0] for one in found]), series)
    volumes = np.zeros((3, 5, 5, 5), np.float32)
    np.savez(tmp_path / "volumes.npz", X=volumes, y=np.arange(3))
    assert len(readings([tmp_path / "volumes.npz"], "volume", 1)) == 3
    np.savez(tmp_path / "volume.npz", volumes[0])
    assert len(readings([tmp_path / "volume.npz"], "volume", 1)) == 1


def test_an_address_of_one_file_is_refused_at_once() -> None:
    with pytest.raises(DataError, match="not fetched from addresses"):
        open_inputs(["https://example.org/a.png"])


def test_a_table_in_memory_is_refused_with_its_columns() -> None:
    class Table:
        columns = ("path", "label")

        def __array__(self, *_: object, **__: object) -> np.ndarray:
            return np.array([["a.png", "cat"]], object)

    with pytest.raises(DataError, match="a table with the columns path, label; give one of its"):
        open_inputs([Table()])


@pytest.mark.parametrize("entry", [3, None, {"a": 1}])
def test_what_is_no_input_is_refused_by_its_type(entry: object) -> None:
    with pytest.raises(DataError, match=f"input 0 is of type {type(entry).__name__}"):
        open_inputs([entry])


# --- what `fit` takes is taken too ---


def test_data_sets_give_all_their_items(tmp_path: Path) -> None:
    (tmp_path / "Toy_TRAIN.ts").write_text("@classLabel true a b\n@data\n1,2:a\n3,4:b\n")
    source = open_inputs([tmp_path / "Toy_TRAIN.ts"], "signal", 1)
    assert [source.read(item).array.tolist() for item in source.listing.items] == [
        [[1, 2]],
        [[3, 4]],
    ]
    with pytest.raises(DataError, match="holds signals"):
        open_inputs([tmp_path / "Toy_TRAIN.ts"], "volume", 1)


def test_a_text_may_be_an_item() -> None:
    pytest.importorskip("rdkit")
    source = open_inputs(["CCO", "C" * 300], "graph")
    assert [item.id for item in source.listing.items] == ["CCO", "C" * 300]
    assert [source.read(item).array.shape[1] for item in source.listing.items] == [3, 300]


def test_nodes_come_with_their_graph() -> None:
    pytest.importorskip("networkx")
    source = open_inputs(["sample:karate-club"], "node")
    first, second = (source.read(item) for item in source.listing.items[:2])
    assert first.graph is second.graph and (first.node, second.node) == (0, 1)
    assert first.graph is not None and first.graph.array.shape == (34, 34)


# --- one answer an input ---


def answers(inputs: list, kind: str = "image") -> list[tuple[str, str]]:
    source = open_inputs(inputs, kind)
    read = read_all(source, source.listing.items, None, 1)
    return [(item.id, answer.reason if isinstance(answer, Skip) else "") for item, answer in read]


def test_what_cannot_be_read_has_its_place_and_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(pixels(8, 8))))
    (tmp_path / "b.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "c.png").write_bytes(encoded(Image.fromarray(pixels(8, 8))))
    given = [tmp_path / "missing.png", tmp_path, None, np.zeros((2, 2, 2, 2, 2)), pixels(8, 8)]
    found = answers(given)
    assert [name for name, _ in found] == [
        str(tmp_path / "missing.png"),
        *(f"{tmp_path}/{name}.png" for name in "abc"),
        "input 2",
        "input 3",
        "array 4",
    ]
    assert [bool(reason) for _, reason in found] == [True, False, True, False, True, True, False]
    assert found[0][1] == "file not found" and "NoneType" in found[4][1]
    assert "(2, 2, 2, 2, 2)" in found[5][1]


def test_where_nothing_can_be_read_the_first_error_is_raised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*a.png: file not found"):
        open_inputs([tmp_path / "a.png", tmp_path / "b.png"])


def test_a_molecule_that_does_not_parse_keeps_its_place(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    path = tmp_path / "m.csv"
    path.write_text("smiles\nCCO\nC(\nCC\n")
    found = answers([path], "graph")
    assert [name for name, _ in found] == [f"{path}[{name}]" for name in ("CCO", "C(", "CC")]
    assert [bool(reason) for _, reason in found] == [False, True, False]


@pytest.mark.parametrize("kind", ["image", "signal"])
def test_a_table_of_paths_gives_the_files_that_it_lists(tmp_path, kind):
    content, suffix = (
        (encoded(Image.fromarray(pixels(8, 8, 3))), "png") if kind == "image" else (sound(), "wav")
    )
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.{suffix}").write_bytes(content)
    table = tmp_path / "test.csv"
    table.write_bytes(
        f"\ufeffid;path\r\n1;in\\a.{suffix}\r\n2;gone.{suffix}\r\n3;in/b.{suffix}\r\n".encode()
    )
    source = open_inputs([table], kind, 1 if kind == "signal" else 3)
    found = [answer for _, answer in read_all(source, source.listing.items, None, 2)]
    assert [type(answer) for answer in found] == [Reading, Skip, Reading]
    assert "not found" in found[1].reason
    assert [Path(item.id).name for item in source.listing.items] == [
        f"a.{suffix}",
        f"gone.{suffix}",
        f"b.{suffix}",
    ]


def test_a_table_with_a_row_without_a_path_is_refused_by_line(tmp_path):
    (tmp_path / "test.csv").write_text("path,id\na.png,1\n,2\n")
    with pytest.raises(DataError, match="line 3 has no path"):
        open_inputs([tmp_path / "test.csv"])


def test_a_signal_with_numbers_is_no_table_of_paths(tmp_path):
    rows = "".join(f"{n * n},{n % 7}\n" for n in range(30))
    (tmp_path / "walk.csv").write_text(f"x,y\n{rows}")
    assert len(open_inputs([tmp_path / "walk.csv"], "signal", 2).listing.items) == 1


def test_no_inputs_at_all_are_said_to_be_none() -> None:
    with pytest.raises(DataError, match="nothing to predict: no inputs were given"):
        open_inputs([])


def test_a_text_is_never_the_name_of_a_file(tmp_path):
    path = tmp_path / "secret.csv"
    path.write_text("smiles\nCCO\n")
    for text in (str(path), "CCO"):
        source = open_inputs([Text(text)], "graph")
        assert [item.id for item in source.listing.items] == [text]
    with pytest.raises(UnreadableItem, match="does not parse"):
        molecule = open_inputs([Text(str(path))], "graph")
        molecule.read(molecule.listing.items[0])
    with pytest.raises(DataError, match="no image is written as text"):
        open_inputs([Text("CCO")], "image")
