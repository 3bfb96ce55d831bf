"""Shards: what is packed comes back, whatever its kind, and a fit on them gives the same model."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from striate.data.layouts import open_source
from striate.data.layouts.shards import pack
from striate.data.layouts.shards.index import Index
from striate.data.source import Item, Listing, MemorySource, Reading, Skip, UnreadableItem
from striate.errors import DataError, OptionError


def test_items_come_back_as_they_are(data, packed, readings, assert_same):
    source, shards = open_source(data), open_source(packed.folder)
    there = tuple(item for item in source.listing.items if item.id != "07.png")
    assert shards.listing.items == there
    assert shards.listing.skipped == (Skip(id="07.png", reason="file not found"),)
    assert shards.listing.notes == source.listing.notes
    assert shards.kind == "image" and len(packed.index.shards) > 2
    assert packed.num_items == len(there) == 23
    ours = readings(source)
    assert "file not found" in ours.pop("07.png")
    assert ours["05.png"] == "not an image"
    assert_same(ours, readings(shards))
    decoding = shards.isolated(there[0], 8)
    assert decoding.size == 8 and decoding.content == (data.parent / "00.bmp").read_bytes()
    assert not list(shards.damage())


def test_shards_are_what_webdataset_reads(data, packed):
    """By Python's tarfile: a sample is two members of one name, and their order is the items'."""
    index = json.loads((packed.folder / "index.json").read_text())
    assert index["wids_version"] == 1
    ids = []
    for entry in index["shardlist"]:
        with tarfile.open(packed.folder / entry["url"]) as tar:
            members = tar.getmembers()
            samples = list(zip(members[::2], members[1::2], strict=True))
            assert len(samples) == entry["nsamples"]
            for facts, content in samples:
                key, suffix = content.name.split(".")
                assert facts.name == f"{key}.json" and suffix in ("png", "bmp")
                told = json.loads(tar.extractfile(facts).read())
                file = data.parent / told["id"]
                assert tar.extractfile(content).read() == file.read_bytes()
                ids.append(told["id"])
                assert told["label"] == ("cat" if int(file.stem) % 3 else "dog")
                assert set(told) == {"id", "label", "split", "group"}
    assert ids == [item.id for item in open_source(packed.folder).listing.items]


def test_webdatasets_own_reader(data, packed):
    webdataset = pytest.importorskip("webdataset")
    urls = [str(packed.folder / shard.name) for shard in packed.index.shards]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [json.loads(s["json"])["id"] for s in samples] == [
        item.id for item in open_source(packed.folder).listing.items
    ]


def test_the_same_data_give_the_same_bytes(data, packed, tmp_path):
    again = pack(open_source(data), tmp_path / "again", shard_bytes=9_000)
    names = sorted(path.name for path in packed.folder.iterdir())
    assert names == sorted(path.name for path in again.folder.iterdir())
    for name in names:
        assert (packed.folder / name).read_bytes() == (again.folder / name).read_bytes()
    repacked = pack(open_source(packed.folder), tmp_path / "repacked", shard_bytes=9_000)
    assert [s.sha256 for s in repacked.index.shards] == [s.sha256 for s in packed.index.shards]


def graph(number):
    rng = np.random.default_rng(number)
    return Reading(
        array=rng.normal(size=(3, 5)).astype(np.float32),
        sha256=f"{number:064}",
        edges=rng.integers(0, 5, (2, 7)),
        edge_features=rng.normal(size=(2, 7)).astype(np.float32),
        edge_names=("bond", "ring"),
    )


def volume(number):
    array = np.arange(24, dtype=np.uint16).reshape(1, 2, 3, 4).transpose(0, 3, 1, 2) + number
    return Reading(array=array, sha256=f"{number:064}", spacing=(1.0, 0.5, 0.25))


@pytest.mark.parametrize(("kind", "make"), [("graph", graph), ("volume", volume)])
def test_items_without_files_keep_their_arrays(kind, make, tmp_path, readings, assert_same):
    items = tuple(Item(id=str(n), target=n / 2, extra={"site": "a"}) for n in range(5))

    def read(item):
        if item.id == "3":
            raise UnreadableItem("NaN at 0")
        return make(int(item.id))

    source = MemorySource(kind, "made", Listing(items=items), read, nouns=("thing", "things"))
    source.conventions = {"axes": "CDHW", "scales": [1.0, 2.0]}
    pack(source, tmp_path / "shards")
    back = open_source(tmp_path / "shards")
    assert back.listing.items == items[:3] + items[4:]
    assert back.listing.skipped == (Skip(id="3", reason="NaN at 0"),)
    assert back.nouns == source.nouns and back.conventions == source.conventions
    assert_same({n: make(int(n)) for n in "0124"}, readings(back))


def test_nodes_are_not_packed(tmp_path):
    whole = graph(0)
    source = MemorySource(
        "node",
        "cora",
        Listing(items=(Item(id="0", label="a"),)),
        lambda item: Reading(array=whole.array[:, :1], sha256="", graph=whole, node=0),
    )
    with pytest.raises(DataError, match="cora cannot be packed: its items are nodes of one graph"):
        pack(source, tmp_path / "shards")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_refused(packed, data, tmp_path):
    with pytest.raises(OptionError, match="there are shards already"):
        pack(open_source(data), packed.folder)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OptionError, match="files that are no shards, as mine"):
        pack(open_source(data), tmp_path)


def test_what_was_not_finished_is_no_data_and_is_packed_again(data, packed, tmp_path, monkeypatch):
    out = tmp_path / "shards"
    with monkeypatch.context() as patch:
        patch.setattr(Index, "content", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pack(open_source(data), out, shard_bytes=3_000)
    with pytest.raises(DataError):
        open_source(out)
    pack(open_source(data), out, shard_bytes=9_000)
    names = {path.name for path in packed.folder.iterdir()}
    assert {path.name for path in out.iterdir()} == names


def test_a_fit_on_shards_gives_the_same_model(photos, tmp_path):
    """By method probe, from class folders: the same splits, predictions and weights, bit for bit."""
    import striate

    options = {"method": "probe", "image_size": 64, "device": "cpu"}
    pack(open_source(photos), tmp_path / "shards", shard_bytes=100_000)
    first = striate.fit(photos, out=tmp_path / "folder", **options)
    second = striate.fit(tmp_path / "shards", out=tmp_path / "run", **options)
    for name in ("model.safetensors", "predictions.csv", "novelty.safetensors"):
        ours, theirs = ((run.folder.path / name).read_bytes() for run in (first, second))
        assert ours == theirs, name
    lock = [run.folder.read_json("data.lock.json")["items"] for run in (first, second)]
    assert lock[0] == lock[1]
    found = second.predict(tmp_path / "shards")
    wanted = second.predict(photos)
    assert len(found) == 60
    ours = {p.item.partition("[")[2].rstrip("]"): p.probabilities for p in found}
    for prediction in wanted:
        name = str(Path(prediction.item).relative_to(photos))
        np.testing.assert_array_equal(ours[name], prediction.probabilities)
