"""A new format, a new kind of arrays and a new layout are one registration each."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts import ArraySource, open_source
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.readers import reader as readers
from striate.data.readers.content import head_of, read_content
from striate.data.readers.reader import (
    ARRAYS,
    READERS,
    ArrayKind,
    FileReader,
    FileSource,
    kind_of_files,
    reader_of,
    stored_item,
    suffixes_of,
)
from striate.data.readers.volume import read_npz_volume
from striate.data.sandbox import read_all
from striate.data.source import Item, Listing, MemorySource, Reading, UnreadableItem, load_formats
from striate.data.unlabelled import open_inputs
from striate.errors import DataError, UnknownNameError

MAGIC = b"CLOUD"


def read_cloud(data: Path | bytes, size: int | None = None) -> Reading:
    """Points in a file: a head, then (points, 3) float32."""
    content = read_content(data, 2**20)
    if not content.startswith(MAGIC):
        raise UnreadableItem("no cloud")
    points = np.frombuffer(content[len(MAGIC) :], "<f4").reshape(-1, 3)
    return Reading(array=points.T.copy(), sha256="0", spacing=(0.5,))


def cloud_bytes(count: int = 4) -> bytes:
    return MAGIC + np.arange(3 * count, dtype="<f4").tobytes()


@pytest.fixture(params=[False, True])
def clouds(request, monkeypatch):
    """A kind that no file of Striate's names: clouds of points."""
    load_formats()
    for registry in (READERS, ARRAYS, LAYOUTS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    READERS.add(
        "cloud",
        FileReader(
            "cloud",
            (".xyz",),
            read_cloud,
            lambda data: head_of(data, len(MAGIC)) == MAGIC,
            sized=request.param,
            isolated=request.param,
        ),
    )

    def of_arrays(arrays, extras, name):
        def read(index):
            points, sha256 = stored_item(arrays, index)
            return Reading(array=points.T, sha256=sha256)

        return read

    claims = lambda shape, dtype: len(shape) == 3 and shape[2] == 3  # noqa: E731
    ARRAYS.add("cloud", ArrayKind(claims, lambda shape, channels: len(shape) == 2, of_arrays))


def test_folders_and_manifests_hold_the_new_kind(tmp_path, clouds):
    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "data" / label / f"{number}.XYZ").write_bytes(cloud_bytes(number + 1))
    (tmp_path / "m.csv").write_text("path,label\ndata/a/0.XYZ,a\ndata/b/1.XYZ,b\n")
    for data, count in ((tmp_path / "data", 4), (tmp_path / "m.csv", 2)):
        source = open_source(data)
        assert source.kind == "cloud" and len(source.listing.items) == count
        read = dict(read_all(source, source.listing.items, 32, 2))
        assert {r.array.shape[0] for r in read.values()} == {3}
        assert {r.spacing for r in read.values()} == {(0.5,)}


def test_the_new_kind_is_predicted_from_everything(tmp_path, clouds):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.xyz").write_bytes(cloud_bytes())
    Image.new("L", (8, 8)).save(tmp_path / "deep" / "b.png")
    np.save(tmp_path / "c.npy", np.zeros((2, 5, 3)))
    inputs = [tmp_path / "deep", cloud_bytes(7), tmp_path / "c.npy", np.zeros((6, 3))]
    source = open_inputs(inputs, "cloud")
    shapes = [source.read(item).array.shape for item in source.listing.items]
    assert shapes == [(3, 4), (3, 7), (3, 5), (3, 5), (3, 6)]
    assert [note.message for note in source.listing.notes] == [
        "files that are no clouds were left alone: 1 .png"
    ]
    with pytest.raises(UnreadableItem, match="an image among clouds"):
        reader_of(tmp_path / "deep" / "b.png", "cloud")


def test_arrays_hold_the_new_kind(tmp_path, clouds):
    np.savez(tmp_path / "d.npz", X=np.zeros((4, 7, 3)), y=[0, 1, 0, 1])
    source = open_source(tmp_path / "d.npz")
    assert source.kind == "cloud" and source.read(source.listing.items[3]).array.shape == (3, 7)


def test_a_new_layout_is_asked_before_folders(tmp_path, clouds):
    made = MemorySource("cloud", "made", Listing(items=(Item(id="0"),)), lambda item: None)
    matches = lambda data: (Path(data) / "clouds.toml").is_file()  # noqa: E731
    LAYOUTS.add("clouds", Layout("a folder with clouds.toml", matches, lambda data: made))
    (tmp_path / "clouds.toml").touch()
    assert open_source(tmp_path) is made


def test_kinds_that_nothing_reads():
    with pytest.raises(UnknownNameError, match="kind of array 'cloud'"):
        ArraySource(np.zeros((2, 3, 3)), kind="cloud")
    with pytest.raises(DataError, match="a cloud is not a file of its own"):
        FileSource("cloud", "x", Listing(items=()), {})
    assert suffixes_of("cloud") == frozenset()


def test_of_as_many_files_of_two_kinds_the_first_by_name_is_meant(tmp_path):
    assert kind_of_files([tmp_path / "a.wav", tmp_path / "b.png"]) == "image"
    assert kind_of_files([tmp_path / "a.nii", tmp_path / "b.wav"]) == "signal"


def test_a_name_with_one_reader_is_not_opened_to_be_sure(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "stat", None)
    monkeypatch.setattr(readers, "is_folder", lambda path: False)
    assert reader_of(tmp_path / "a.png", "image").kind == "image"


def test_files_without_a_known_suffix_are_told_by_their_content(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a", "PNG")
    (tmp_path / "b.txt").write_text("hello")
    assert reader_of(tmp_path / "a", "image").kind == "image"
    with pytest.raises(UnreadableItem, match="not an image"):
        reader_of(tmp_path / "b.txt", "image").read(tmp_path / "b.txt")
    with pytest.raises(UnreadableItem, match="an image among signals"):
        reader_of(tmp_path / "a", "signal")
    with pytest.raises(UnreadableItem, match=r"files named \*\.txt are not read"):
        reader_of(tmp_path / "b.txt", "signal")


def test_a_reason_is_one_line_whatever_names_a_file_holds(tmp_path):
    path = tmp_path / "volumes.npz"
    np.savez(path, **{"a\r\nb": np.zeros((4, 4, 4)), "c": np.zeros((4, 4, 4))})
    with pytest.raises(UnreadableItem) as raised:
        read_npz_volume(path.read_bytes())
    assert "a\\r\\nb" in raised.value.reason
    assert raised.value.reason.isprintable()
