"""Arrays as data: in memory, in .npz and .npy files, and in IDX pairs."""

import gzip
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from striate.data.layouts import ArraySource, open_source
from striate.data.source import UnreadableItem
from striate.errors import DataError

SEED = 20

Refusal = Callable[[Path], str]


def rgb_batch(count: int = 6, height: int = 10, width: int = 12) -> np.ndarray:
    rng = np.random.default_rng(SEED)
    return rng.integers(0, 256, (count, 3, height, width)).astype(np.uint8)


LABELS = np.array([0, 1, 0, 1, 2, 2])


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x,
        lambda x: x.transpose(0, 2, 3, 1),
        lambda x: x / np.float32(255),
        lambda x: x.astype(np.float64),
        lambda x: x.astype(np.int64),
        lambda x: x.astype(np.uint16),
    ],
)
def test_arrays_of_every_layout_and_range_are_the_same_images(convert) -> None:  # type: ignore[no-untyped-def]
    expected = rgb_batch()
    expected[0, 0, 0, 0] = 255  # so that the range is known
    source = ArraySource(convert(expected), LABELS)
    for item, image in zip(source.listing.items, expected, strict=True):
        np.testing.assert_array_equal(source.read(item).array, image)
    assert [item.label for item in source.listing.items] == ["0", "1", "0", "1", "2", "2"]


def test_arrays_of_grey_are_repeated_in_three_channels() -> None:
    grey = rgb_batch()[:, 0]
    for arrays in (grey, grey[:, None], grey[..., None]):
        source = ArraySource(arrays, LABELS)
        array = source.read(source.listing.items[1]).array
        np.testing.assert_array_equal(array, np.stack([grey[1]] * 3))
        assert array.flags.c_contiguous and array.flags.writeable


def test_arrays_with_values_that_are_not_finite_are_skipped_by_index() -> None:
    images = rgb_batch() / np.float32(255)
    images[2, 0, 0, 0], images[4, 1, 1, 1] = np.nan, np.inf
    source = ArraySource(images, LABELS)
    for index, item in enumerate(source.listing.items):
        if index in (2, 4):
            with pytest.raises(UnreadableItem, match=f"not finite, at index {index}"):
                source.read(item)
        else:
            np.testing.assert_array_equal(source.read(item).array, rgb_batch()[index])


def test_arrays_hash_their_own_bytes() -> None:
    images = rgb_batch()
    images[3] = images[0]
    source = ArraySource(images, LABELS)
    hashes = [source.read(item).sha256 for item in source.listing.items]
    assert hashes[0] == hashes[3] and len(set(hashes)) == 5


@pytest.mark.parametrize(
    ("arrays", "labels", "said"),
    [
        (np.zeros((6, 50, 60, 70)), LABELS, "shape"),
        (np.zeros((6, 12, 5, 12)), LABELS, "shape"),
        (np.zeros((6, 10)), LABELS, "shape"),
        (np.zeros((0, 8, 8)), [], "shape"),
        (np.zeros((6, 8, 8), complex), LABELS, "complex"),
        (np.zeros((6, 8, 8)), LABELS[:5], "6 images and 5 labels"),
        (np.zeros((6, 8, 8)), np.zeros((6, 2)), "labels of arrays have the shape"),
        (np.zeros((6, 8, 8)), np.linspace(0, 1, 6), "not whole"),
    ],
)
def test_arrays_that_make_no_sense(arrays: np.ndarray, labels: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        ArraySource(arrays, labels)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, save) -> None:  # type: ignore[no-untyped-def]
    save(tmp_path / "d.npz", X=rgb_batch(), y=LABELS.astype(float)[:, None])
    source = open_source(tmp_path / "d.npz")
    assert [item.label for item in source.listing.items] == ["0", "1", "0", "1", "2", "2"]
    np.testing.assert_array_equal(source.read(source.listing.items[5]).array, rgb_batch()[5])


@pytest.mark.parametrize(
    ("shape", "dtype", "doubted"),
    [
        ((8, 128, 9), np.float32, True),  # signals as Keras has them
        ((8, 9, 128), np.float32, False),
        ((8, 128, 64), np.float32, False),
        ((8, 128, 9), np.uint8, False),
    ],
)
def test_long_images_may_be_signals(
    tmp_path: Path, shape: tuple[int, ...], dtype: type, doubted: bool
) -> None:
    np.savez(tmp_path / "a.npz", X=np.ones(shape, dtype), y=np.arange(8) % 2)
    notes = [note for note in open_source(tmp_path / "a.npz").listing.notes if note.code == "axes"]
    assert len(notes) == doubted
    if doubted:
        assert "signals of 9 channels" in notes[0].as_line()


def test_npz_with_parts(tmp_path: Path) -> None:
    images, labels = rgb_batch(), np.array(["a", "b", "a", "b", "b", "a"])
    np.savez(
        tmp_path / "d.npz",
        x_train=images[:4],
        y_train=labels[:4],
        X_test=images[4:],
        Y_test=labels[4:],
    )
    source = open_source(tmp_path / "d.npz")
    assert [item.split for item in source.listing.items] == ["train"] * 4 + ["test"] * 2
    assert [item.label for item in source.listing.items] == labels.tolist()


def test_npy_pair(tmp_path: Path, refusal: Refusal) -> None:
    np.save(tmp_path / "X.npy", rgb_batch())
    assert "no labels beside it" in refusal(tmp_path / "X.npy")
    np.save(tmp_path / "y.npy", LABELS)
    for data in (tmp_path, tmp_path / "X.npy"):
        source = open_source(data)
        np.testing.assert_array_equal(source.read(source.listing.items[2]).array, rgb_batch()[2])


def npy_bytes(shape: tuple[int, ...], held: int, version: bytes = b"\1\0") -> bytes:
    header = str({"descr": "|u1", "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + bytes(held)


@pytest.mark.parametrize("shape", [(10**6, 1000, 1000), (7, 8, 8), (5, 8, 8), (-6, 8, 8)])
def test_npy_header_that_lies_about_the_size(
    tmp_path: Path, shape: tuple[int, ...], refusal: Refusal
) -> None:
    (tmp_path / "X.npy").write_bytes(npy_bytes(shape, 6 * 64))
    np.save(tmp_path / "y.npy", LABELS)
    assert "the header of" in refusal(tmp_path)
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("X.npy", npy_bytes(shape, 6 * 64))
        archive.write(tmp_path / "y.npy", "y.npy")
    assert "the header of" in refusal(tmp_path / "d.npz")


def test_npy_objects_are_refused(tmp_path: Path, refusal: Refusal) -> None:
    np.save(tmp_path / "X.npy", rgb_batch())
    np.save(tmp_path / "y.npy", np.array(["a", None] * 3, dtype=object), allow_pickle=True)
    assert "Python objects" in refusal(tmp_path)
    np.savez(tmp_path / "d.npz", X=rgb_batch(), y=np.array(["a", 1] * 3, dtype=object))
    assert "Python objects" in refusal(tmp_path / "d.npz")
    assert "y.astype(str)" in refusal(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("labels", "remedy"),
    [
        (np.eye(2)[[0, 1] * 3], "y.argmax(axis=1)"),
        (np.array(["2024-01-01", "2024-01-02"] * 3, "M8[D]"), "y.astype(str)"),
    ],
)
def test_labels_that_are_no_classes_come_with_a_remedy(
    tmp_path: Path, labels: np.ndarray, remedy: str, refusal: Refusal
) -> None:
    np.savez(tmp_path / "d.npz", X=rgb_batch(), y=labels)
    assert remedy in refusal(tmp_path / "d.npz")


def test_npz_bomb(tmp_path: Path, refusal: Refusal) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", npy_bytes((70_000, 32, 32), 70_000 * 1024))
    assert (tmp_path / "d.npz").stat().st_size < 100_000
    assert "expands from" in refusal(tmp_path / "d.npz")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 not really", b"hello"])
def test_npz_that_is_none(tmp_path: Path, content: bytes, refusal: Refusal) -> None:
    (tmp_path / "d.npz").write_bytes(content)
    assert "cannot read" in refusal(tmp_path / "d.npz")


def test_npz_without_labels(tmp_path: Path, refusal: Refusal) -> None:
    np.savez(tmp_path / "d.npz", X=rgb_batch(), other=LABELS)
    assert "its arrays are x, other" in refusal(tmp_path / "d.npz")


# --- IDX ---


def idx_bytes(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_idx(tmp_path: Path, compressed: bool) -> None:
    grey, labels = rgb_batch()[:, 0], np.array([3, 7, 3, 7, 7, 3], np.uint8)
    for part, rows in (("train", slice(0, 4)), ("t10k", slice(4, 6))):
        for name, array in (
            (f"{part}-images-idx3-ubyte", grey),
            (f"{part}-labels-idx1-ubyte", labels),
        ):
            content = idx_bytes(array[rows])
            path = tmp_path / (name + ".gz" * compressed)
            path.write_bytes(gzip.compress(content) if compressed else content)
    source = open_source(tmp_path)
    assert [item.split for item in source.listing.items] == ["test"] * 2 + ["train"] * 4
    by_split = [item for item in source.listing.items if item.split == "test"]
    assert [item.label for item in by_split] == ["7", "3"]
    for item, image in zip(by_split, grey[4:], strict=True):
        np.testing.assert_array_equal(source.read(item).array, np.stack([image] * 3))
    single = open_source(tmp_path / ("train-images-idx3-ubyte" + ".gz" * compressed))
    assert len(single.listing.items) == 4 and single.listing.items[0].split is None


@pytest.mark.parametrize("change", [b"\0\0\x0d\3", b"\0\0\x08\2", b""])
def test_idx_of_another_type(tmp_path: Path, change: bytes, refusal: Refusal) -> None:
    images = tmp_path / "train-images-idx3-ubyte"
    images.write_bytes(change + idx_bytes(rgb_batch()[:, 0])[4:] if change else b"")
    assert "no IDX file" in refusal(images)


def test_idx_header_that_lies(tmp_path: Path, refusal: Refusal) -> None:
    images = tmp_path / "train-images-idx3-ubyte"
    whole = idx_bytes(rgb_batch()[:, 0])
    for content, said in ((whole[:-1], "there are 719"), (whole + b"x", "there are more")):
        images.write_bytes(content)
        assert said in refusal(images)
    images.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**15, 2**15))
    assert "expands from" in refusal(images)


def test_idx_bomb(tmp_path: Path, refusal: Refusal) -> None:
    images = tmp_path / "train-images-idx3-ubyte.gz"
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 70_000, 32, 32)
    images.write_bytes(gzip.compress(header + bytes(70_000 * 1024)))
    assert "expands from" in refusal(images)
    images.write_bytes(gzip.compress(idx_bytes(rgb_batch()[:, 0]))[:-20])
    assert "cannot read" in refusal(images)
