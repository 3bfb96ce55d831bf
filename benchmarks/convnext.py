"""ConvNeXt-T trained with and without the depthwise kernels: losses, and milliseconds a step.

    python benchmarks/convnext.py [--device cpu] [--batch 8] [--size 96] [--steps 200] [--compile]

The same weights (timm's initialization, loaded into both), the same batches of noise in ten classes,
AdamW. Losses must differ by no more than rounding makes them: the control is the network without the
kernels, its weights moved by half a unit in the last place. float32 on a CPU, bfloat16 autocast with
channels last on a GPU, where `--batch 256 --size 224 --compile` is the setting of docs/performance-details.md.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

import striate
from striate.nn import conv

CLASSES = 10
WARM_UP = 5
"""First steps, which are not timed: compilers and caches."""


@dataclass(frozen=True)
class Trained:
    """What one run gives: the loss of each step, and the median time of a step in milliseconds."""

    losses: Tensor
    step: float


def torchs_own(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: object,
    padding: object,
    dilation: object,
) -> Tensor:
    """ConvNeXt's depthwise convolution by torch."""
    assert (stride, dilation) == (1, 1) or (stride, dilation) == ((1, 1), (1, 1))
    return F.conv2d(x, weight, bias, padding="same", groups=weight.shape[0])


def without_kernels() -> AbstractContextManager[object]:
    return mock.patch.object(conv, "depthwise", torchs_own)


def from_timm(weights: dict[str, Tensor]) -> nn.Module:
    model = timm.create_model("convnext_tiny", num_classes=CLASSES)
    model.load_state_dict(weights)
    return model


def from_striate(weights: dict[str, Tensor]) -> nn.Module:
    """Striate's network with timm's weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_file(weights, path)
        return striate.create_model("convnext_tiny", num_classes=CLASSES, weights=path)


def train(
    build: Callable[[dict[str, Tensor]], nn.Module],
    weights: dict[str, Tensor],
    options: argparse.Namespace,
) -> Trained:
    device = torch.device(options.device)
    model = build(weights).to(device, memory_format=torch.channels_last).train()
    run = torch.compile(model) if options.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    autocast: AbstractContextManager[object] = nullcontext()
    if device.type == "cuda":
        autocast = torch.autocast("cuda", torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    shape = (8 * options.batch, 3, options.size, options.size)
    labels = torch.randint(CLASSES, shape[:1], generator=generator).to(device)
    patterns = torch.randn(CLASSES, *shape[1:], generator=generator)
    images = torch.randn(shape, generator=generator) + 0.5 * patterns[labels.cpu()]
    images = images.to(device, memory_format=torch.channels_last)
    losses, times = [], []
    for step in range(options.steps):
        first = step % 8 * options.batch
        part = slice(first, first + options.batch)
        start = time.perf_counter()
        with autocast:
            loss = F.cross_entropy(run(images[part]).float(), labels[part])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return Trained(torch.stack(losses).cpu(), statistics.median(times[WARM_UP:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    on_gpu = options.device.startswith("cuda")
    name = torch.cuda.get_device_name() if on_gpu else platform.machine()
    print(f"{name}, {torch.get_num_threads()} threads; torch {torch.__version__}, {options}")
    torch.manual_seed(0)
    weights = timm.create_model("convnext_tiny", num_classes=CLASSES).state_dict()
    ulp = torch.finfo(torch.bfloat16 if on_gpu else torch.float32).eps / 2
    moved = {key: value * (1 + ulp * torch.randn_like(value)) for key, value in weights.items()}
    with without_kernels():
        plain = train(from_striate, weights, options)
        control = train(from_striate, moved, options)
    ours = train(from_striate, weights, options)
    timms = train(from_timm, weights, options)
    print("| run | ms a step | first loss | last loss | largest difference |")
    print("|---|---|---|---|---|")
    for title, run in {
        "torch's convolution": plain,
        "the same, weights rounded": control,
        "with the kernels": ours,
        "timm": timms,
    }.items():
        difference = (run.losses - plain.losses).abs().max().item()
        first, last = run.losses[0].item(), run.losses[-8:].mean().item()
        print(f"| {title} | {run.step:.1f} | {first:.4f} | {last:.4f} | {difference:.1e} |")


if __name__ == "__main__":
    main()
