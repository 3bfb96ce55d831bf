"""MultiRocket: four statistics of MiniRocket's kernels, on a series and on its differences.

Tan, Dempster, Bergmeir and Webb, MultiRocket: Multiple Pooling Operators and Transformations for
Fast and Effective Time Series Classification, Data Mining and Knowledge Discovery 2022,
arXiv:2102.00457. Of where a kernel's output exceeds a bias there are four statistics: the share of
those places, the longest stretch of them, the mean excess there, and their mean position.

Series only, of one length, as for MiniRocket, whose kernels, dilations and biases these are.

Axes: n items, c channels, l places, k kernels, q biases of a kernel at one dilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork
from striate.models.rocket.minirocket import KERNEL_SIZE, TRIPLES, DilatedKernels, dilations

STATISTICS: Final = ("share", "stretch", "excess", "position")
"""What is taken of each kernel and bias, in the order of the features."""

CHUNK: Final = 1 << 19
"""Outputs compared with a bias at once: as many as stay in a processor's cache."""


@dataclass(frozen=True, kw_only=True)
class MultiRocketConfig(GridConfig):
    """MultiRocket; `input_size` is the series' length.

    Attributes:
        num_kernel_features: Number of biases of all kernels, of the series and again of its
            differences, which is rounded down to a multiple of 84.
    """

    built_for_size: ClassVar[bool] = True

    rank: int = 1
    in_channels: int = 1
    num_kernel_features: int = 6250

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.input_size <= KERNEL_SIZE:
            raise ArgumentError(
                f"input_size={self.input_size}",
                why=f"a series needs {KERNEL_SIZE + 1} samples at least",
            )
        if self.num_kernel_features < len(TRIPLES):
            raise ArgumentError(
                f"num_kernel_features={self.num_kernel_features}", why=f"{len(TRIPLES)} at least"
            )


class KernelStatistics(DilatedKernels):
    """Four statistics of where each kernel's output exceeds each of its biases.

    Features are ordered by statistic (`STATISTICS`), then as the biases.
    """

    def forward(self, x: Float[Tensor, "n c l"]) -> Float[Tensor, "n f"]:
        """The features."""
        found: list[list[Tensor]] = [[] for _ in STATISTICS]
        start = 0
        for step, (_, count) in enumerate(self.plan):
            stop = start + len(TRIPLES) * count
            biases = self.biases[start:stop].view(len(TRIPLES), count, 1)
            outputs = self.outputs(x, step)
            together = self._together(outputs, count)
            parts = [self._described(part, biases, step) for part in together]
            for kept, *pieces in zip(found, *parts, strict=True):
                kept.append(torch.cat(pieces))
            start = stop
        return torch.cat([part for kept in found for part in kept], 1)

    def _together(self, outputs: Float[Tensor, "n k l"], count: int) -> Sequence[Tensor]:
        """The outputs in as many items as are described at once, with so many biases a kernel."""
        if torch.compiler.is_exporting():  # into a graph for any number of items
            return (outputs,)
        size = max(1, CHUNK // (len(TRIPLES) // 2 * count * outputs.shape[-1]))
        return torch.split(outputs, size)

    def _described(self, outputs: Tensor, biases: Tensor, step: int) -> list[Tensor]:
        """Each statistic, (n, k * q): of the kernels of even and of odd number, interleaved."""
        margin = 4 * self.plan[step][0]
        inner = outputs[..., margin : outputs.shape[-1] - margin]
        seen = (outputs, inner) if step % 2 == 0 else (inner, outputs)
        halves = [
            statistics(part[:, first::2, None, :] - biases[first::2])
            for first, part in enumerate(seen)
        ]
        return [torch.stack(pair, 2).flatten(1) for pair in zip(*halves, strict=True)]


def statistics(excess: Float[Tensor, "n k q l"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`STATISTICS` of each row of outputs less their bias, each (n, k, q).

    A stretch is measured as the authors do, from the last place before it to the first behind it.
    Where no place is above the bias the mean excess is 0 and the mean position -1.
    """
    length = excess.shape[-1]
    places = torch.arange(length, device=excess.device, dtype=excess.dtype)
    above = excess.sign().relu()
    count = above.sum(-1)
    some = count.clamp(min=1)
    position = torch.where(count > 0, (places * above).sum(-1) / some, -1)
    return count / length, longest_stretch(above), excess.relu().sum(-1) / some, position


def longest_stretch(above: Float[Tensor, "*rows l"]) -> Float[Tensor, "*rows"]:
    """The longest stretch of ones in each row of zeros and ones, as `statistics` measures it."""
    length = above.shape[-1]
    # Small numbers are quicker, but not every engine takes them.
    small = not torch.compiler.is_exporting() and length <= torch.iinfo(torch.int16).max
    dtype = torch.int16 if small else torch.int32
    places = torch.arange(length, device=above.device, dtype=dtype)
    last = places - places * above.to(dtype)
    reach = 1
    while reach < length:  # the running maximum, over twice as many places each time
        last = torch.cat(
            [last[..., :reach], torch.maximum(last[..., reach:], last[..., :-reach])], -1
        )
        reach *= 2
    ends = last[..., :-1] if length > 1 else last
    return (places[-ends.shape[-1] :] - ends).amax(-1).to(above.dtype)


class MultiRocketFeatures(nn.Module):
    """The statistics of a series, then those of its differences from place to place.

    Args:
        length: Number of places of the series.
        in_channels: Number of its channels.
        num_kernel_features: Number of biases; see `MultiRocketConfig`.

    Attributes:
        num_features: Given for an item.
        min_size: Places that a series must have: the longest kernel fits into its differences.
    """

    def __init__(self, length: int, in_channels: int, num_kernel_features: int) -> None:
        super().__init__()
        plans = [dilations(size, num_kernel_features) for size in (length, length - 1)]
        self.parts = nn.ModuleList(KernelStatistics(plan, in_channels) for plan in plans)
        self.num_features = sum(len(STATISTICS) * len(part.biases) for part in self._parts)
        self.min_size = 8 * max(dilation for plan in plans for dilation, _ in plan) + 2

    @property
    def _parts(self) -> list[KernelStatistics]:
        return [part for part in self.parts if isinstance(part, KernelStatistics)]

    def fit(self, inputs: Float[Tensor, "n c l"], draw: np.random.Generator) -> None:
        """Set the biases from training items; see `DilatedKernels.fit`."""
        for part, series in zip(self._parts, (inputs, inputs.diff(dim=-1)), strict=True):
            part.fit(series, draw)

    def forward(self, x: Float[Tensor, "n c l"]) -> Float[Tensor, "n f 1"]:
        """The features, as maps of one place."""
        differences = x[..., 1:] - x[..., :-1]
        return torch.cat([self.parts[0](x), self.parts[1](differences)], 1)[..., None]


class MultiRocket(GridNetwork):
    """Four statistics of fixed kernels and a linear layer on them.

    Biases are zero until `fit_features` or saved weights set them.
    """

    config: MultiRocketConfig
    stem: MultiRocketFeatures
    fits_features = True

    def __init__(self, config: MultiRocketConfig) -> None:
        stem = MultiRocketFeatures(
            config.input_size, config.in_channels, config.num_kernel_features
        )
        super().__init__(config, stem=stem, stages=[], num_features=stem.num_features)
        self.min_size = stem.min_size

    def fit_features(self, inputs: Float[Tensor, "n c l"], seed: int) -> None:
        """Set the biases, and the channels that the kernels see; see `DilatedKernels.fit`."""
        self._check_input(inputs)
        self.stem.fit(inputs, np.random.default_rng(seed))


VARIANTS: Final = {"multirocket": MultiRocketConfig()}

register("multirocket", VARIANTS, MultiRocket, ranks=(1,))
