"""A convolution step by step: every window, its products and their sum."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from jaxtyping import Shaped
from torch import Tensor

from striate.errors import ArgumentError
from striate.geometry import Padding, Window, plan_windows
from striate.ops.convolution import sliding_windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One place of the window.

    Attributes:
        position: Where the output is in the feature map.
        origin: Where the window's first tap is in the input; negative in the padding.
        window: (*taps) What the window holds.
        products: (*taps) The window times the kernel.
        total: The sum of the products.
    """

    position: tuple[int, ...]
    origin: tuple[int, ...]
    window: Tensor
    products: Tensor
    total: float


@dataclass(frozen=True, kw_only=True, eq=False)
class PoolStep:
    """One pooled window of the feature map.

    Attributes:
        position: Where the output is in the pooled map.
        window: (*taps) The part of the feature map.
        value: Its maximum or mean.
    """

    position: tuple[int, ...]
    window: Tensor
    value: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """A convolution of one channel, and the pooling after it.

    Attributes:
        image: (*space) The input.
        kernel: (*taps) The weights.
        windows: The window that slides along each axis, padding included.
        feature_map: (*out_space) The sums.
        pool: Kind of the pooling (`max` or `avg`) and its size; None without pooling.
        pooled: (*pooled_space) The pooled map; None without pooling.
    """

    image: Tensor
    kernel: Tensor
    windows: tuple[Window, ...]
    feature_map: Tensor
    pool: tuple[str, int] | None = None
    pooled: Tensor | None = None

    def steps(self) -> Iterator[Step]:
        """Every place of the window, the last axis fastest."""
        patches = sliding_windows(self.image[None, None], self.windows)[0, 0]
        for position in product(*map(range, self.feature_map.shape)):
            window = patches[position]
            yield Step(
                position=position,
                origin=tuple(
                    i * w.stride - w.low for i, w in zip(position, self.windows, strict=True)
                ),
                window=window,
                products=window * self.kernel,
                total=self.feature_map[position].item(),
            )

    def pool_steps(self) -> Iterator[PoolStep]:
        """Every pooled window of the feature map; none without pooling."""
        if self.pool is None or self.pooled is None:
            return
        patches = _pool_patches(self.feature_map, self.pool[1])
        for position in product(*map(range, self.pooled.shape)):
            value = self.pooled[position].item()
            yield PoolStep(position=position, window=patches[position], value=value)


def trace(
    image: Shaped[Tensor, "*space"],
    kernel: Shaped[Tensor, "*taps"],
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    pool: str | None = None,
) -> Trace:
    """Convolve one channel with one kernel and keep what every step does.

    Args:
        image: The input, of any rank, whole numbers or not.
        kernel: The weights, of the same rank.
        stride: Positions from one output to the next, for all axes or for each.
        padding: See `striate.geometry.plan_windows`. Padded positions hold 0.
        dilation: Distance between taps, for all axes or for each.
        pool: `max2` or `avg2` (any size): the feature map is pooled in windows of that size, side
            by side. None for none.

    Raises:
        ArgumentError: The ranks differ, the image is too small, or `pool` is not understood.

    >>> import torch
    >>> image = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 0, 1, 2]])
    >>> trace(image, torch.eye(2, dtype=torch.int64)).feature_map.tolist()
    [[7, 9, 11], [5, 7, 9]]
    """
    if image.ndim != kernel.ndim or image.ndim == 0:
        raise ArgumentError(
            f"kernel of {kernel.ndim} axes for an image of {image.ndim}",
            why="trace() convolves one channel with one kernel of as many axes",
        )
    plan = plan_windows(
        image.shape, kernel.shape, stride=stride, padding=padding, dilation=dilation
    )
    for size, window in zip(image.shape, plan, strict=True):
        window.output_size(size)
    patches = sliding_windows(image[None, None], plan)[0, 0]
    feature_map = (patches * kernel).flatten(-kernel.ndim).sum(-1)
    traced = Trace(image=image, kernel=kernel, windows=plan, feature_map=feature_map)
    if pool is None:
        return traced
    kind, size = parse_pool(pool)
    taps = _pool_patches(feature_map, size).flatten(-kernel.ndim)
    pooled = taps.amax(-1) if kind == "max" else taps.double().mean(-1)
    return replace(traced, pool=(kind, size), pooled=pooled)


def parse_pool(text: str) -> tuple[str, int]:
    """`max2` as ("max", 2).

    Raises:
        ArgumentError: The text is not `max` or `avg` and a size of at least 1.
    """
    match = re.fullmatch(r"(max|avg)([1-9]\d*)", text)
    if match is None:
        raise ArgumentError(f"pool={text!r}", fix="write max or avg and a size, as in max2")
    return match[1], int(match[2])


def _pool_patches(feature_map: Tensor, size: int) -> Tensor:
    plan = [Window(kernel_size=size, stride=size)] * feature_map.ndim
    for positions, window in zip(feature_map.shape, plan, strict=True):
        window.output_size(positions)
    return sliding_windows(feature_map[None, None], plan)[0, 0]
