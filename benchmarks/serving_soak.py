"""`striate serve` under hostile uploads, and for long: crashes, wrong answers, memory.

    python benchmarks/serving_soak.py RUN FILE... [--uploads 10000] [--seconds 1800]
        [--clients 32] [--explain 0.02] [--device cpu] [--json FILE]

First `--uploads` requests are sent that no honest client sends: files that are cut off, changed,
empty, or something else; pictures whose head promises more pixels than any has, and such that expand
a thousandfold; odd names, wrong types, broken forms and documents. Each is to be refused or answered,
never with a 5xx, and a good file is to be answered as before.

Then `--clients` clients ask for `--seconds` seconds, each again once it is answered, of which a
share of `--explain` asks for an explanation too, and every tenth request is hostile. Every answer to a good file is compared with `striate.load(RUN).predict`: the same label, set and verdict, probabilities to 1e-5.

The memory is that of the server's process, and of it with the processes that decode, resident, read
every second from /proc; its growth is the highest value after the first tenth of the time, less the highest within it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import platform
import random
import struct
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

import striate
from serving import connected, server
from striate.tasks.prediction import Prediction

SHIFT = 1e-5
"""What a probability may differ by: items under load are computed together."""

NAMES = (
    "a.png", "../../etc/passwd", "..\\..\\boot.ini", "C:\\a.png", "/dev/zero", "a\x00.png", "a\nb.png",
    '"; drop.png', "<script>.png", "=cmd().png", "é🜁.png", "-rf", "", "x" * 3000, "%2e%2e%2f", "CON",
)  # fmt: skip
TYPES = (
    "image/png", "image/jpeg", "image/x-nothing", "audio/wav", "video/mp4", "application/octet-stream",
    "application/json", "text/html", "multipart/form-data", "multipart/form-data; boundary=x", ";", "",
)  # fmt: skip


def png_of(width: int, height: int, pixels: bytes, text: bytes = b"") -> bytes:
    """A PNG whose head says that it is so large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    told = chunk(b"zTXt", b"c\0\0" + zlib.compress(text)) if text else b""
    body = chunk(b"IDAT", zlib.compress(pixels, 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + told + body + chunk(b"IEND", b"")


def bombs() -> list[bytes]:
    """Small files that promise or hold much."""
    gif = io.BytesIO()
    frames = [Image.new("P", (500, 500), level) for level in range(50)]
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    tiff = io.BytesIO()
    Image.new("L", (20_000, 9_000)).save(tiff, "TIFF", compression="tiff_deflate")
    rows = bytes(3 * 6000 + 1)
    return [
        png_of(20_000, 20_000, bytes(1000)),
        png_of(2**31 - 1, 2**31 - 1, b""),
        png_of(6000, 6000, rows * 6000),
        png_of(64, 64, bytes(193) * 64, text=bytes(20_000_000)),
        png_of(1, 30_000, bytes(4) * 30_000),
        gif.getvalue(),
        tiff.getvalue(),
    ]


FOREIGN = (
    b"", b"x", b"<html><body>no</body></html>", b"%PDF-1.7\n" + bytes(99), b"\x7fELF" + bytes(99),
    b"PK\x03\x04" + bytes(99), b"\xff\xd8\xff" + bytes(99), b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(9),
    b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(40), b"II*\0" + b"\xff" * 60, b"BM" + b"\xff" * 60,
    b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,)}",
)  # fmt: skip


def changed(content: bytes, draw: random.Random) -> bytes:
    """A file with bytes that are cut off, replaced, left out or doubled."""
    found = bytearray(content)
    if draw.random() < 0.3:
        return bytes(found[: draw.randrange(len(found))])
    for _ in range(draw.randint(1, 12)):
        place = draw.randrange(len(found))
        part = draw.randbytes(draw.randint(0, 40))
        found[place : place + draw.randint(0, 40)] = part
        found = found or bytearray(b"x")
    return bytes(found)


@dataclass
class Hostile:
    """Makes requests that no honest client sends.

    Attributes:
        good: Files that can be predicted.
        draw: Where chance comes from.
    """

    good: Sequence[bytes]
    draw: random.Random
    bombs: list[bytes] = field(default_factory=bombs)

    def request(self) -> dict[str, Any]:
        """What is given to `httpx`'s `post`."""
        draw = self.draw
        kind = draw.random()
        if kind < 0.5:
            content = changed(draw.choice(self.good), draw)
        elif kind < 0.8:
            content = draw.choice(FOREIGN)
        else:
            content = draw.choice(self.bombs)
        way = draw.randrange(5)
        if way == 0:
            return {"files": [("file", (draw.choice(NAMES), content, draw.choice(TYPES)))]}
        if way == 1:
            return {"content": content, "headers": {"Content-Type": draw.choice(TYPES)}}
        if way == 2:
            return {"json": {"inputs": [base64.b64encode(content).decode()] * draw.randint(1, 3)}}
        if way == 3:
            return {"content": self._document(), "headers": {"Content-Type": "application/json"}}
        field_name = draw.choice(("file", "image", ""))
        return {"files": [(field_name, (draw.choice(NAMES), content)) for _ in range(3)]}

    def _document(self) -> bytes:
        draw = self.draw
        return draw.choice(
            (
                b"[" * draw.randint(1, 100_000),
                b'{"inputs": ' + b"[" * 60 + b"1" + b"]" * 60 + b"}",
                b'{"inputs": [' + b"[[1, 2], [3]]" + b"]}",
                b'{"inputs": ["' + b"A" * draw.randint(0, 100_000) + b'"]}',
                b'{"inputs": [' + b"1e999, " * 1000 + b"NaN]}",
                b'{"inputs": [{"base64": null}], "inputs": 7}',
                b'{"inputs": [' + b"[[255]]," * 200 + b"[[0]]]}",
                b"\xff\xfe{}",
                b'{"inputs": ["\\ud800"]}',
            )
        )


@dataclass
class Memory:
    """The resident memory of a process, and of it with its children, in MB, second by second."""

    pid: int
    start: float = field(default_factory=time.monotonic)
    seen: list[tuple[float, float, float]] = field(default_factory=list)

    def look(self) -> None:
        """Note what it is now."""
        own, *children = map(_resident_mb, _family(self.pid))
        self.seen.append((time.monotonic() - self.start, own, own + sum(children)))

    def growth(self) -> dict[str, float]:
        """The highest of the first tenth of the time, that of the rest, and the difference."""
        tenth = self.seen[-1][0] / 10
        found = {}
        for place, name in ((1, "server"), (2, "with_decoders")):
            first = max(look[place] for look in self.seen if look[0] <= tenth)
            rest = max((look[place] for look in self.seen if look[0] > tenth), default=first)
            found[f"{name}_mb_first_tenth"] = round(first, 1)
            found[f"{name}_mb_growth"] = round(rest - first, 1)
        return found


def unexpected(statuses: Iterable[int]) -> int:
    """Number of 5xx but for those that say that there is no room (503) or no time (504)."""
    return sum(status >= 500 and status not in (503, 504) for status in statuses)


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        others = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return
    for thread in others:
        if thread != pid:
            try:
                children += Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
            except OSError:
                continue
    for child in children:
        yield from _family(int(child))


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def watched(memory: Memory) -> Iterator[None]:
    """Look at the memory every second while the block runs, from the loop of this thread."""

    async def looking() -> None:
        while True:
            memory.look()
            await asyncio.sleep(1)

    memory.start = time.monotonic()
    memory.look()
    task = asyncio.ensure_future(looking())
    try:
        yield
    finally:
        task.cancel()
        memory.look()


async def repeated(work: Callable[[], Awaitable[bool]], clients: int) -> None:
    """Call work by so many clients, each again until it says no."""

    async def one() -> None:
        while await work():
            pass

    await asyncio.gather(*(one() for _ in range(clients)))


async def uploads(url: str, pid: int, good: Sequence[bytes], count: int) -> dict[str, Any]:
    """What came of hostile uploads."""
    hostile, statuses, memory = Hostile(good, random.Random(0)), Counter[int](), Memory(pid)
    broken, sent = 0, 0
    async with connected(url, 8) as client:

        async def one() -> bool:
            nonlocal broken, sent
            if sent >= count:
                return False
            sent += 1
            try:
                answer = await client.post("/predict", **hostile.request())
                statuses[answer.status_code] += 1
            except httpx.TransportError:
                broken += 1
            return True

        with watched(memory):
            await repeated(one, 8)
        alive = (await client.get("/v2/health/ready")).status_code
        after = await client.post("/predict", files={"file": good[0]})
    return {
        "uploads": count, "statuses": dict(sorted(statuses.items())), "broken_connections": broken,
        "unexpected_5xx": unexpected(statuses.elements()),
        "ready_after": alive, "good_file_after": after.status_code,
        **memory.growth(),
    }  # fmt: skip


def differs(found: dict[str, Any], expected: Prediction) -> bool:
    """Whether an answer is another than `predict`'s."""
    known = expected.to_json()
    shares = known.pop("probabilities", {})
    apart = [abs(found["probabilities"][name] - share) for name, share in shares.items()]
    fields = ("label", "labels", "unknown", "prediction_set")
    return max(apart, default=0.0) > SHIFT or any(found.get(f) != known.get(f) for f in fields)


async def soak(
    url: str,
    pid: int,
    files: Sequence[tuple[bytes, Prediction]],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """What many clients met for long."""
    draw, statuses, memory = random.Random(1), Counter[str](), Memory(pid)
    hostile = Hostile([content for content, _ in files], draw)
    wrong, explained, unexplained, seconds = 0, 0, 0, []
    end = time.monotonic() + options.seconds
    async with connected(url, options.clients) as client:

        async def one() -> bool:
            nonlocal wrong, explained, unexplained
            if time.monotonic() > end:
                return False
            if draw.random() < 0.1:
                answer = await client.post("/predict", **hostile.request())
                statuses[f"hostile {answer.status_code}"] += 1
                return True
            content, expected = draw.choice(files)
            explain = draw.random() < options.explain
            start = time.perf_counter()
            answer = await client.post(
                "/predict", files={"file": content}, params={"explain": "1"} if explain else {}
            )
            statuses[f"{'explained' if explain else 'good'} {answer.status_code}"] += 1
            if answer.status_code == 200:
                found = answer.json()["predictions"][0]
                wrong += differs(found, expected)
                if explain:
                    explained += "base64" in found["explanation"]
                    unexplained += "reason" in found["explanation"]
                else:
                    seconds.append(time.perf_counter() - start)
            return True

        with watched(memory):
            await repeated(one, options.clients)
    seconds.sort()
    return {
        "seconds": options.seconds, "clients": options.clients, "answered": len(seconds),
        "statuses": dict(sorted(statuses.items())), "wrong_answers": wrong,
        "unexpected_5xx": unexpected(int(name.split()[-1]) for name in statuses.elements()),
        "explained": explained, "explanations_not_ready": unexplained,
        "p50_ms": round(1e3 * seconds[len(seconds) // 2], 1),
        "p99_ms": round(1e3 * seconds[99 * len(seconds) // 100], 1),
        **memory.growth(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--explain", type=float, default=0.02)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--port", type=int, default=8766)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    run = striate.load(options.run, device=options.device)
    contents = [path.read_bytes() for path in options.files]
    files = [(content, run.predict([content])[0]) for content in contents]
    found: dict[str, Any] = {"python": platform.python_version(), "cores": os.cpu_count()}
    if options.uploads:
        with server("striate", options.run, options.port, options.device) as (url, pid):
            found["hostile"] = asyncio.run(uploads(url, pid, contents, options.uploads))
            print(json.dumps(found["hostile"], indent=2), flush=True)
    if options.seconds:
        with server("striate", options.run, options.port, options.device) as (url, pid):
            found["soak"] = asyncio.run(soak(url, pid, files, options))
            print(json.dumps(found["soak"], indent=2), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
