"""Frozen features of images, beside a plain loop, timm and the engines that are installed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch
from torch import Tensor, nn

from striate.bench.benchmark import BENCHMARKS, Benchmark, Found, Table
from striate.bench.turns import Contender, timed_in_turns
from striate.device import fast_dtype
from striate.engines import Deployment, Session, load_engines
from striate.errors import ArgumentError, EngineError, one_line
from striate.models import GridNetwork, create_model
from striate.nn.layout import channels_last
from striate.transfer.features import PooledFeatures, prepare

NETWORK: Final = "efficientnet_lite0"

BATCH: Final = 8


class Features(Benchmark):
    """Pooled features of one network."""

    name = "features"
    description = "frozen features of images, against a plain loop in torch, timm and other engines"
    takes = f"a network of images, by default {NETWORK}"

    def measure(self, subject: str | None, *, rounds: int) -> Found:
        """Time them at the size of the network, of the same random weights where that is possible."""
        name = subject or NETWORK
        torch.manual_seed(0)
        network = create_model(name).eval()
        if not isinstance(network, GridNetwork) or network.config.rank != 2:
            raise ArgumentError(f"{name} takes no images", fix=f"choose another, such as {NETWORK}")
        side, dtype = network.config.input_size, fast_dtype("cpu")
        images = torch.randn(BATCH, network.config.in_channels, side, side)
        pooled = PooledFeatures(network)
        ready, narrow = prepare(pooled, images, dtype), channels_last(images.to(dtype))
        contenders = [
            Contender(name="Striate", run=_frozen(ready, narrow), items=BATCH),
            Contender(name="torch, plain", run=_frozen(pooled, images), items=BATCH),
        ]
        with torch.inference_mode():
            whole, found = pooled(images), ready(narrow).float()
        likeness = float(nn.functional.cosine_similarity(whole, found).min())
        theirs, why_not = timm_network(name)
        if theirs is not None:
            contenders.append(Contender(name="timm", run=_frozen(theirs, images), items=BATCH))
        others, remarks, left_out = _engines(pooled, images)
        contenders += others
        table = Table(
            title=f"features of {name}, batches of {BATCH} at {side} pixels; Striate in "
            f"{str(dtype).removeprefix('torch.')}, the others in float32",
            unit="images",
            timings=timed_in_turns(contenders, rounds=rounds),
            remarks=[
                f"Striate's features beside torch's: lowest cosine {likeness:.5f}",
                *remarks,
            ],
        )
        return Found(tables=[table], left_out=[*([why_not] if why_not else []), *left_out])


def timm_network(name: str, *, with_head: bool = False) -> tuple[nn.Module | None, str]:
    """timm's network of a name, or why there is none.

    Args:
        name: Name of the network.
        with_head: Whether with its last layer.
    """
    try:
        import timm
    except ImportError:
        return None, "timm is not installed"
    if name not in timm.list_models():
        return None, f"timm has no network {name}"
    if with_head:
        return timm.create_model(name).eval(), ""
    return timm.create_model(name, num_classes=0).eval(), ""


class _Named(nn.Module):
    """Features as the one output of a file."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        return (self.features(inputs),)


def _engines(features: nn.Module, images: Tensor) -> tuple[list[Contender], list[str], list[str]]:
    """The engines that are installed, what making their files took, and why others are left out."""
    contenders, remarks, left_out = [], [], []
    deployment = Deployment(
        module=_Named(features).eval(),
        example=images[:2],
        input_name="inputs",
        output_names=("features",),
        card={},
    )
    # What an engine needs of its file is read, or held open, once it is loaded.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, engine in load_engines().items():
            if missing := engine.missing():
                left_out.append(f"{name}: {missing[0]} is not installed")
                continue
            path = Path(folder) / f"features{engine.suffix}"
            began = time.perf_counter()
            try:
                engine.write(deployment, path)
                session = engine.load(path)
            except EngineError as error:
                left_out.append(f"{name}: {one_line(str(error))}")
                continue
            seconds = time.perf_counter() - began
            remarks.append(f"{name}: the file was written and opened in {seconds:.1f} s")
            contenders.append(Contender(name=name, run=_answering(session, images), items=BATCH))
    return contenders, remarks, left_out


def _answering(session: Session, images: Tensor) -> Callable[[], object]:
    given = images.numpy()
    return lambda: session(given)


def _frozen(module: nn.Module, inputs: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.inference_mode():
            found: Tensor = module(inputs)
        return found

    return run


BENCHMARKS.add(Features.name, Features())
