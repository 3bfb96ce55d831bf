"""MiniRocket: ten thousand fixed features of a series, and a linear layer on them.

Dempster, Schmidt and Webb, MINIROCKET: A Very Fast (Almost) Deterministic Transform for Time Series
Classification, KDD 2021, arXiv:2012.08791. The 84 kernels are all those of length 9 with six
weights of -1 and three of 2. They are dilated in up to 32 steps over the series' length; a feature
is the share of places where a kernel's output exceeds a bias, and biases are quantiles of outputs
for training items, set by `fit_features`. Of several channels each kernel sees a random few.

Series only, of one length: the kernels' places and dilations belong to a series.

Axes: n items, c channels, l places, k the 84 kernels, q biases of a kernel at one dilation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork

KERNEL_SIZE: Final = 9
TRIPLES: Final = tuple(combinations(range(KERNEL_SIZE), 3))
"""Where the three weights of 2 stand, for each of the 84 kernels."""

MAX_DILATIONS: Final = 32
MAX_CHANNELS: Final = 9
"""Maximal number of channels that one kernel sees."""

GOLDEN_RATIO: Final = (5**0.5 + 1) / 2
MARGIN: Final = 1e-5
"""Share of the maximal input; the sum of nine products in float32 is right to a tenth of it."""

CHUNK: Final = 1 << 22
"""Outputs compared with a bias at once."""


@dataclass(frozen=True, kw_only=True)
class MiniRocketConfig(GridConfig):
    """MiniRocket; `input_size` is the series' length.

    Attributes:
        num_kernel_features: Number of features, which is rounded down to a multiple of 84.
    """

    built_for_size: ClassVar[bool] = True

    rank: int = 1
    in_channels: int = 1
    num_kernel_features: int = 9996

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.input_size < KERNEL_SIZE:
            raise ArgumentError(
                f"input_size={self.input_size}",
                why=f"a series needs {KERNEL_SIZE} samples at least",
            )
        if self.num_kernel_features < len(TRIPLES):
            raise ArgumentError(
                f"num_kernel_features={self.num_kernel_features}", why=f"{len(TRIPLES)} at least"
            )

    @property
    def plan(self) -> tuple[tuple[int, int], ...]:
        """Each dilation with the number of biases that every kernel has there."""
        return dilations(self.input_size, self.num_kernel_features)


def dilations(length: int, num_features: int) -> tuple[tuple[int, int], ...]:
    """Dilations spread in powers over a length, each with its number of biases a kernel.

    >>> dilations(24, 9996)
    ((1, 79), (2, 40))
    """
    per_kernel = num_features // len(TRIPLES)
    steps = min(per_kernel, MAX_DILATIONS)
    exponents = np.linspace(0, np.log2((length - 1) / (KERNEL_SIZE - 1)), steps)
    values, counts = np.unique((2**exponents).astype(np.int64), return_counts=True)
    biases = (counts * (per_kernel / steps)).astype(np.int64)
    rest = per_kernel - int(biases.sum())
    biases += rest // len(biases)
    biases[: rest % len(biases)] += 1
    return tuple(zip(values.tolist(), biases.tolist(), strict=True))


class DilatedKernels(nn.Module):
    """The 84 kernels at each dilation, and their biases.

    Biases are ordered by dilation, then kernel. Every second kernel is looked at only where it does
    not hang over the ends, alternating from dilation to dilation.

    Args:
        plan: Each dilation with the number of biases that every kernel has there.
        in_channels: Number of channels of the series.

    Attributes:
        biases: (biases,), to be set by `fit`.
        channels: (dilations, 84, c) 1 where a kernel sees a channel.
    """

    biases: Tensor
    channels: Tensor
    taps: Tensor

    def __init__(self, plan: tuple[tuple[int, int], ...], in_channels: int) -> None:
        super().__init__()
        self.plan = plan
        num_kernels = len(TRIPLES)
        num_biases = num_kernels * sum(count for _, count in self.plan)
        self.register_buffer("biases", torch.zeros(num_biases))
        seen = torch.zeros(len(self.plan), num_kernels, in_channels)
        seen[..., 0] = 1
        self.register_buffer("channels", seen)
        taps = torch.full((num_kernels, 1, KERNEL_SIZE), -1.0)
        for kernel, triple in enumerate(TRIPLES):
            taps[kernel, 0, list(triple)] = 2.0
        self.register_buffer("taps", taps, persistent=False)

    def fit(self, inputs: Float[Tensor, "n c l"], draw: np.random.Generator) -> None:
        """Set the biases, and the channels that the kernels see, from training items.

        A bias is a quantile of one kernel's output for one item; the quantiles follow the golden
        ratio. It lies a little above, by `MARGIN` of the maximal input: where a signal is flat, a
        kernel's output is its bias but for rounding, and no two machines would agree which is
        larger.

        Args:
            inputs: Training items; one suffices.
            draw: Chooses items and channels.
        """
        inputs = inputs.to(self.biases.device, self.biases.dtype)
        num_kernels = len(TRIPLES)
        self.channels.copy_(_choose_channels(self.channels.shape, draw))
        margin = MARGIN * inputs.abs().max()
        quantiles = (np.arange(1, len(self.biases) + 1) * GOLDEN_RATIO) % 1
        start = 0
        with torch.no_grad():
            for step, (_, count) in enumerate(self.plan):
                chosen = torch.from_numpy(draw.integers(len(inputs), size=num_kernels))
                items, where = torch.unique(chosen, return_inverse=True)
                outputs = self.outputs(inputs[items], step)[where, torch.arange(num_kernels)]
                features = slice(start, start + num_kernels * count)
                wanted = torch.from_numpy(quantiles[features]).view(num_kernels, count)
                self.biases[features] = _quantiles(outputs, wanted).flatten() + margin
                start = features.stop

    def outputs(self, x: Float[Tensor, "n c l"], step: int) -> Float[Tensor, "n k l"]:
        """All kernels' outputs at one dilation, zeros beyond the ends."""
        dilation = self.plan[step][0]
        weight = self.channels[step][..., None] * self.taps
        return F.conv1d(x, weight, padding=4 * dilation, dilation=dilation)


class KernelFeatures(DilatedKernels):
    """The share of places where each kernel's output exceeds each of its biases, in their order."""

    def exceeding(
        self, x: Float[Tensor, "n c l"]
    ) -> Iterator[tuple[slice, Float[Tensor, "n k q l"], Tensor]]:
        """For each dilation its features, where outputs exceed biases, and (k, l) weights of places.

        A weight is 1 / (places counted), 0 where a place is not counted.
        """
        start = 0
        for step, (dilation, count) in enumerate(self.plan):
            features = slice(start, start + len(TRIPLES) * count)
            above = self.outputs(x, step)[:, :, None, :] > self.biases[features].view(-1, count, 1)
            yield features, above, self._places(step, dilation, x)
            start = features.stop

    def _places(self, step: int, dilation: int, x: Tensor) -> Tensor:
        length, margin = x.shape[-1], 4 * dilation
        inner = torch.zeros(length, device=x.device, dtype=x.dtype)
        inner[margin : length - margin] = 1 / (length - 2 * margin)
        whole = torch.full_like(inner, 1 / length)
        cut = (torch.arange(len(TRIPLES), device=x.device) + step) % 2 == 1
        return torch.where(cut[:, None], inner, whole)

    def forward(self, x: Float[Tensor, "n c l"]) -> Float[Tensor, "n f 1"]:
        """The features, as maps of one place."""
        if torch.compiler.is_exporting():  # into a graph for any number of items
            return self._features(x)[..., None]
        largest = max(count for _, count in self.plan)
        size = max(1, CHUNK // (len(TRIPLES) * largest * x.shape[-1]))
        return torch.cat([self._features(part) for part in torch.split(x, size)])[..., None]

    def _features(self, x: Float[Tensor, "n c l"]) -> Float[Tensor, "n f"]:
        found = []
        for _, above, places in self.exceeding(x):
            shares = torch.einsum("nkql,kl->nkq", above.to(x.dtype), places)
            found.append(shares.flatten(1))
        return torch.cat(found, 1)


class MiniRocket(GridNetwork):
    """Fixed features of a series and a linear layer on them.

    Biases are zero until `fit_features` or saved weights set them.
    """

    config: MiniRocketConfig
    stem: KernelFeatures
    fits_features = True

    def __init__(self, config: MiniRocketConfig) -> None:
        stem = KernelFeatures(config.plan, config.in_channels)
        super().__init__(config, stem=stem, stages=[], num_features=len(stem.biases))
        # The longest kernel must have a place where it does not hang over the ends.
        self.min_size = 8 * max(dilation for dilation, _ in config.plan) + 1

    def fit_features(self, inputs: Float[Tensor, "n c l"], seed: int) -> None:
        """Set the biases, and the channels that the kernels see; see `DilatedKernels.fit`."""
        self._check_input(inputs)
        self.stem.fit(inputs, np.random.default_rng(seed))

    def activation_map(self, x: Float[Tensor, "n c l"], targets: Tensor) -> Float[Tensor, "n l"]:
        """What each place adds to a class's logit, exactly: its sum and the bias are the logit.

        Args:
            x: Inputs of the network.
            targets: Class of each input, (n,).
        """
        self._check_input(x)
        weights = self.classifier.weight[targets]
        heat = x.new_zeros(len(x), x.shape[-1])
        for item in range(len(x)):
            for features, above, places in self.stem.exceeding(x[item : item + 1]):
                weight = weights[item, features].view(len(TRIPLES), -1)
                heat[item] += torch.einsum("kql,kq,kl->l", above[0].to(x.dtype), weight, places)
        return heat


def _choose_channels(shape: torch.Size, draw: np.random.Generator) -> Tensor:
    """(dilations, 84, c): a random few channels each, few of them more often than many."""
    steps, num_kernels, channels = shape
    limit = np.log2(min(channels, MAX_CHANNELS) + 1)
    seen = np.zeros((steps * num_kernels, channels), np.float32)
    for row in seen:
        count = int(2 ** draw.uniform(0, limit))
        row[draw.choice(channels, count, replace=False)] = 1
    return torch.from_numpy(seen).view(steps, num_kernels, channels)


def _quantiles(outputs: Float[Tensor, "k l"], wanted: Float[Tensor, "k q"]) -> Tensor:
    """Quantiles of each row, interpolated linearly between two values."""
    ordered = outputs.sort(dim=1).values.double()
    places = wanted.to(ordered) * (outputs.shape[1] - 1)
    low = places.floor().long()
    high = (low + 1).clamp(max=outputs.shape[1] - 1)
    at_low, at_high = ordered.gather(1, low), ordered.gather(1, high)
    return (at_low + (at_high - at_low) * (places - low)).to(outputs.dtype)


VARIANTS: Final = {"minirocket": MiniRocketConfig()}

register("minirocket", VARIANTS, MiniRocket, ranks=(1,))
