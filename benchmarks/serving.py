"""`striate serve` beside a plain server of the same run, and at four times its capacity.

    python benchmarks/serving.py RUN FILE... [--seconds 10] [--device cpu] [--json FILE]

Both servers are processes of their own on this machine, and so is this client, which takes a share
of its cores. The plain server is Starlette's with one function: it decodes a file in a process
that goes on living, and computes it by itself in a thread, of which there is one for each core;
that is Striate's own reading and network without queue and batches. At 1, 8 and 32 clients, each of which asks again
once it is answered, requests a second and the median and 99th percentile of their milliseconds are
told. Then requests arrive at four times the rate of the 32 clients whether or not others are
answered: goodput is what is answered 200 a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

import httpx
import numpy as np

CLIENTS = (1, 8, 32)
OVERLOAD = 4

PLAIN = """
import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
import striate
from striate.data.sandbox import DecoderPool, available_cores

threads = ThreadPoolExecutor(available_cores())
run, pool = striate.load(sys.argv[1], device=sys.argv[3]), DecoderPool()
run.predictor, run.calibration

def answer(content):
    source = run.open([content])
    item = source.listing.items[0]
    return run.predicted([item], [run.read_one(source, item, pool)])[0].to_json()

async def predict(request):
    content = await request.body()
    found = await asyncio.get_running_loop().run_in_executor(threads, answer, content)
    return JSONResponse({"predictions": [found]})

async def ready(request):
    return JSONResponse({})

routes = [Route("/predict", predict, methods=["POST"]), Route("/v2/health/ready", ready)]
uvicorn.run(Starlette(routes=routes), port=int(sys.argv[2]), log_level="error", access_log=False)
"""

STRIATE = "from striate.cli.main import main; main()"


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
def server(kind: str, run: str, port: int, device: str) -> Iterator[tuple[str, int]]:
    """A server as a process; its address and the process's number once it is ready."""
    arguments = {
        "striate": [STRIATE, "serve", run, "--port", str(port), "--device", device],
        "plain": [PLAIN, run, str(port), device],
    }[kind]
    process = subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.DEVNULL)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    contents = [path.read_bytes() for path in options.files]
    found: dict[str, object] = {"python": platform.python_version(), "cores": os.cpu_count()}
    print(f"{'server':8} {'clients':>7} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8}")
    for kind in ("plain", "striate"):
        with server(kind, options.run, options.port, options.device) as (url, _):
            loads = [
                asyncio.run(closed_loop(url, contents, clients, options.seconds))
                for clients in CLIENTS
            ]
            for load in loads:
                row = f"{load.requests_per_second:10.1f} {load.p50_ms:8.1f} {load.p99_ms:8.1f}"
                print(f"{kind:8} {load.clients:7} {row}", flush=True)
            found[kind] = [asdict(load) for load in loads]
            if kind == "striate":
                rate = OVERLOAD * loads[-1].requests_per_second
                over = asyncio.run(open_loop(url, contents, rate, options.seconds))
                found["overload"] = asdict(over)
                print(f"at {OVERLOAD} times the rate: {over}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
