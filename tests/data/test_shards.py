"""Shards: what is packed comes back, from a folder and from a server that fails, and damage is told."""

import json
import random
import shutil
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts import open_source
from striate.data.layouts.shards import pack, places
from striate.data.layouts.shards.index import Index
from striate.data.layouts.shards.places import Remote
from striate.data.layouts.shards.source import ShardSource
from striate.data.source import Item, Listing, MemorySource, Reading, Skip, UnreadableItem
from striate.errors import ArgumentError, DataError, DataWarning, MachineError, OptionError

NUM_ITEMS = 24


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def packed(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "shards"
    return pack(open_source(data), out, shard_bytes=9_000)


@pytest.fixture
def shards(packed, tmp_path):
    """A copy of the shards that may be damaged."""
    return Path(shutil.copytree(packed.folder, tmp_path / "shards"))


def readings(source):
    """What each item is read as, in this process: a sandbox would take seconds."""
    found = {}
    for item in source.listing.items:
        try:
            found[item.id] = source.read(item)
        except UnreadableItem as error:
            found[item.id] = error.reason
    return found


def assert_same(first, second):
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


def test_items_come_back_as_they_are(data, packed):
    source, shards = open_source(data), open_source(packed.folder)
    there = tuple(item for item in source.listing.items if item.id != "07.png")
    assert shards.listing.items == there
    assert shards.listing.skipped == (Skip(id="07.png", reason="file not found"),)
    assert shards.listing.notes == source.listing.notes
    assert shards.kind == "image" and len(packed.index.shards) > 2
    assert packed.num_items == NUM_ITEMS - 1
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
def test_items_without_files_keep_their_arrays(kind, make, tmp_path):
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


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_fault_64_one_flipped_bit_is_told_wherever_it_is(packed, tmp_path):
    """60 bits, in every file of the shards: in a line that names the file."""
    rng = random.Random(0)
    files = sorted(path for path in packed.folder.iterdir() if path.suffix in (".tar", ".json"))
    before = {path: path.read_bytes() for path in files}
    for number in range(60):
        path = files[number % len(files)]
        flip(path, rng.randrange(8 * len(before[path])))
        try:
            try:
                told = [note.message for note in open_source(packed.folder).damage()]
            except DataError as error:
                told = [str(error)]
            assert len(told) == 1 and path.name in told[0] and "damaged" in told[0], path
        finally:
            path.write_bytes(before[path])


def test_an_item_with_a_flipped_bit_is_not_read(shards):
    source = open_source(shards)
    item = source.listing.items[0]
    place = source._places[item.id]
    shard = source.index.shards[place.shard]
    flip(shards / shard.name, 8 * (place.offset + place.size - 1))
    reason = f"{shards / shard.name} is damaged: the SHA-256 of this item is another"
    assert readings(source)[item.id] == reason
    with pytest.raises(UnreadableItem, match="is damaged"):
        source.isolated(item)
    (shards / shard.name).write_bytes(b"")
    assert readings(source)[item.id] == reason


def test_a_shard_that_is_gone_or_longer(shards):
    first, second = sorted(shards.glob("*.tar"))[:2]
    with first.open("ab") as file:
        file.write(b"more")
    assert [first.name in note.message for note in open_source(shards).damage()] == [True]
    second.unlink()
    item = open_source(shards).listing.items[-1]
    (shards / "shard-000000.json").unlink()
    with pytest.raises(DataError, match=r"cannot read .*shard-000000.json: file not found"):
        open_source(shards)
    assert item.id == "23.png"


class Server:
    """A loopback server of a folder that takes ranges, late, and fails now and then.

    Attributes:
        requests: The paths asked for, with their ranges.
        failing: Says of a request whether it fails.
        delay: Seconds before each answer.
        damaged: Bits that are another in what is sent, by the name of the file.
    """

    def __init__(self, folder):
        self.requests, self.failing, self.delay, self.damaged = [], lambda n: False, 0.0, {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self, folder / self.path.lstrip("/"))

            def do_HEAD(self):
                server.answer(self, folder / self.path.lstrip("/"), body=False)

            def log_message(self, *arguments):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, handler, path, body=True):
        wanted = handler.headers.get("Range")
        self.requests.append((path.name, wanted))
        time.sleep(self.delay)
        how = self.failing(len(self.requests))
        if how == "cut":
            handler.close_connection = True
            return
        if how or not path.is_file():
            handler.send_error(503 if how else 404)
            return
        content = bytearray(path.read_bytes())
        for bit in self.damaged.get(path.name, ()):
            content[bit // 8] ^= 1 << bit % 8
        start, stop = 0, len(content)
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            start, stop = int(first), min(int(last) + 1, stop) if last else stop
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        else:
            handler.send_response(200)
        handler.send_header("Accept-Ranges", "bytes")
        handler.send_header("Content-Length", str(stop - start))
        handler.end_headers()
        if body:
            handler.wfile.write(content[start:stop])

    def close(self):
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server(packed, monkeypatch):
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(places, "BLOCK", 2_000)
    monkeypatch.setattr("striate.data.layouts.shards.source.BLOCK", 2_000)
    monkeypatch.setattr(places, "FIRST_PAUSE", 0.001)
    running = Server(packed.folder)
    yield running
    running.close()


def remote(server, cache, **options):
    return ShardSource(Remote(server.url, cache, **options))


def test_a_server_that_is_late_and_fails(server, packed, tmp_path):
    """Every fifth request fails, by turns with 503 and by a cut connection; all items come."""
    server.delay = 0.002
    server.failing = lambda number: number % 5 == 0 and ("cut" if number % 10 else "refused")
    source = remote(server, tmp_path)
    assert_same(readings(open_source(packed.folder)), readings(source))
    assert source.name == server.url
    assert all(wanted for name, wanted in server.requests if name.endswith(".tar"))
    total = sum(shard.size for shard in packed.index.shards)
    kept = sum(path.stat().st_size for path in tmp_path.rglob("*-2000"))
    assert 0.5 * total < kept <= total


def test_gone_on_with_in_the_middle_of_a_shard(server, packed, tmp_path):
    source = remote(server, tmp_path)
    items = source.listing.items
    for item in items[:10]:
        source.stored(item)
    came = {entry for entry in server.requests if entry[0].endswith(".tar")}
    server.requests.clear()
    assert_same(readings(open_source(packed.folder)), readings(remote(server, tmp_path)))
    later = [entry for entry in server.requests if entry[0].endswith(".tar")]
    assert not came & set(later) and len(later) == len(set(later))


def test_the_cache_keeps_its_limit(server, packed, tmp_path):
    source = remote(server, tmp_path, limit=9_000)
    largest = 0
    for item in source.listing.items:
        source.stored(item)
        largest = max(largest, sum(p.stat().st_size for p in tmp_path.rglob("*-2000")))
    assert 4_000 < largest <= 9_000


def test_many_threads_fetch_each_block_once(server, packed, tmp_path):
    server.delay = 0.01
    source = remote(server, tmp_path)
    items = source.listing.items
    threads = [
        threading.Thread(target=lambda part=part: [source.stored(i) for i in items[part::4]])
        for part in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = [entry for entry in server.requests if entry[0].endswith(".tar")]
    assert len(asked) == len(set(asked))


def test_damage_on_the_way_is_fetched_again_and_damage_at_the_source_is_told(server, tmp_path):
    source = remote(server, tmp_path)
    item = source.listing.items[0]
    place = source._places[item.id]
    name = source.index.shards[place.shard].name
    server.damaged = {name: [8 * place.offset]}
    reason = f"{server.url}/{name} is damaged: the SHA-256 of this item is another"
    with pytest.raises(UnreadableItem) as caught:
        source.stored(item)
    assert caught.value.reason == reason
    # The server is mended: what is in the cache is not believed.
    server.damaged = {}
    assert source.stored(item).content


def test_a_whole_shard_is_compared(server, tmp_path):
    """A bit of a tar header, which no item shows."""
    source = remote(server, tmp_path)
    shard = source.index.shards[0]
    server.damaged = {shard.name: [8 * 20]}
    with pytest.warns(DataWarning, match=f"{shard.name} is damaged: its SHA-256"):
        source._shelf.part(shard, 0, shard.size)
    assert not list(tmp_path.rglob("*-2000"))
    with pytest.warns(DataWarning):
        assert [shard.name in note.message for note in source.damage()] == [True]


def test_a_server_that_does_not_answer(server, packed, tmp_path):
    source = remote(server, tmp_path)
    server.failing = lambda number: "refused"
    item = source.listing.items[0]
    before = len(server.requests)
    with pytest.raises(MachineError, match=r"shard-000000.tar: 6 attempts failed, the last with"):
        source.read(item)
    assert len(server.requests) - before == 6


def test_addresses_are_data(server, data, packed, tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    source = open_source(f"{server.url}/index.json")
    assert source.listing.items == open_source(packed.folder).listing.items
    with pytest.raises(DataError, match=r"nowhere/index.json: file not found"):
        open_source(f"{server.url}/nowhere")
    with pytest.raises(DataError, match="volumes are wanted"):
        open_source(packed.folder, "volume")
    monkeypatch.setenv("STRIATE_SHARD_CACHE_GB", "much")
    with pytest.raises(ArgumentError, match="STRIATE_SHARD_CACHE_GB is 'much'"):
        open_source(server.url)
    with pytest.raises(DataError, match="cannot read odd://host"):
        open_source("odd://host")


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


def test_a_bit_flipped_where_an_index_begins_is_noticed(packed, tmp_path):
    folder = shutil.copytree(packed.folder, tmp_path / "shards")
    content = bytearray((folder / "index.json").read_bytes())
    place = content.index(b"wids_version")
    content[place] ^= 4
    (folder / "index.json").write_bytes(content)
    with pytest.raises(DataError, match=r"index\.json is damaged"):
        open_source(str(folder))
