"""Folders, samples and what is to be predicted: what is read, and what is refused."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts import LAYOUTS, open_source
from striate.data.readers.image import decode_image
from striate.data.samples.sample import SAMPLES
from striate.data.source import load_formats
from striate.data.unlabelled import open_inputs
from striate.errors import ArgumentError, DataError, MissingExtraError, UnknownNameError

Refusal = Callable[[Path], str]


def image_file(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), level).save(path)
    return path


def test_every_format_says_how_it_lies_on_the_disk() -> None:
    load_formats()
    assert {"folder", "manifest", "npz", "npy", "idx", "sample"} <= set(LAYOUTS.names())
    assert all(layout.description for _, layout in LAYOUTS.items())


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("photos.zip", "unpack it"),
        ("data.mat", "as the arrays X and y"),
        ("table.xlsx", "as CSV or Parquet"),
        ("list.txt", "name it .csv"),
        ("cat.png", "is one item: a fit learns from many"),
        ("notes.doc", "of no known kind: data is .*; or "),
    ],
)
def test_a_file_that_is_no_data_comes_with_a_remedy(tmp_path: Path, name: str, fix: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    with pytest.raises(DataError, match=fix):
        open_source(tmp_path / name)
    with pytest.raises(ArgumentError, match="empty name"):
        open_source("")


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


def test_folder_with_test_items_only_has_nothing_to_train_on(
    tmp_path: Path, refusal: Refusal
) -> None:
    for label in ("cat", "dog"):
        image_file(tmp_path / "test" / label / "1.png")
    assert "no training items" in refusal(tmp_path)


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
