"""`striate serve` beside a plain FastAPI server of the same file, and at four times its capacity.

    python benchmarks/serving.py RUN FILE... [--seconds 10] [--rounds 2] [--engine onnx]
        [--device cpu] [--export FOLDER] [--json FILE]

RUN predicts for pictures. It is exported, and the plain server is what one writes around the export:
FastAPI with one function, which reads a picture and runs the file by the `predict.py` beside it, in
FastAPI's own threads. `striate serve` answers by the engine that is asked for. The engine alone
computes filled batches of items that were read before, in a process of its own.

All three take turns. Both servers are processes of their own on this machine, and so is the client
(`serving_client.py`), which takes 0.1 to 0.3 ms of a core for each request. With 32 clients, each of
which asks again once it is answered, requests a second and the median and 99th percentile of their
milliseconds are told, and the milliseconds on a processor that the server and its children spent on
each, which other work on the machine changes little; after the rounds with 1 and 8 clients too. Then
requests arrive at four times the rate of the 32 clients whether or not others are answered: goodput
is what is answered 200 a second. The last lines compare with what is wanted. With the defaults it
takes two minutes besides the export, and means something on a quiet machine only; `--export` names a
folder with what `striate export RUN --to onnx --out FOLDER/model.onnx` wrote before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
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
import os, sys, time
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as in `striate serve`
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
    processor_ms: float


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
    processor_ms: float


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


@dataclass(frozen=True)
class Asked:
    """What a client met.

    Attributes:
        answers: The status and the milliseconds of each request.
        seconds: From the first to the last answer.
        sending_seconds: Until the last was sent.
        processor_ms: Milliseconds on a processor of the server and its children, a request.
    """

    answers: list[tuple[int, float]]
    seconds: float
    sending_seconds: float
    processor_ms: float

    def milliseconds(self, *statuses: int) -> list[float]:
        """Of the requests that were answered so."""
        return [taken for status, taken in self.answers if status in statuses]


def asked(
    server: tuple[str, int], files: Sequence[Path], how: str, number: float, seconds: float
) -> Asked:
    """What the light client met, as a process of its own; see `serving_client.py`."""
    url, process = server
    client = [sys.executable, str(Path(__file__).with_name("serving_client.py"))]
    command = [*client, url, how, str(number), str(seconds), *map(str, files)]
    before = processor_seconds(process)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    spent = processor_seconds(process) - before
    found = json.loads(done.stdout.splitlines()[-1])
    answers = [(status, taken) for status, taken in found["answers"]]
    milliseconds = 1000 * spent / len(answers)
    return Asked(answers, found["seconds"], found["sending_seconds"], milliseconds)


def processor_seconds(process: int) -> float:
    """Seconds on a processor of a process and of its children so far."""
    spent = 0.0
    for number in [process, *children(process)]:
        try:
            stat = Path(f"/proc/{number}/stat").read_text()
        except OSError:
            continue
        fields = stat.rpartition(")")[2].split()
        spent += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return spent


def children(process: int) -> Iterator[int]:
    """The processes that one has started and that are there."""
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


def closed_loop(
    server: tuple[str, int], files: Sequence[Path], clients: int, seconds: float
) -> Load:
    """Clients that ask again once they are answered."""
    found = asked(server, files, "closed", clients, seconds)
    milliseconds = found.milliseconds(200)
    assert len(milliseconds) == len(found.answers), {status for status, _ in found.answers}
    p50, p99 = np.percentile(milliseconds, [50, 99])
    rate = len(milliseconds) / found.seconds
    return Load(clients, rate, float(p50), float(p99), found.processor_ms)


def open_loop(
    server: tuple[str, int], files: Sequence[Path], rate: float, seconds: float
) -> Overload:
    """Requests that come at a rate, whether or not others are answered."""
    found = asked(server, files, "open", rate, seconds)
    accepted, rejected = found.milliseconds(200), found.milliseconds(429, 503)
    of_rejected = np.percentile(rejected, [50, 99]) if rejected else (float("nan"),) * 2
    return Overload(
        sent_per_second=len(found.answers) / found.sending_seconds,
        goodput_per_second=len(accepted) / found.seconds,
        accepted_p99_ms=float(np.percentile(accepted, 99)),
        rejected=len(rejected),
        rejected_p50_ms=float(of_rejected[0]),
        rejected_p99_ms=float(of_rejected[1]),
        other=len(found.answers) - len(accepted) - len(rejected),
        processor_ms=found.processor_ms,
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


def measured(servers: dict[str, tuple[str, int]], options: argparse.Namespace) -> dict[str, Any]:
    """The engine alone and both servers in turns, then the overload."""
    found: dict[str, Any] = {"engine_items_per_second": [], "plain": [], "striate": []}

    def ask_all(kind: str, clients: int, seconds: float) -> None:
        load = closed_loop(servers[kind], options.files, clients, seconds)
        found[kind].append(asdict(load))
        row = f"{load.requests_per_second:10.1f} {load.p50_ms:8.1f} {load.p99_ms:8.1f}"
        row = f"{row} {load.processor_ms:12.2f}"
        print(f"{kind:8} {clients:7} {row}", flush=True)

    heads = f"{'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'processor ms':>12}"
    print(f"{'server':8} {'clients':>7} {heads}")
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
    over = open_loop(servers["striate"], options.files, rate, options.seconds)
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
    parser.add_argument("--export", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    about = {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()}
    kept = options.export is not None
    with nullcontext(options.export) if kept else tempfile.TemporaryDirectory() as folder:
        if not kept:
            export(Run(options.run, device="cpu"), "onnx", out=Path(folder) / "model.onnx")
        own = striate_server(options.run, options.port, options.device, options.engine)
        plain = started(PLAIN, [str(folder), str(options.port + 1)], options.port + 1)
        with own as own_server, plain as plain_server:
            found = measured({"striate": own_server, "plain": plain_server}, options)
    print("\n".join(verdicts(found)))
    if options.json:
        options.json.write_text(json.dumps({**about, **found}, indent=2))


if __name__ == "__main__":
    main()
