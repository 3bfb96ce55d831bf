import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts import open_source
from striate.data.layouts.shards import pack
from striate.data.source import UnreadableItem

NUM_ITEMS = 24


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A manifest of small pictures with split and group; one is no picture, one is not there."""
    folder = tmp_path_factory.mktemp("pictures") / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = ["path,label,split,group"]
    for number in range(NUM_ITEMS):
        name = f"{number:02}.{'png' if number % 2 else 'bmp'}"
        pixels = rng.integers(0, 255, (12, 12, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
        split = ("train", "train", "val", "test")[number % 4]
        rows.append(f"{name},{'cat' if number % 3 else 'dog'},{split},g{number // 4}")
    (folder / "05.png").write_text("<html>")
    (folder / "07.png").unlink()
    (folder / "list.csv").write_text("\n".join(rows))
    return folder / "list.csv"


@pytest.fixture(scope="session")
def packed(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "shards"
    return pack(open_source(data), out, shard_bytes=9_000)


@pytest.fixture
def shards(packed, tmp_path):
    """A copy of the shards that may be damaged."""
    return Path(shutil.copytree(packed.folder, tmp_path / "shards"))


@pytest.fixture
def readings():
    """A function: what each item of a source is read as, in this process: a sandbox takes seconds."""

    def read(source):
        found = {}
        for item in source.listing.items:
            try:
                found[item.id] = source.read(item)
            except UnreadableItem as error:
                found[item.id] = error.reason
        return found

    return read


@pytest.fixture
def assert_same():
    """A function that makes sure that two sets of readings are equal bit for bit."""

    def compare(first, second):
        assert list(first) == list(second)
        for name, one in first.items():
            other = second[name]
            if isinstance(one, str):
                assert one == other
                continue
            assert one.sha256 == other.sha256 and one.spacing == other.spacing
            for field in ("array", "edges", "edge_features"):
                ours, theirs = getattr(one, field), getattr(other, field)
                assert (ours is None) == (theirs is None)
                if ours is not None:
                    assert ours.dtype == theirs.dtype
                    np.testing.assert_array_equal(ours, theirs)

    return compare
