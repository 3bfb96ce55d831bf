"""Pictures in shards behind a slow server that fails: rate, cache and resume, beside the disk.

    python benchmarks/shards.py [--pictures 100000] [--cache-gigabytes 0.2] [--made FOLDER]
        [--seed 0]

So many JPEG pictures of 128 pixels are made and packed. A loopback server in a process of its own
gives them out 20 ms late, and of 50 requests one fails, by turns with 503 and by a cut connection.
Compared are the same shards read from the disk and from the server, as a fit reads them (decoded once
into its cache of pixels), in turns, each into an empty cache:

- whether the pixels are the same to the bit, and so is every batch (ids, order, pixels),
- pictures in a second, and their ratio (wanted: at least 0.9),
- the largest size of the cache of fetched blocks, with a cap that is far less than the shards,
- the seconds from the start of a new process until it goes on reading in the middle of the shard at
  which another was ended by SIGKILL (wanted: at most 5), and whether it fetches anything twice.

Rates are of this machine: server, client and decoders share its cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

SIDE: Final = 128
DELAY: Final = 0.02
FAILING: Final = 0.02
CLASSES: Final = 10
WHOLE: Final = Path(__file__).resolve()


def make(folder: Path, count: int, seed: int) -> None:
    """So many different pictures in class folders."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(64, SIDE, SIDE, 3))
    for axis in (1, 2):  # smooth, so that they are about as large as photographs
        waves = sum(np.roll(waves, shift, axis) for shift in range(-4, 5)) / 9
    for number in range(count):
        label = folder / f"class-{number % CLASSES}"
        label.mkdir(parents=True, exist_ok=True)
        one, other = rng.integers(len(waves), size=2)
        mixed = 128 + 150 * (waves[one] + np.roll(waves[other], int(rng.integers(SIDE)), 0))
        mixed[:, :, number % 3] += 10 * (number % CLASSES)
        pixels = mixed.clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(label / f"{number:06}.jpg", quality=90)


def serve(folder: Path, seed: int) -> None:
    """The server, until it is ended; its port and its requests go to the standard output."""
    draws, lock = random.Random(seed), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # as web servers do; the end of an answer waits 40 ms else

        def do_GET(self) -> None:
            path = folder / self.path.lstrip("/")
            wanted = self.headers.get("Range")
            with lock:
                fails, how = draws.random() < FAILING, draws.random() < 0.5
                print(json.dumps([path.name, wanted, fails]), flush=True)
            time.sleep(DELAY)
            if fails and how:
                self.close_connection = True
                return
            if fails or not path.is_file():
                self.send_error(503 if fails else 404)
                return
            size = path.stat().st_size
            first, last = 0, size - 1
            if wanted:
                first, last = map(int, wanted.removeprefix("bytes=").split("-"))
                last = min(last, size - 1)
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last + 1 - first))
            self.end_headers()
            with path.open("rb") as file:
                file.seek(first)
                self.wfile.write(file.read(last + 1 - first))

        def log_message(self, *arguments: Any) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(http.server_address[1], flush=True)
    http.serve_forever()


class Server:
    """The server as a process, and what it was asked for."""

    def __init__(self, folder: Path, seed: int) -> None:
        program = [sys.executable, str(WHOLE), "--serve", str(folder), "--seed", str(seed)]
        self._process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{self._process.stdout.readline().strip()}"
        self.requests: list[tuple[str, str | None, bool]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.requests.append(tuple(json.loads(line)))

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


class CacheWatch:
    """The largest size of the cache of fetched blocks, looked at every 50 ms."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.largest, self._ended = folder, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            total = 0
            for path in self.folder.glob("*/*"):
                try:
                    total += path.stat().st_size
                except OSError:  # it is dropped just now
                    continue
            self.largest = max(self.largest, total)

    def end(self) -> int:
        """Stop looking."""
        self._ended.set()
        self._thread.join()
        return self.largest


def read(data: str, pixels: Path) -> tuple[float, Any]:
    """The seconds of reading all pictures into a cache of pixels, and what was read."""
    from striate.data.layouts import open_source
    from striate.data.stores.pixel_file import write_file
    from striate.data.stores.pixels import PixelStore
    from striate.progress import Progress

    source = open_source(data)
    items = source.listing.items
    began = time.monotonic()
    path = write_file(source, items, SIDE, pixels, None, Progress(quiet=True), None)
    return time.monotonic() - began, PixelStore(path)


def same_batches(one: Any, other: Any, seed: int) -> bool:
    """Whether an epoch of both has the same ids and pixels in each batch."""
    from striate.data.batches import Batches

    def batches(store: Any) -> Batches:
        def make(positions: Any, number: int) -> Any:
            return store.take(positions), positions

        return Batches(store.ids, make, batch_size=64, seed=seed)

    ours, theirs = batches(one), batches(other)
    if ours.steps_per_epoch != theirs.steps_per_epoch:
        return False
    for step, ((left, _), (right, _)) in enumerate(
        zip(ours.epoch(0), theirs.epoch(0), strict=True)
    ):
        if ours.ids(0, step) != theirs.ids(0, step):
            return False
        if not all(np.array_equal(a.array, b.array) for a, b in zip(left, right, strict=True)):
            return False
    return True


def go_on(url: str, start: int, count: int) -> None:
    """Read some items from a position on, telling each; a process of its own."""
    from striate.data.layouts import open_source
    from striate.data.sandbox import read_all

    source = open_source(url)
    for item, _ in read_all(source, source.listing.items[start : start + count], SIDE):
        print(item.id, flush=True)


def resumed(server: Server, cache: Path, names: dict[str, str], count: int) -> tuple[float, int]:
    """The seconds until a new process reads on where one was killed, and the ranges asked for twice."""
    environment = {**os.environ, "STRIATE_CACHE": str(cache)}
    command = [sys.executable, str(WHOLE), "--read", server.url, "--from"]
    server.requests.clear()
    wanted = max(64, count // 8)
    first = subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, text=True, env=environment)
    assert first.stdout is not None
    for _ in range(wanted):
        first.stdout.readline()
    first.send_signal(signal.SIGKILL)
    first.wait()
    time.sleep(0.2)  # the server's last words
    blocks = [(path.parent.name, path.name.split("-")) for path in cache.glob("shards/*/0*-*")]
    kept = {(names[shard], f"bytes={int(n) * int(size)}") for shard, (n, size) in blocks}
    server.requests.clear()
    began = time.monotonic()
    second = subprocess.Popen(
        [*command, str(wanted)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert second.stdout is not None
    second.stdout.readline()
    seconds = time.monotonic() - began
    second.kill()
    second.wait()
    asked = [(name, str(wanted).partition("-")[0]) for name, wanted, _ in server.requests]
    return seconds, sum(entry in kept for entry in asked)


def main() -> None:
    """Make, pack, serve, read and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--cache-gigabytes", type=float, default=0.2)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--made", type=Path, help="where the shards are, or are to be kept")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--from", type=int, dest="start", default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.seed)
        return
    if options.read:
        go_on(options.read, options.start, 10**9)
        return
    from striate.data.layouts import open_source
    from striate.data.layouts.shards import pack

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shards = options.made or folder / "shards"
        if not shards.is_dir():
            make(folder / "pictures", options.pictures, options.seed)
            pack(open_source(str(folder / "pictures")), shards)
        index = json.loads((shards / "index.json").read_bytes())["shardlist"]
        names = {shard["sha256"][:32]: shard["url"] for shard in index}
        size = sum(shard["filesize"] for shard in index)
        print(f"{options.pictures} pictures, {size / 1e6:.0f} MB, {len(index)} shards")
        os.environ["STRIATE_SHARD_CACHE_GB"] = str(options.cache_gigabytes)
        server = Server(shards, options.seed)
        rates: dict[str, list[float]] = {"disk": [], "server": []}
        stores: dict[str, Any] = {}
        largest = 0
        for turn in range(options.turns):
            shutil.rmtree(folder / f"disk-{turn - 1}", ignore_errors=True)
            shutil.rmtree(folder / f"server-{turn - 1}", ignore_errors=True)
            for name, data in (("disk", str(shards)), ("server", server.url)):
                cache = folder / f"{name}-{turn}"
                os.environ["STRIATE_CACHE"] = str(cache)
                watch = CacheWatch(cache / "shards")
                seconds, stores[name] = read(data, cache / "pixels")
                largest = max(largest, watch.end())
                rates[name].append(options.pictures / seconds)
                print(f"{name}: {rates[name][-1]:.0f} pictures/s", flush=True)
        same = same_batches(stores["disk"], stores["server"], options.seed)
        asked = len(server.requests)
        failed = sum(entry[2] for entry in server.requests)
        seconds, twice = resumed(server, folder / "resumed", names, options.pictures)
        server.close()
        ratio = max(rates["server"]) / max(rates["disk"])
        print(f"same pixels and batches: {same}; {failed} of {asked} requests failed")
        print(f"server / disk: {ratio:.3f} (best of {options.turns} each; wanted 0.9)")
        cap = options.cache_gigabytes * 1e9
        print(f"cache of blocks: {largest / 1e6:.0f} MB at most, cap {cap / 1e6:.0f} MB")
        print(f"resume: reads on after {seconds:.1f} s (wanted 5); {twice} blocks fetched twice")
        print(f"load: {os.getloadavg()[0]:.1f}")
    sys.exit(not (same and largest <= cap and ratio >= 0.9 and seconds <= 5 and not twice))


if __name__ == "__main__":
    main()
