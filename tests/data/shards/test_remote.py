"""Shards on a server that is late, fails, cuts connections and sends damaged bytes."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from striate.data.layouts import open_source
from striate.data.layouts.shards import places
from striate.data.layouts.shards.places import Remote
from striate.data.layouts.shards.source import ShardSource
from striate.data.source import UnreadableItem
from striate.errors import ArgumentError, DataError, DataWarning, MachineError


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


def test_a_server_that_is_late_and_fails(server, packed, tmp_path, readings, assert_same):
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


def test_gone_on_with_in_the_middle_of_a_shard(server, packed, tmp_path, readings, assert_same):
    source = remote(server, tmp_path)
    items = source.listing.items
    for item in items[:10]:
        source.stored(item)
    source._shelf.settle()
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


def test_room_is_made_before_a_block_is_written(server, packed, tmp_path, monkeypatch):
    """At no moment, with what is being written, does more lie there than the limit says."""
    sizes = []
    replace = Path.replace

    def watched(path, target):
        sizes.append(sum(p.stat().st_size for p in tmp_path.rglob("*-2000*")))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watched)
    source = remote(server, tmp_path, limit=20_000)
    for item in source.listing.items:
        source.stored(item)
    source._shelf.settle()
    assert 10_000 < max(sizes) <= 20_000


def test_the_next_ranges_are_fetched_ahead_while_items_are_read_in_order(server, packed, tmp_path):
    def asked():
        source._shelf.settle()
        return sorted(entry for entry in server.requests if entry[0].endswith(".tar"))

    source = remote(server, tmp_path / "in order")
    shard, later = source.index.shards[:2]
    blocks = [(shard.name, f"bytes={n * 2000}-{n * 2000 + 1999}") for n in range(4)]
    source._shelf.part(shard, 0, 10)
    assert asked() == blocks[:1]
    source._shelf.part(shard, 2_000, 2_010)
    assert asked() == blocks  # two more
    server.requests.clear()
    source._shelf.part(shard, shard.size - 1, shard.size)
    source._shelf.part(later, 0, 1)  # the next shard follows
    assert {name for name, _ in asked()} == {shard.name, later.name}
    assert len(asked()) == len(set(asked())) >= 4
    # Not where the cache has no room, and not for items here and there.
    server.requests.clear()
    source = remote(server, tmp_path / "little room", limit=9_000)
    source._shelf.part(shard, 0, 2_010)
    source = remote(server, tmp_path / "here and there")
    source._shelf.part(shard, 4_000, 4_010)
    assert [entry[1].partition("-")[0] for entry in asked()] == [
        "bytes=0",
        "bytes=2000",
        "bytes=4000",
    ]


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
    source._shelf.settle()
    # Blocks that were read after it was noticed may have come again; the damaged one may not stay.
    assert not list((tmp_path / shard.sha256[:32]).glob("000000-*"))
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
