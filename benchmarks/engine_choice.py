"""The engine that Striate chooses beside each engine as it comes: five networks, 1 and 16 at a time.

    python benchmarks/engine_choice.py --json engines.json [--networks resnet50] [--batches 1 16]

Random weights, 224 pixels, the CPU. What Striate would use for a run is chosen as `striate engines
RUN --measure` chooses it: torch (batch norms folded, channels last), ONNX Runtime or OpenVINO, by
times of their own. Then it takes turns with a user's plain ways: torch eager (in either layout),
torch.compile, ONNX Runtime and OpenVINO in float32, of files written without Striate. The ratio is of
the chosen one to the best of these, by medians; bfloat16 is told for comparison alone.

Each pair of network and batch is a process of its own, and its row is added to the file as soon as
it is there; rows that are there are not measured again. One row takes about a minute on two quiet
cores. `--quick` measures pictures of 64 pixels in few rounds.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import striate
from striate.bench.benchmark import load, machine
from striate.bench.turns import Contender, Timing, timed_in_turns
from striate.device import keep_freed_memory
from striate.engines import Deployment, Session, load_engines
from striate.files import write_atomic
from striate.nn.fuse import fold_batch_norm
from striate.nn.layout import channels_last, channels_last_module
from striate.run.engines.files import ENGINES
from striate.run.engines.measure import TORCH, EnginesMeasured, EngineTimes, times
from striate.run.engines.measure import Timing as EngineTiming
from striate.transfer.features import prepare

NETWORKS: Final = ("resnet50", "convnext_tiny", "efficientnet_lite0", "vgg16", "vit_s_16")
BATCHES: Final = (1, 16)
SIZE: Final = 224
TOLERANCE: Final = 1e-4
"""Difference of a logit, relative to the largest, up to which a contender is the same network."""

Answer = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Logits(nn.Module):
    """A network as an engine's file takes it: a tuple of outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.network(x),)


def striates(network: nn.Module, images: Tensor, folder: Path) -> dict[str, Answer]:
    """The engines that Striate chooses from, as it makes them ready."""
    folded = fold_batch_norm(network, images[:1])
    deployment = Deployment(
        module=Logits(folded).eval(),
        example=torch.zeros(2, *images.shape[1:]),
        input_name="x",
        output_names=("logits",),
        card={},
    )
    found: dict[str, Answer] = {TORCH: of_module(prepare(network, images[:1], torch.float32))}
    for name in ENGINES:
        engine = load_engines().get(name)
        path = folder / f"striate{engine.suffix}"
        engine.write(deployment, path)
        found[name] = partial(first, engine.load(path))
    return found


def plain(network: nn.Module, images: Tensor, folder: Path) -> dict[str, Answer]:
    """The engines as a user without Striate has them, in float32."""
    path, threads = folder / "plain.onnx", torch.get_num_threads()
    torch.onnx.export(network, (images[:1],), path, input_names=["x"], dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return {
        "eager": of_module(network, contiguous=True),
        "eager, channels last": of_module(channels_last_module(copy.deepcopy(network))),
        "compile": of_module(torch.compile(network), contiguous=True),
        "onnxruntime": lambda x: session.run(None, {"x": x})[0],
        "openvino": of_openvino(path, "f32"),
    }


def narrow(network: nn.Module, images: Tensor, folder: Path) -> dict[str, Answer]:
    """What is told for comparison alone."""
    ready = prepare(network, images[:1], torch.bfloat16)
    return {
        "torch bfloat16": of_module(ready, dtype=torch.bfloat16),
        "openvino bfloat16": of_openvino(folder / "plain.onnx", "bf16"),
    }


def of_module(
    module: nn.Module, *, dtype: torch.dtype = torch.float32, contiguous: bool = False
) -> Answer:
    """A torch network as the other engines are called."""

    def answer(given: NDArray[np.float32]) -> NDArray[np.float32]:
        x = torch.from_numpy(given)
        with torch.inference_mode():
            found: Tensor = module(x if contiguous else channels_last(x.to(dtype)))
        return found.float().numpy()

    return answer


def of_openvino(path: Path, precision: str) -> Answer:
    """An ONNX file in OpenVINO."""
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    model = openvino.Core().compile_model(path, "CPU", options)
    return lambda x: np.array(model(x)[0])


def first(session: Session, given: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logits of a session."""
    return session(given)[0]


def chosen(answers: dict[str, Answer], x: NDArray[np.float32]) -> str:
    """The engine that `striate engines RUN --measure` would take for such batches."""
    batch, engines = len(x), []
    for name, milliseconds in times(answers, x).items():
        p50, p99 = np.percentile(milliseconds, (50, 99))
        timing = EngineTiming(
            batch=batch,
            p50=p50,
            p99=p99,
            items_per_second=1e3 * batch / p50,
            calls=len(milliseconds),
        )
        engines.append(EngineTimes(name=name, timings=(timing,), agrees=True))
    found = EnginesMeasured(run="", machine={}, shape=x.shape[1:], engines=tuple(engines))
    return found.fastest(batch)


def measure(name: str, batch: int, size: int, rounds: int, folder: Path) -> dict[str, Any]:
    """The row of a network and a batch; the engines' files lie in the folder."""
    before = load()
    keep_freed_memory()
    torch.manual_seed(0)
    network = striate.create_model(name, weights=None, input_size=size).eval()
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))
    x = images.numpy()
    ours = striates(network, images, folder)
    theirs = plain(network, images, folder)
    others = narrow(network, images, folder)
    expected = theirs["eager"](x)
    for who, answer in (ours | theirs).items():
        apart = np.abs(answer(x) - expected).max() / np.abs(expected).max()
        if apart > TOLERANCE:
            raise SystemExit(f"{who} answers otherwise for {name}: {apart:.1e}")
    choice = chosen(ours, x)
    candidates = {f"Striate ({choice})": ours[choice]} | theirs | others
    contenders = [
        Contender(name=who, run=partial(answer, x), items=batch)
        for who, answer in candidates.items()
    ]
    mine, *peers = timed_in_turns(contenders, rounds=rounds)
    best = max((peer for peer in peers if peer.name in theirs), key=_rate)
    return {
        "network": name,
        "batch": batch,
        "size": size,
        "chosen": choice,
        "best_of_the_others": best.name,
        "ratio": round(_rate(mine) / _rate(best), 3),
        "images_per_second": {one.name: round(_rate(one), 2) for one in (mine, *peers)},
        "largest_bfloat16_difference": {
            who: float(np.abs(answer(x) - expected).max() / np.abs(expected).max())
            for who, answer in others.items()
        },
        "machine": {**machine(), "load": f"{before} before, {load()} after"},
    }


def _rate(timing: Timing) -> float:
    return timing.items_per_second


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--row", nargs=2, metavar=("NETWORK", "BATCH"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    size, rounds = (64, 2) if given.quick else (SIZE, 7)
    rows = json.loads(given.json.read_text()) if given.json.exists() else []
    if given.row:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(given.row[0], int(given.row[1]), size, rounds, Path(folder)))
        write_atomic(given.json, json.dumps(rows, indent=2).encode())
        return
    there = {(row["network"], row["batch"], row["size"]) for row in rows}
    failed = False
    for name in given.networks:
        for batch in given.batches:
            if (name, batch, size) not in there:
                again = [sys.executable, __file__, *(arguments or sys.argv[1:])]
                code = subprocess.run([*again, "--row", name, str(batch)], check=False).returncode
                failed |= bool(code)
    print("| network | batch | chosen | best of the others | ratio | load |")
    print("|---|---:|---|---|---:|---|")
    for row in json.loads(given.json.read_text()) if given.json.exists() else []:
        cells = [row[key] for key in ("network", "batch", "chosen", "best_of_the_others", "ratio")]
        print(f"| {' | '.join(map(str, cells))} | {row['machine']['load']} |")
    sys.exit(failed)


if __name__ == "__main__":
    main()
