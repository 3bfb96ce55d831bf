"""Kernels with a name, and pictures filtered with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from striate.geometry import Padding
from striate.ops.convolution import convolve
from striate.ops.pool import avg_pool, max_pool
from striate.ops.tracing import parse_pool

NAMED_KERNELS: Final[Mapping[str, tuple[tuple[float, ...], ...]]] = {
    "edge": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
    "blur": ((1 / 16, 2 / 16, 1 / 16), (2 / 16, 4 / 16, 2 / 16), (1 / 16, 2 / 16, 1 / 16)),
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "emboss": ((-2, -1, 0), (-1, 1, 1), (0, 1, 2)),
}
"""`edge` is a Laplacian (sum 0); the others keep the brightness (sum 1)."""


def filter_picture(
    pixels: UInt8[Tensor, "c height width"],
    kernel: Float[Tensor, "rows columns"],
    stride: int = 1,
    padding: Padding = 0,
    dilation: int = 1,
    pool: str | None = None,
) -> UInt8[Tensor, "c out_height out_width"]:
    """Convolve every channel with the same kernel; results are rounded and clipped to 0..255.

    Args:
        pixels: The picture.
        kernel: Weights of the window.
        stride: Pixels from one output to the next.
        padding: See `striate.geometry.plan_windows`. Padded positions are black.
        dilation: Pixels from one tap to the next.
        pool: Pooling of the result, `max2` or `avg2` (any size); None for none.

    Raises:
        ArgumentError: The picture is too small, or an argument is out of range.
    """
    channels = len(pixels)
    weight = kernel.double().expand(channels, 1, *kernel.shape)
    y = convolve(
        pixels[None].double(),
        weight,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=channels,
    )
    if pool is not None:
        kind, size = parse_pool(pool)
        y = (max_pool if kind == "max" else avg_pool)(y, size)
    return y[0].round().clamp(0, 255).to(torch.uint8)
