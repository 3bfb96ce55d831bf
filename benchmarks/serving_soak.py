"""`striate serve` under hostile uploads, and for long: crashes, wrong answers, memory.

    python benchmarks/serving_soak.py RUN FILE... [--uploads 10000] [--minutes 30]
        [--warm-up 120] [--clients 32] [--explain 0.02] [--device cpu] [--json FILE]

`--uploads 0` and `--minutes 0` leave a part out.

First `--uploads` requests are sent that no honest client sends: files that are cut off, changed,
empty, or something else; pictures whose head promises more pixels than any has, and such that expand
a thousandfold; odd names, wrong types, broken forms and documents. Each is to be refused or answered,
never with a 5xx, and a good file is to be answered as before.

Then `--clients` clients ask for `--minutes` minutes, each again once it is answered, of which a
share of `--explain` asks for an explanation too, and every tenth request is hostile. Every answer to
a good file is compared with `striate.load(RUN).predict`: the same label, set and verdict,
probabilities to 1e-5.

The memory is what the server's process has allocated and is resident, and that of it with the
processes that decode, read every second from /proc. Its growth is that of the median from the first tenth of the load to the
last, and that between two rests, before and after; the larger counts. Both begin after a warm-up (a
tenth of the uploads; `--warm-up` seconds), in which threads, decoding processes and the network's
copy for explanations come into being, and each thread meets its first large items.
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
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from resident_memory import Memory

import striate
from serving import striate_server
from striate.tasks.prediction import Prediction

SHIFT = 1e-5
"""What a probability may differ by: items under load are computed together."""

UPLOADERS = 8
"""Clients that upload what is hostile."""

HOSTILE = 0.1
"""The share of hostile requests in the soak."""

UPLOADS_MB, SOAK_MB = 50, 20
"""By how much the server's memory may grow, during the uploads and during the soak."""

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


def connected(url: str, most: int) -> httpx.AsyncClient:
    """A client of so many connections."""
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
    return httpx.AsyncClient(base_url=url, limits=limits, timeout=120)


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


def unexpected(statuses: Iterable[int]) -> int:
    """Number of 5xx but for those that say that there is no room (503) or no time (504)."""
    return sum(status >= 500 and status not in (503, 504) for status in statuses)


async def repeated(work: Callable[[], Awaitable[bool]], clients: int) -> None:
    """Call work by so many clients, each again until it says no."""

    async def one() -> None:
        while await work():
            pass

    await asyncio.gather(*(one() for _ in range(clients)))


async def uploads(url: str, pid: int, good: Sequence[bytes], count: int) -> dict[str, Any]:
    """What came of hostile uploads; a tenth as many come before, which are not counted."""
    hostile, statuses, memory = Hostile(good, random.Random(0)), Counter[int](), Memory(pid)
    left, broken = 0, 0
    async with connected(url, UPLOADERS) as client:

        async def one() -> bool:
            nonlocal broken, left
            if not left:
                return False
            left -= 1
            try:
                answer = await client.post("/predict", **hostile.request())
                statuses[answer.status_code] += 1
            except httpx.TransportError:
                broken += 1
            return True

        left = count // 10
        await repeated(one, UPLOADERS)
        statuses.clear()
        left, start = count, time.monotonic()
        async with memory.watched(statuses.total):
            await repeated(one, UPLOADERS)
        taken = time.monotonic() - start
        alive = (await client.get("/v2/health/ready")).status_code
        after = await client.post("/predict", files={"file": good[0]})
    return {
        "uploads": count, "seconds": round(taken),
        "statuses": dict(sorted(statuses.items())), "broken_connections": broken,
        "unexpected_5xx": unexpected(statuses.elements()),
        "ready_after": alive, "good_file_after": after.status_code,
        **memory.figures(),
    }  # fmt: skip


def differs(found: dict[str, Any], expected: Prediction) -> bool:
    """Whether an answer is another than `predict`'s."""
    known = expected.to_json()
    shares = known.pop("probabilities", {})
    apart = [abs(found["probabilities"][name] - share) for name, share in shares.items()]
    fields = ("label", "labels", "unknown", "prediction_set")
    return max(apart, default=0.0) > SHIFT or any(found.get(f) != known.get(f) for f in fields)


@dataclass
class Met:
    """What clients met.

    Attributes:
        statuses: Answers by what was asked and the status.
        wrong: Answers to good files that are not those of `predict`.
        explained: Explanations that came, and those that were not ready.
        broken: Connections that broke.
        seconds: Of the good files that were answered without an explanation.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    seconds: list[float] = field(default_factory=list)


async def ask_honestly(
    client: httpx.AsyncClient, content: bytes, expected: Prediction, explain: bool, met: Met
) -> None:
    """Ask for a good file, and compare the answer with that of `predict`."""
    start = time.perf_counter()
    asked = {"explain": "1"} if explain else {}
    answer = await client.post("/predict", files={"file": content}, params=asked)
    met.statuses[f"{'explained' if explain else 'good'} {answer.status_code}"] += 1
    if answer.status_code != 200:
        return
    found = answer.json()["predictions"][0]
    met.wrong += differs(found, expected)
    if explain:
        met.explained["ready" if "base64" in found["explanation"] else "not ready"] += 1
    else:
        met.seconds.append(time.perf_counter() - start)


async def soak(
    url: str,
    pid: int,
    files: Sequence[tuple[bytes, Prediction]],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """What many clients met for long, after a warm-up that is not counted."""
    draw, met, memory = random.Random(1), Met(), Memory(pid)
    hostile = Hostile([content for content, _ in files], draw)
    async with connected(url, options.clients) as client:

        async def one() -> bool:
            if time.monotonic() > end:
                return False
            try:
                if draw.random() < HOSTILE:
                    answer = await client.post("/predict", **hostile.request())
                    met.statuses[f"hostile {answer.status_code}"] += 1
                else:
                    explain = draw.random() < options.explain
                    await ask_honestly(client, *draw.choice(files), explain, met)
            except httpx.TransportError:
                met.broken += 1
            return True

        end = time.monotonic() + options.warm_up
        await repeated(one, options.clients)
        met = Met()
        async with memory.watched(lambda: met.statuses.total()):
            end = time.monotonic() + 60 * options.minutes
            await repeated(one, options.clients)
    met.seconds.sort()
    return {
        "minutes": options.minutes, "warm_up_seconds": options.warm_up,
        "clients": options.clients, "answered": met.statuses.total(),
        "statuses": dict(sorted(met.statuses.items())), "wrong_answers": met.wrong,
        "unexpected_5xx": unexpected(int(name.split()[-1]) for name in met.statuses.elements()),
        "broken_connections": met.broken, "explanations": dict(met.explained),
        "p50_ms": round(1e3 * met.seconds[len(met.seconds) // 2], 1),
        "p99_ms": round(1e3 * met.seconds[99 * len(met.seconds) // 100], 1),
        **memory.figures(),
    }  # fmt: skip


def verdicts(found: dict[str, Any]) -> list[str]:
    """What was wanted of each part, what came, and whether that is as wanted, a line each."""
    rows = []
    for name, most in (("hostile", UPLOADS_MB), ("soak", SOAK_MB)):
        if part := found.get(name):
            server = part["server_mb"]
            growth = max(server["growth_first_to_last_tenth"], server["growth_at_rest"])
            faults = (
                part["unexpected_5xx"] + part["broken_connections"] + part.get("wrong_answers", 0)
            )
            rows.append((f"{name}: unexpected 5xx, broken connections, wrong answers", faults, 0))
            rows.append((f"{name}: growth of the server in MB, the larger of two", growth, most))
    return [
        f"{'ok    ' if value <= most else 'MISSED'} {what}: {value:g} (at most {most})"
        for what, value, most in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=120.0)
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
        with striate_server(options.run, options.port, options.device) as (url, pid):
            found["hostile"] = asyncio.run(uploads(url, pid, contents, options.uploads))
            print(json.dumps(found["hostile"]), flush=True)
    if options.minutes:
        with striate_server(options.run, options.port, options.device) as (url, pid):
            found["soak"] = asyncio.run(soak(url, pid, files, options))
            print(json.dumps(found["soak"]), flush=True)
    print("\n".join(verdicts(found)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
