"""`striate serve` beside a plain FastAPI server of the same file, and at four times its capacity.

    python benchmarks/serving.py RUN FILE... [--seconds 10] [--rounds 2] [--engine onnx]
        [--device cpu] [--json FILE]

RUN predicts for pictures. It is exported, and the plain server is what one writes around the export:
FastAPI with one function, which reads a picture and runs the file by the `predict.py` beside it, in
FastAPI's own threads. `striate serve` answers by the same engine. The engine alone computes filled
batches of items that were read before, in a process of its own.

All three take turns. Both servers are processes of their own on this machine, and so is this client,
which takes a share of its cores. With 32 clients, each of which asks again once it is answered,
requests a second and the median and 99th percentile of their milliseconds are told; after the rounds
with 1 and 8 clients too. Then requests arrive at four times the rate of the 32 clients whether or not
others are answered: goodput is what is answered 200 a second. The last lines compare with what is
wanted. With the defaults it takes three minutes, and means something on a quiet machine only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import numpy as np

FEW_CLIENTS = (1, 8)
CLIENTS = 32
OVERLOAD = 4

PLAIN = """
import sys
from io import BytesIO
from pathlib import Path
import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
from predict import load, predict

opened, app = load(folder / "pictures.onnx"), FastAPI()

@app.post("/predict")
async def answer(request: Request):
    return await run_in_threadpool(predict, BytesIO(await request.body()), *opened)

@app.get("/v2/health/ready")
def ready():
    return {}

uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
"""

STRIATE = "from striate.cli.main import main; main()"

ENGINE = """
import sys, time
from itertools import cycle, islice
from pathlib import Path
import striate

run = striate.load(sys.argv[1], device=sys.argv[2], engine=sys.argv[3])
seconds, size = float(sys.argv[4]), run.predictor.inputs.batch_size
source = run.open([Path(name).read_bytes() for name in sys.argv[5:]])
read = cycle(list(run.read(source, source.listing.items)))
batches = [list(zip(*islice(read, size))) for _ in range(8)]
run.predicted(*batches[0], together=True)
count, start = 0, time.perf_counter()
for items, readings in cycle(batches):
    run.predicted(items, readings, together=True)
    count += size
    if time.perf_counter() - start > seconds:
        break
print(count / (time.perf_counter() - start))
"""


@dataclass(frozen=True)
class Load:
    """What some clients met."""

    clients: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Overload:
    """What requests met that came faster than they could be answered."""

    sent_per_second: float
    goodput_per_second: float
    accepted_p99_ms: float
    rejected: int
    rejected_p50_ms: float
    rejected_p99_ms: float
    other: int


@contextmanager
def started(program: str, arguments: Sequence[str], port: int) -> Iterator[tuple[str, int]]:
    """A server as a process; its address and the process's number once it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            try:
                if httpx.get(f"{url}/v2/health/ready").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def striate_server(run: str, port: int, device: str, engine: str = "auto") -> Any:
    """`striate serve` as a process; see `started`."""
    options = ["--port", str(port), "--device", device, "--engine", engine]
    return started(STRIATE, ["serve", run, *options], port)


async def ask(client: httpx.AsyncClient, content: bytes) -> tuple[int, float]:
    """The status of an answer, and its milliseconds."""
    start = time.perf_counter()
    headers = {"Content-Type": "application/octet-stream"}
    answer = await client.post("/predict", content=content, headers=headers)
    return answer.status_code, 1000 * (time.perf_counter() - start)


def connected(url: str, most: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
    return httpx.AsyncClient(base_url=url, limits=limits, timeout=120)


async def closed_loop(url: str, contents: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Clients that ask again once they are answered."""
    found: list[float] = []
    async with connected(url, clients) as client:
        for content in contents[:4]:
            await ask(client, content)
        end = time.perf_counter() + seconds

        async def one(number: int) -> None:
            mine = cycle(contents[number % len(contents) :] or contents)
            while time.perf_counter() < end:
                status, milliseconds = await ask(client, next(mine))
                assert status == 200, status
                found.append(milliseconds)

        start = time.perf_counter()
        await asyncio.gather(*map(one, range(clients)))
        taken = time.perf_counter() - start
    p50, p99 = np.percentile(found, [50, 99])
    return Load(clients, len(found) / taken, float(p50), float(p99))


async def open_loop(url: str, contents: Sequence[bytes], rate: float, seconds: float) -> Overload:
    """Requests that come at a rate, whether or not others are answered."""
    async with connected(url, 400) as client:
        waiting, files = [], cycle(contents)
        start = time.perf_counter()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            waiting.append(asyncio.ensure_future(ask(client, next(files))))
        sent = time.perf_counter() - start
        answers = await asyncio.gather(*waiting)
        taken = time.perf_counter() - start
    accepted = [ms for status, ms in answers if status == 200]
    rejected = [ms for status, ms in answers if status in (429, 503)]
    of_rejected = np.percentile(rejected, [50, 99]) if rejected else (float("nan"),) * 2
    return Overload(
        sent_per_second=len(answers) / sent,
        goodput_per_second=len(accepted) / taken,
        accepted_p99_ms=float(np.percentile(accepted, 99)),
        rejected=len(rejected),
        rejected_p50_ms=float(of_rejected[0]),
        rejected_p99_ms=float(of_rejected[1]),
        other=len(answers) - len(accepted) - len(rejected),
    )


def engine_alone(options: argparse.Namespace) -> float:
    """Items a second that the engine computes in filled batches, in a process of its own."""
    asked = [options.run, options.device, options.engine, str(options.seconds)]
    command = [sys.executable, "-c", ENGINE, *asked, *map(str, options.files)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def verdicts(found: dict[str, Any]) -> list[str]:
    """What is wanted, what was measured, and whether that is as wanted, a line each."""
    rates = {
        kind: [load["requests_per_second"] for load in found[kind] if load["clients"] == CLIENTS]
        for kind in ("plain", "striate")
    }
    mean = {kind: float(np.mean(rate)) for kind, rate in rates.items()}
    ratios = [own / other for own, other in zip(rates["striate"], rates["plain"], strict=True)]
    p99 = float(np.mean([e["p99_ms"] for e in found["striate"] if e["clients"] == CLIENTS]))
    peak = max(load["requests_per_second"] for load in found["striate"])
    over = found["overload"]
    engine = mean["striate"] / float(np.mean(found["engine_items_per_second"]))
    late = over["accepted_p99_ms"] / p99
    sent = over["sent_per_second"] / (OVERLOAD * mean["striate"])
    goodput = over["goodput_per_second"] / peak
    rows = [
        (f"requests/s at {CLIENTS} clients, of the plain server's", min(ratios), 1.8, True),
        ("requests/s, of the engine's items/s in filled batches", engine, 0.85, True),
        (
            f"requests sent, of {OVERLOAD} times the rate (or the client is too slow)",
            sent,
            0.9,
            True,
        ),
        (f"at {OVERLOAD} times the rate: p99 of the accepted, of that before", late, 2.0, False),
        (
            f"at {OVERLOAD} times the rate: p99 of rejections, ms",
            over["rejected_p99_ms"],
            50,
            False,
        ),
        (f"at {OVERLOAD} times the rate: goodput, of the peak before", goodput, 0.9, True),
        (f"at {OVERLOAD} times the rate: neither 200, 429 nor 503", over["other"], 0, False),
    ]
    return [
        f"{'ok    ' if (value >= limit if least else value <= limit) else 'MISSED'} {what}: "
        f"{value:.3g} (at {'least' if least else 'most'} {limit:g})"
        for what, value, limit, least in rows
    ]


def measured(urls: dict[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """The engine alone and both servers in turns, then the overload."""
    contents = [path.read_bytes() for path in options.files]
    found: dict[str, Any] = {"engine_items_per_second": [], "plain": [], "striate": []}

    def ask_all(kind: str, clients: int, seconds: float) -> None:
        load = asyncio.run(closed_loop(urls[kind], contents, clients, seconds))
        found[kind].append(asdict(load))
        row = f"{load.requests_per_second:10.1f} {load.p50_ms:8.1f} {load.p99_ms:8.1f}"
        print(f"{kind:8} {clients:7} {row}", flush=True)

    print(f"{'server':8} {'clients':>7} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8}")
    for _ in range(options.rounds):
        alone = engine_alone(options)
        found["engine_items_per_second"].append(alone)
        print(f"{'engine':8} {'':7} {alone:10.1f}", flush=True)
        for kind in ("plain", "striate"):
            ask_all(kind, CLIENTS, options.seconds)
    for clients in FEW_CLIENTS:
        for kind in ("plain", "striate"):
            ask_all(kind, clients, options.seconds / 2)
    rate = OVERLOAD * float(
        np.mean([e["requests_per_second"] for e in found["striate"] if e["clients"] == CLIENTS])
    )
    over = asyncio.run(open_loop(urls["striate"], contents, rate, options.seconds))
    found["overload"] = asdict(over)
    print(f"at {OVERLOAD} times the rate: {over}")
    return found


def main() -> None:
    from striate.run.export import export
    from striate.run.run import Run

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    about = {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()}
    with tempfile.TemporaryDirectory() as folder:
        export(Run(options.run, device="cpu"), "onnx", out=Path(folder) / "model.onnx")
        own = striate_server(options.run, options.port, options.device, options.engine)
        plain = started(PLAIN, [folder, str(options.port + 1)], options.port + 1)
        with own as (own_url, _), plain as (plain_url, _):
            found = measured({"striate": own_url, "plain": plain_url}, options)
    print("\n".join(verdicts(found)))
    if options.json:
        options.json.write_text(json.dumps({**about, **found}, indent=2))


if __name__ == "__main__":
    main()
