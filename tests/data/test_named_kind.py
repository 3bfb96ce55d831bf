"""The kind of the items, where the user names it and where the data decide."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.data.layouts import ArraySource, open_source
from striate.errors import DataError, OptionError, UnknownNameError
from striate.fitting.check import check


def saved(root: Path, shape: tuple[int, ...], count: int = 2) -> Path:
    """Class folders a and b of arrays of one shape."""
    generator = np.random.default_rng(0)
    for label in "ab":
        (root / label).mkdir(parents=True)
        for number in range(count):
            np.save(root / label / f"{number}.npy", generator.random(shape, dtype=np.float32))
    return root


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((480, 640), "image"),
        ((64, 64, 5), "image"),
        ((12, 64, 64), "image"),
        ((3, 500), "signal"),
        ((100, 300), "signal"),
        ((40, 64, 64), "volume"),
    ],
)
def test_the_shape_decides_where_no_kind_is_named(tmp_path, shape, kind):
    assert open_source(saved(tmp_path / "d", shape)).kind == kind


@pytest.mark.parametrize(
    ("shape", "kind", "read"),
    [
        ((480, 640), "signal", (480, 640)),
        ((100, 300), "image", (1, 100, 300)),
        ((12, 64, 64), "volume", (1, 12, 64, 64)),
        ((40, 64, 60), "volume", (1, 40, 64, 60)),
        ((20, 64, 64), "image", (20, 64, 64)),
    ],
)
def test_files_are_read_as_the_kind_that_is_named(tmp_path, shape, kind, read):
    root = saved(tmp_path / "d", shape)
    table = tmp_path / "m.csv"
    table.write_text("path,label\n" + "".join(f"d/{c}/{n}.npy,{c}\n" for c in "ab" for n in (0, 1)))
    for data in (root, table):
        source = open_source(data, kind)
        assert source.kind == kind
        assert source.read(source.listing.items[0]).array.shape == read


@pytest.mark.parametrize(("shape", "kind"), [((10, 12), "signal"), ((4, 40, 40), "volume")])
def test_arrays_are_read_as_the_kind_that_is_named(tmp_path, shape, kind):
    X, y = np.zeros((4, *shape), np.float32), np.arange(4) % 2
    np.savez(tmp_path / "d.npz", X=X, y=y, kind=np.array("image"))
    (tmp_path / "pair").mkdir()
    np.save(tmp_path / "pair" / "X.npy", X)
    np.save(tmp_path / "pair" / "y.npy", y)
    for data in (tmp_path / "d.npz", tmp_path / "pair"):
        assert open_source(data).kind == "image"
        assert open_source(data, kind).kind == kind


def test_of_folders_with_several_kinds_the_named_one_is_read(tmp_path):
    root = saved(tmp_path / "d", (3, 500), count=3)
    for label in "ab":
        Image.new("RGB", (9, 9)).save(root / label / "photo.png")
    assert len(open_source(root).listing.items) == 6
    source = open_source(root, "image")
    items = source.listing.items
    assert [item.id for item in items if item.id.endswith("png")] == ["a/photo.png", "b/photo.png"]
    assert source.read(items[-1]).array.shape == (3, 9, 9)


def test_a_kind_that_the_data_do_not_hold_is_refused(tmp_path):
    with pytest.raises(DataError, match="sample:gun-point holds signals: images are wanted"):
        open_source("sample:gun-point", "image")
    with pytest.raises(DataError, match=r"no graphs in .* that are no graphs .* 4 \.npy"):
        open_source(saved(tmp_path / "d", (3, 9)), "graph")


def test_fit_and_check_take_the_kind(tmp_path):
    root = saved(tmp_path / "d", (48, 72), count=8)
    assert check(root, kind="signal").dataset.kind == "signal"
    assert check(root).dataset.kind == "image"
    with pytest.raises(UnknownNameError, match="did you mean 'image'"):
        striate.fit(root, kind="images")
    with pytest.raises(UnknownNameError, match="did you mean 'image'"):
        check(root, kind="images")
    source = ArraySource(np.zeros((4, 30), np.float32), [0, 1, 0, 1], kind="signal")
    with pytest.raises(OptionError, match="the items are signals"):
        striate.fit(source, kind="image")
