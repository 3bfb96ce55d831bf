"""Every kind of data: what is read, and what is refused."""

import gzip
import io
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts import LAYOUTS, ArraySource, open_source
from striate.data.readers.image import decode_image
from striate.data.samples.sample import SAMPLES
from striate.data.source import UnreadableItem, load_formats
from striate.data.unlabelled import open_inputs
from striate.errors import DataError, MissingExtraError, UnknownNameError
from striate.tasks.task import task_of

SEED = 20


def image_file(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), level).save(path)
    return path


def refusal(data: Path) -> str:
    with pytest.raises(DataError) as caught:
        source = open_source(data)
        task_of(source.listing.items).check_learnable(source.listing.items, source.name)
    assert str(data) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_every_format_says_how_it_lies_on_the_disk() -> None:
    load_formats()
    assert {"folder", "manifest", "npz", "npy", "idx", "sample"} <= set(LAYOUTS.names())
    assert all(layout.description for _, layout in LAYOUTS.items())


# --- folders ---


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "val", "test"), {"train", "val", "test"}),
        (("Training", "validation", "testing"), {"train", "val", "test"}),
        (("train", "valid"), {"train", "val"}),
    ],
)
def test_folder_with_parts(tmp_path: Path, names: tuple[str, ...], splits: set[str]) -> None:
    for part in names:
        for label in ("cat", "dog"):
            image_file(tmp_path / part / label / "deeper" / "1.png")
    items = open_source(tmp_path).listing.items
    assert {item.split for item in items} == splits
    assert {item.label for item in items} == {"cat", "dog"}
    assert items[0].id == f"{min(names)}/cat/deeper/1.png"


def test_folder_named_like_a_part_beside_classes_is_a_class(tmp_path: Path) -> None:
    for label in ("test", "cat", "dog"):
        image_file(tmp_path / label / "1.png")
    items = open_source(tmp_path).listing.items
    assert {item.label for item in items} == {"test", "cat", "dog"}
    assert {item.split for item in items} == {None}


def test_folder_beside_the_parts_is_left_out_and_said(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            image_file(tmp_path / part / label / "1.png")
    image_file(tmp_path / "extra" / "bird" / "1.png")
    image_file(tmp_path / "test" / "unsorted.png")
    listing = open_source(tmp_path).listing
    assert len(listing.items) == 4
    (note,) = listing.notes
    assert note.code == "no-class-folder"
    assert note.ids == ("extra/bird/1.png", "test/unsorted.png")


def test_folder_with_test_items_only_has_nothing_to_train_on(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        image_file(tmp_path / "test" / label / "1.png")
    assert "no training items" in refusal(tmp_path)


# --- manifests ---


def write_images(folder: Path, count: int = 4) -> list[str]:
    return [
        image_file(folder / "im" / f"{n}.png", 9 * n).relative_to(folder).as_posix()
        for n in range(count)
    ]


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_manifest_csv(tmp_path: Path, delimiter: str, encoding: str, newline: str) -> None:
    paths = write_images(tmp_path)
    rows = [["Path", " label", "note", "split", "group"]]
    rows += [
        [paths[0], "chât", "x", "train", "p1"],
        [paths[1], "dog", "", "Train", "p2"],
        [paths[2], "chât", "", "testing", ""],
        [f'"{paths[3]}"', "dog", f'"a{delimiter}b"', "test", "p3"],
    ]
    text = newline.join(delimiter.join(row) for row in rows) + newline
    (tmp_path / "m.csv").write_bytes(text.encode(encoding))
    source = open_source(tmp_path / "m.csv")
    found = [(i.id, i.label, i.split, i.group) for i in source.listing.items]
    assert found == [
        ("im/0.png", "chât", "train", "p1"),
        ("im/1.png", "dog", "train", "p2"),
        ("im/2.png", "chât", "test", None),
        ("im/3.png", "dog", "test", "p3"),
    ]
    assert [int(source.read(item).array.max()) for item in source.listing.items] == [0, 9, 18, 27]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\na.png,cat\nb.png\nc.png,cat,9\n", "line 3 has 1, line 4 has 3"),
        ("path,label\na.png,cat\n,dog\n", "line 3 has no path"),
        ("path,label\na.png,\nb.png, \n", "line 3 has no label"),
        ("path,label,split\na.png,cat,trian\n", "line 2 has the split 'trian'"),
        ("paths,label\na.png,cat\n", "no column path"),
        ("path,lable\na.png,cat\n", "is it lable?"),
        ("path,label,label\na.png,cat,cat\n", "two columns label"),
        ("", "no column path and none label"),
        ("path,label\n", "lists no items"),
        ('path,label\n"a.png,cat\n', "line 2"),
    ],
)
def test_manifest_that_makes_no_sense(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    assert said in refusal(tmp_path / "m.csv")


def test_a_manifest_of_one_class_is_for_good_items_alone(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label\na.png,cat\nb.png,cat\n")
    items = open_source(tmp_path / "m.csv").listing.items
    assert task_of(items).name == "anomaly"
    with pytest.raises(DataError, match="has 1 class"):
        task_of(items, "probe").check_learnable(items, "m.csv")


def test_manifest_keeps_further_columns(tmp_path: Path) -> None:
    paths = write_images(tmp_path)
    rows = [
        "path,label,Site, note ,",
        *(f"{p},{'ab'[n % 2]},S{n}, x ," for n, p in enumerate(paths)),
    ]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    items = open_source(tmp_path / "m.csv").listing.items
    assert [item.extra for item in items] == [{"Site": f"S{n}", "note": "x"} for n in range(4)]
    assert [item.label for item in items] == list("abab")
    assert len({hash(item) for item in items}) == 4


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        ("path,labels", ["cat;dog", "", "dog", "cat"]),
        ("path,split,Cat,Dog", ["train,1,1", "train,0,0", "test,0,1", ",1,0"]),
        ("path,table,chair", ["1,0", "0,1", "1,1", "0,0"]),
    ],
)
def test_manifest_whose_answers_are_in_further_columns(
    tmp_path: Path, header: str, fields: list[str]
) -> None:
    paths = write_images(tmp_path)
    rows = [f"{p},{f}" for p, f in zip(paths, fields, strict=True)]
    (tmp_path / "m.csv").write_text("\n".join([header, *rows, rows[0]]))
    source = open_source(tmp_path / "m.csv")
    names = [n for n in header.split(",") if n not in ("path", "split")]
    assert len(source.listing.items) == 4
    for item, text in zip(source.listing.items, fields, strict=True):
        assert (item.label, item.target) == (None, None)
        assert item.extra == dict(zip(names, text.split(",")[-len(names) :], strict=True))
    assert [note.code for note in source.listing.notes] == ["repeated-row"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,lable,site\na.png,cat,1\n", "is it lable?"),
        ("path,taget\na.png,1\n", "no column label"),
        ("path,split,group\na.png,train,p\n", "no column label"),
        ("path,label,note,note\na.png,cat,x,y\n", "two columns note"),
    ],
)
def test_manifest_with_misspelt_columns(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    assert said in refusal(tmp_path / "m.csv")


def test_manifest_parquet_keeps_the_columns_that_are_text(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "path": write_images(tmp_path, 2),
        "labels": [["cat", "dog"], []],
        "sure": [True, None],
        "embedding": [[0.5, 1.5], [2.5, 3.5]],
        "thumbnail": [b"x", b"y"],
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    items = open_source(tmp_path / "m.parquet").listing.items
    assert [item.extra for item in items] == [
        {"labels": "cat;dog", "sure": "True"},
        {"labels": "", "sure": ""},
    ]


def test_manifest_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes("path,label\na.png,cat\nb.png,chât\n".encode("latin-1"))
    assert "line 3 is not UTF-8" in refusal(tmp_path / "m.csv")


def test_manifest_with_repeated_rows(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label\na.png,cat\nb.png,dog\na.png,cat\nb.png,cat\n")
    listing = open_source(tmp_path / "m.csv").listing
    # A repeated line counts once; one image with two labels stays two items, to be warned of.
    assert [(i.id, i.label) for i in listing.items] == [
        ("a.png", "cat"),
        ("b.png", "dog"),
        ("b.png (2)", "cat"),
    ]
    assert [note.code for note in listing.notes] == ["repeated-row"]


def test_manifest_file_missing_is_a_skip(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label\na.png,cat\nb.png,dog\n")
    source = open_source(tmp_path / "m.csv")
    with pytest.raises(UnreadableItem, match="file not found"):
        source.read(source.listing.items[0])


def test_manifest_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = write_images(tmp_path)
    table = {"path": paths, "label": [0, 1, 0, 1], "split": ["train", None, "train", None]}
    pq.write_table(pa.table(table), tmp_path / "m.parquet")
    rows = [f"{p},{n},{s or ''}" for p, n, s in zip(*table.values(), strict=True)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,split", *rows]))
    ours, csv = open_source(tmp_path / "m.parquet"), open_source(tmp_path / "m.csv")
    assert ours.listing == csv.listing
    pq.write_table(
        pa.table({"path": paths, "label": ["a", None, "b", "b"]}), tmp_path / "n.parquet"
    )
    labels = [item.label for item in open_source(tmp_path / "n.parquet").listing.items]
    assert labels == ["a", None, "b", "b"]
    (tmp_path / "o.parquet").write_bytes(b"PAR1 and nothing else")
    assert "cannot read" in refusal(tmp_path / "o.parquet")


def test_manifest_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"striate\[parquet\]"):
        open_source(tmp_path / "m.parquet")


# --- arrays ---


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


def test_npy_pair(tmp_path: Path) -> None:
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
def test_npy_header_that_lies_about_the_size(tmp_path: Path, shape: tuple[int, ...]) -> None:
    (tmp_path / "X.npy").write_bytes(npy_bytes(shape, 6 * 64))
    np.save(tmp_path / "y.npy", LABELS)
    assert "the header of" in refusal(tmp_path)
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("X.npy", npy_bytes(shape, 6 * 64))
        archive.write(tmp_path / "y.npy", "y.npy")
    assert "the header of" in refusal(tmp_path / "d.npz")


def test_npy_objects_are_refused(tmp_path: Path) -> None:
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
    tmp_path: Path, labels: np.ndarray, remedy: str
) -> None:
    np.savez(tmp_path / "d.npz", X=rgb_batch(), y=labels)
    assert remedy in refusal(tmp_path / "d.npz")


def test_npz_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", npy_bytes((70_000, 32, 32), 70_000 * 1024))
    assert (tmp_path / "d.npz").stat().st_size < 100_000
    assert "expands from" in refusal(tmp_path / "d.npz")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 not really", b"hello"])
def test_npz_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "d.npz").write_bytes(content)
    assert "cannot read" in refusal(tmp_path / "d.npz")


def test_npz_without_labels(tmp_path: Path) -> None:
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
def test_idx_of_another_type(tmp_path: Path, change: bytes) -> None:
    images = tmp_path / "train-images-idx3-ubyte"
    images.write_bytes(change + idx_bytes(rgb_batch()[:, 0])[4:] if change else b"")
    assert "no IDX file" in refusal(images)


def test_idx_header_that_lies(tmp_path: Path) -> None:
    images = tmp_path / "train-images-idx3-ubyte"
    whole = idx_bytes(rgb_batch()[:, 0])
    for content, said in ((whole[:-1], "there are 719"), (whole + b"x", "there are more")):
        images.write_bytes(content)
        assert said in refusal(images)
    images.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**15, 2**15))
    assert "expands from" in refusal(images)


def test_idx_bomb(tmp_path: Path) -> None:
    images = tmp_path / "train-images-idx3-ubyte.gz"
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 70_000, 32, 32)
    images.write_bytes(gzip.compress(header + bytes(70_000 * 1024)))
    assert "expands from" in refusal(images)
    images.write_bytes(gzip.compress(idx_bytes(rgb_batch()[:, 0]))[:-20])
    assert "cannot read" in refusal(images)


# --- samples ---


def test_sample_solar_cells() -> None:
    source = open_source("sample:solar-cells")
    sample = SAMPLES.get("solar-cells")
    items = source.listing.items
    assert len(items) == sample.num_items == 2624 and source.kind == sample.kind
    # Deitsch et al. 2019: 1,508 + 295 cells below a probability of 0.5, 106 + 715 above.
    counts = {
        name: sum(item.label == name for item in items) for name in ("functional", "defective")
    }
    assert counts == {"functional": 1803, "defective": 821}
    path = source.path(items[0])
    assert path is not None
    probabilities = np.loadtxt(path.parents[1] / "labels.csv", usecols=1)
    assert [item.label == "defective" for item in items] == (probabilities >= 0.5).tolist()
    reading = source.read(items[7])
    np.testing.assert_array_equal(
        reading.array, np.stack([np.asarray(Image.open(source.path(items[7])))] * 3)
    )


def test_sample_that_is_none() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'solar-cells'"):
        open_source("sample:solar-cell")


def test_sample_whose_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"striate\[demo\]"):
        open_source("sample:solar-cells")


# --- things to predict ---


def test_inputs_of_every_kind_in_their_order(tmp_path: Path) -> None:
    image_file(tmp_path / "f" / "deep" / "b.png", 20)
    image_file(tmp_path / "f" / "a.png", 10)
    single = image_file(tmp_path / "s.png", 30)
    np.save(tmp_path / "n.npy", np.full((2, 8, 8), 40, np.uint8))
    array = np.full((8, 8, 3), 50, np.uint8)
    source = open_inputs([single, str(tmp_path / "f"), tmp_path / "n.npy", array, array[None]])
    items = source.listing.items
    assert [int(source.read(item).array.max()) for item in items] == [30, 10, 20, 40, 40, 50, 50]
    assert all(source.read(item).array.shape == (3, 8, 8) for item in items)
    assert all(item.label is None and item.split is None for item in items)
    assert [item.id for item in items][1:3] == [f"{tmp_path}/f/a.png", f"{tmp_path}/f/deep/b.png"]
    assert [source.path(item) is None for item in items] == [False] * 3 + [True] * 4


def test_inputs_named_twice_stay_two_items(tmp_path: Path) -> None:
    path = image_file(tmp_path / "a.png")
    items = open_inputs([path, path]).listing.items
    assert [item.id for item in items] == [str(path), f"{path} (2)"]


def test_inputs_that_are_not_there(tmp_path: Path) -> None:
    image_file(tmp_path / "photo.png")
    with pytest.raises(DataError, match=r"did you mean .*photo\.png"):
        open_inputs([tmp_path / "foto.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing to predict"):
        open_inputs([tmp_path / "empty"])


def test_reading_changes_no_file(tmp_path: Path) -> None:
    path = image_file(tmp_path / "a.png", 3)
    before = path.read_bytes(), path.stat().st_mtime_ns
    decode_image(path, size=4)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_bytes_and_path_give_the_same_reading(tmp_path: Path) -> None:
    path = image_file(tmp_path / "a.png", 3)
    one, other = decode_image(path), decode_image(path.read_bytes())
    np.testing.assert_array_equal(one.array, other.array)
    assert one.sha256 == other.sha256
    buffer = io.BytesIO(path.read_bytes())
    np.testing.assert_array_equal(one.array[0], np.asarray(Image.open(buffer)))


def test_manifest_whose_label_fields_hold_several_labels(tmp_path: Path) -> None:
    paths = write_images(tmp_path)
    fields = ["cat|dog", "cat", "dog", "bird"]
    rows = [f"{p},{f}" for p, f in zip(paths, fields, strict=True)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label", *rows]))
    items = open_source(tmp_path / "m.csv").listing.items
    assert [(item.label, item.extra) for item in items] == [(None, {"labels": f}) for f in fields]
    both = [f"{p},one,{f}" for p, f in zip(paths, ["cat", "", "dog", "dog"], strict=True)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,Labels", *both]))
    items = open_source(tmp_path / "m.csv").listing.items
    assert [item.extra["labels"] for item in items] == ["cat", "", "dog", "dog"]
    assert {item.label for item in items} == {None}
    (tmp_path / "m.csv").write_text(f"path,label\n{paths[0]},cat|dog\n{paths[1]},\n")
    assert "name the column labels" in refusal(tmp_path / "m.csv")
