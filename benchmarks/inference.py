"""Three networks in evaluation, Striate's and timm's with the same weights: images a second.

    python benchmarks/inference.py [--device cuda] [--batch 64] [--size 224] [--quick] [--json FILE]

Both take turns in one run: medians of rounds of calls back to back, inputs on the device, channels
last, in the device's fast precision (Striate's as it predicts: batch norms folded; timm's under
autocast, as it comes). The difference is of float32 outputs, relative to the largest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import striate
from striate.device import fast_dtype, keep_freed_memory
from striate.nn.layout import channels_last, channels_last_module
from striate.transfer.features import prepare

NETWORKS: Final = ("resnet50", "convnext_tiny", "efficientnet_b0")
ROUNDS: Final = 7
SECONDS_A_ROUND: Final = 0.3


def pair(name: str, device: torch.device) -> tuple[nn.Module, nn.Module]:
    """Striate's network and timm's, of the same random weights."""
    torch.manual_seed(0)
    theirs = timm.create_model(name).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_file(theirs.state_dict(), path)
        ours = striate.create_model(name, weights=path).eval()
    return ours.to(device), channels_last_module(theirs.to(device))


def measure(name: str, options: argparse.Namespace) -> dict[str, object]:
    """Images a second of both, and how far their outputs are apart."""
    device = torch.device(options.device)
    dtype = fast_dtype(device.type)
    ours, theirs = pair(name, device)
    generator = torch.Generator().manual_seed(1)
    shape = (options.batch, 3, options.size, options.size)
    images = channels_last(torch.randn(shape, generator=generator).to(device))
    with torch.inference_mode():
        expected = theirs(images)
        apart = (ours(images) - expected).abs().max() / expected.abs().max()
        ready, narrow = prepare(ours, images, dtype), images.to(dtype)

        def timms() -> Tensor:
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                return theirs(images)

        ours_took, theirs_took = milliseconds([lambda: ready(narrow), timms], device)
    return {
        "network": name,
        "batch": options.batch,
        "size": options.size,
        "dtype": str(dtype).removeprefix("torch."),
        "striate_images_per_second": round(1e3 * options.batch / ours_took, 1),
        "timm_images_per_second": round(1e3 * options.batch / theirs_took, 1),
        "times_as_fast": round(theirs_took / ours_took, 3),
        "largest_difference": float(apart),
    }


def milliseconds(runs: Sequence[Callable[[], Tensor]], device: torch.device) -> list[float]:
    """The median time of one call of each, taken in turns."""
    taken: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
        run()
    once = [_time(run, 1, device) for run in runs]
    calls = [max(1, min(200, int(SECONDS_A_ROUND / seconds))) for seconds in once]
    for _ in range(ROUNDS):
        for run, count, times in zip(runs, calls, taken, strict=True):
            times.append(1e3 * _time(run, count, device))
    return [statistics.median(times) for times in taken]


def _time(run: Callable[[], Tensor], calls: int, device: torch.device) -> float:
    """Seconds of a call."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(calls):
        run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return max((time.perf_counter() - began) / calls, 1e-9)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--quick", action="store_true", help="small pictures, in batches of two")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    options = parser.parse_args(arguments)
    if options.quick:
        options.batch, options.size = 2, 64
    keep_freed_memory()
    rows = []
    print("| network | type | Striate, images/s | timm, images/s | times as fast | difference |")
    print("|---|---|---:|---:|---:|---:|")
    for name in NETWORKS:
        row = measure(name, options)
        rows.append(row)
        print(
            f"| {name} | {row['dtype']} | {row['striate_images_per_second']} | "
            f"{row['timm_images_per_second']} | {row['times_as_fast']} | "
            f"{row['largest_difference']:.1e} |",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
