"""Answers of a run or a network, by torch and the other engines that are installed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from striate.bench.benchmark import BENCHMARKS, Benchmark, Found, Table
from striate.bench.subjects.features import timm_network
from striate.bench.turns import Contender, Timing, timed_in_turns
from striate.device import fast_dtype
from striate.errors import ArgumentError
from striate.models import GridNetwork, create_model
from striate.nn.layout import channels_last
from striate.run.engines.measure import BATCHES, measure
from striate.run.run import Run
from striate.transfer.features import prepare

NETWORK = "efficientnet_lite0"

BATCH = 8


class Predict(Benchmark):
    """Answers on the processor, reading items left out."""

    name = "predict"
    description = "answers of a run by each installed engine, or of a network against timm"
    takes = f"a run folder, or a network of images, by default {NETWORK}"

    def measure(self, subject: str | None, *, rounds: int) -> Found:
        """Time them; of a run the engines take turns as `striate engines RUN --measure` has them."""
        if subject is not None and Path(subject).is_dir():
            return _of_run(Run(Path(subject), device="cpu"))
        return _of_network(subject or NETWORK, rounds)


def _of_run(run: Run) -> Found:
    """The engine that Striate takes, then every engine and torch."""
    found = measure(run)
    tables = []
    for batch in BATCHES:
        rows = [
            Timing(
                name=engine.name,
                items_per_second=timing.items_per_second,
                slowest=1e3 * batch / timing.p99,
                fastest=timing.items_per_second,
            )
            for engine in found.engines
            for timing in engine.timings
            if timing.batch == batch
        ]
        chosen = next(row for row in rows if row.name == found.fastest(batch))
        title = f"answers of {found.run}, {batch} at a time; first the engine that Striate takes"
        remarks = ["the slowest is that of which one call in a hundred is slower"]
        tables.append(Table(title=title, unit="items", timings=[chosen, *rows], remarks=remarks))
    left_out = [f"{engine.name}: {engine.why_not}" for engine in found.engines if engine.why_not]
    return Found(tables=tables, left_out=left_out)


def _of_network(name: str, rounds: int) -> Found:
    torch.manual_seed(0)
    network = create_model(name).eval()
    if not isinstance(network, GridNetwork) or network.config.rank != 2:
        raise ArgumentError(
            f"{name} takes no images", fix="give a run folder, or a network of images"
        )
    side, dtype = network.config.input_size, fast_dtype("cpu")
    images = torch.randn(BATCH, network.config.in_channels, side, side)
    ready, narrow = prepare(network, images, dtype), channels_last(images.to(dtype))
    modules = [("Striate", ready, narrow), ("torch, plain", network, images)]
    theirs, why_not = timm_network(name, with_head=True)
    if theirs is not None:
        modules.append(("timm", theirs, images))

    def answering(module: torch.nn.Module, inputs: torch.Tensor) -> object:
        with torch.inference_mode():
            return module(inputs)

    contenders = [
        Contender(name=who, run=partial(answering, module, inputs), items=BATCH)
        for who, module, inputs in modules
    ]
    table = Table(
        title=f"answers of {name}, {BATCH} at a time at {side} pixels; Striate in "
        f"{str(dtype).removeprefix('torch.')}, the others in float32",
        unit="images",
        timings=timed_in_turns(contenders, rounds=rounds),
    )
    return Found(tables=[table], left_out=[why_not] if why_not else [])


BENCHMARKS.add(Predict.name, Predict())
