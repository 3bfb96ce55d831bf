"""Hydra: in groups of random kernels, how often each answers the strongest, and the weakest.

Dempster, Schmidt and Webb, Hydra: Competing Convolutional Kernels for Fast and Accurate Time Series
Classification, Data Mining and Knowledge Discovery 2023, arXiv:2203.13652. Kernels of length 9 with
random weights of mean 0 lie in groups of eight. At each place the kernel of the largest output is
given that output, and the one of the smallest a count. Half of the groups see the series, half its
differences, each group at every dilation that is a power of two. Of several channels each group sees
the sum of a random few. The sums are square roots here, as the authors' scaling takes them.

A kernel of mean 0 is computed as one of the differences between neighbouring taps, so that its
output for a flat stretch is 0 exactly: else rounding would choose the strongest there.

Series only, of one length.

Axes: n items, c channels, l places, g groups, k kernels of a group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork, require_counts
from striate.models.rocket.minirocket import KERNEL_SIZE

MOST_CHANNELS: Final = 8
"""Largest number of channels that a group sees."""

CHUNK: Final = 1 << 21
"""Outputs compared with each other at once."""


@dataclass(frozen=True, kw_only=True)
class HydraConfig(GridConfig):
    """Hydra; `input_size` is the series' length.

    Attributes:
        num_groups: Number of groups at each dilation, even: half of them are of the differences.
        group_size: Number of kernels in a group.
    """

    built_for_size: ClassVar[bool] = True

    rank: int = 1
    in_channels: int = 1
    num_groups: int = 64
    group_size: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "num_groups", "group_size")
        if self.num_groups % 2:
            raise ArgumentError(f"num_groups={self.num_groups}", why="it must be even")
        if self.input_size <= KERNEL_SIZE:
            raise ArgumentError(
                f"input_size={self.input_size}",
                why=f"a series needs {KERNEL_SIZE + 1} samples at least",
            )


class HydraFeatures(nn.Module):
    """What the kernels of each group win, as square roots.

    Features are ordered by dilation, series or differences, largest or smallest, group and kernel.

    Args:
        length: Number of places of the series.
        in_channels: Number of its channels.
        num_groups: Number of groups at each dilation.
        group_size: Number of kernels in a group.

    Attributes:
        weights: (dilations, 2, g / 2, k, 9) The kernels, to be set by `fit`.
        channels: (dilations, 2, g / 2, c) How often a group counts a channel.
        num_features: Given for an item.
    """

    weights: Tensor
    channels: Tensor

    def __init__(self, length: int, in_channels: int, num_groups: int, group_size: int) -> None:
        super().__init__()
        steps = int(np.log2((length - 1) / (KERNEL_SIZE - 1))) + 1
        self.dilations = tuple(2**step for step in range(steps))
        shape = (steps, 2, num_groups // 2)
        self.register_buffer("weights", torch.zeros(*shape, group_size, KERNEL_SIZE))
        self.register_buffer("channels", torch.ones(*shape, in_channels))
        self.num_features = 2 * self.weights[..., 0].numel()

    def fit(self, draw: np.random.Generator) -> None:
        """Draw the kernels, and the channels that their groups see."""
        weights = draw.standard_normal(tuple(self.weights.shape))
        weights -= weights.mean(-1, keepdims=True)
        weights /= np.abs(weights).sum(-1, keepdims=True)
        self.weights.copy_(torch.from_numpy(weights))
        channels = self.channels.shape[-1]
        if channels > 1:
            count = min(max(channels // 2, 2), MOST_CHANNELS)
            seen = draw.integers(channels, size=(*self.channels.shape[:-1], count))
            times = (seen[..., None] == np.arange(channels)).sum(-2)
            self.channels.copy_(torch.from_numpy(times))

    def forward(self, x: Float[Tensor, "n c l"]) -> Float[Tensor, "n f 1"]:
        """The features, as maps of one place."""
        if torch.compiler.is_exporting():  # into a graph for any number of items
            return self._features(x)[..., None]
        outputs = self.weights[0, 0, ..., 0].numel() * x.shape[-1]
        parts = torch.split(x, max(1, CHUNK // outputs))
        return torch.cat([self._features(part) for part in parts])[..., None]

    def _features(self, x: Float[Tensor, "n c l"]) -> Float[Tensor, "n f"]:
        series = (x, x[..., 1:] - x[..., :-1])
        found = [
            won
            for step in range(len(self.dilations))
            for part in range(len(series))
            for won in wins(self.outputs(series[part], step, part))
        ]
        return torch.stack(found, 1).flatten(1).sqrt()

    def outputs(self, x: Float[Tensor, "n c l"], step: int, part: int) -> Float[Tensor, "n g k l"]:
        """All kernels' outputs at one dilation, zeros beyond the ends.

        Args:
            x: The series, or its differences.
            step: Number of the dilation.
            part: 0 for the kernels of the series, 1 for those of its differences.
        """
        dilation, weights = self.dilations[step], self.weights[step, part]
        groups, size, _ = weights.shape
        x = F.pad(x, (4 * dilation, 4 * dilation))
        x = x[..., :-dilation] - x[..., dilation:]
        taps = weights.cumsum(-1)[..., :-1].flatten(0, 1)[:, None]
        if x.shape[1] > 1:
            x = torch.einsum("ncl,gc->ngl", x, self.channels[step, part])
        outputs = F.conv1d(x, taps, dilation=dilation, groups=x.shape[1])
        return outputs.view(-1, groups, size, outputs.shape[-1])


def wins(outputs: Float[Tensor, "n g k l"]) -> tuple[Tensor, Tensor]:
    """For each kernel the sum of outputs where it is the largest, and how often it is the smallest.

    Both are (n, g, k). A sum below 0 is 0.
    """
    largest, strongest = outputs.max(2)
    weakest = outputs.min(2).indices
    won = torch.zeros_like(outputs[..., 0])
    sums = won.scatter_add(-1, strongest, largest).relu()
    return sums, won.scatter_add(-1, weakest, torch.ones_like(largest))


class Hydra(GridNetwork):
    """What competing random kernels win, and a linear layer on it.

    Kernels are zero until `fit_features` or saved weights set them.
    """

    config: HydraConfig
    stem: HydraFeatures
    fits_features = True

    def __init__(self, config: HydraConfig) -> None:
        stem = HydraFeatures(
            config.input_size, config.in_channels, config.num_groups, config.group_size
        )
        super().__init__(config, stem=stem, stages=[], num_features=stem.num_features)
        self.min_size = 8 * stem.dilations[-1] + 1

    def fit_features(self, inputs: Float[Tensor, "n c l"], seed: int) -> None:
        """Draw the kernels; the items are not looked at."""
        self.stem.fit(np.random.default_rng(seed))


VARIANTS: Final = {"hydra": HydraConfig()}

register("hydra", VARIANTS, Hydra, ranks=(1,))
