"""Patch filters: patches of the training items as filters, pooled over parts of space.

Coates, Ng and Lee, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, AISTATS
2011, with the encoding of Coates and Ng, The Importance of Encoding Versus Training with Sparse
Coding and Vector Quantization, ICML 2011. Each patch of an item is brought to a mean of 0 and a
contrast of 1, whitened, and compared with some patches of training items, drawn at random; how far
a similarity is beyond a threshold, either way, is averaged over the halves of each axis. Nothing is
learnt by steps, so the features of small pictures are there within seconds.

`fit_features` draws the patches; a fresh network has random filters.

Axes: n items, c channels, k filters, d numbers of a patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork, require_counts
from striate.nn.ranks import layers
from striate.ops import convolve

NUM_PATCHES: Final = 20_000
"""Patches by which whitening is fitted."""

FLAT: Final = 0.003
"""Is added to a patch's variance, so that noise in a flat one is not made large; inputs have a
variance of about 1."""

WHITENING: Final = 0.1
"""Is added to the variance along each axis of patches before they are whitened."""

THRESHOLD: Final = 0.25
"""Similarities below count as none."""

SIZES: Final = ((12, 3), (20, 5))
"""Side of a patch for inputs of up to so many positions."""

LARGE_SIZE: Final = 7
"""Side of a patch for larger inputs."""


@dataclass(frozen=True, kw_only=True)
class PatchFiltersConfig(GridConfig):
    """Patch filters.

    Attributes:
        num_filters: Number of patches that every patch is compared with.
        patch_size: Side of a patch; 0 takes what suits `input_size`.
        parts: Parts of each axis over which similarities are averaged.
    """

    input_size: int = 28
    num_filters: int = 200
    patch_size: int = 0
    parts: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "num_filters", "parts")

    @property
    def made_for_size(self) -> bool:
        """The patches' side follows from that of the input."""
        return True

    @property
    def patch(self) -> int:
        """Side of a patch."""
        fitting = (side for most, side in SIZES if self.input_size <= most)
        return self.patch_size or next(fitting, LARGE_SIZE)


class PatchMaps(nn.Module):
    """How far similarities to the filters are beyond the threshold, either way, at each place.

    Args:
        config: Configuration of the network.

    Attributes:
        filters: (k, c, *taps) Whitened patches, each with a mean of 0.
        offsets: (k,) Similarity of each filter to the mean patch.
    """

    filters: Tensor
    offsets: Tensor

    def __init__(self, config: PatchFiltersConfig) -> None:
        super().__init__()
        shape = (config.num_filters, config.in_channels, *[config.patch] * config.rank)
        filters = torch.empty(shape)
        if not filters.is_meta:  # computing there makes torch load its compiler
            filters = filters.normal_()
            filters -= filters.flatten(1).mean(1).view(-1, *[1] * (len(shape) - 1))
            filters /= filters[0].numel() ** 0.5
        self.register_buffer("filters", filters)
        self.register_buffer("offsets", torch.zeros(config.num_filters))
        self.average = layers(config.rank).avg_pool(config.patch, stride=1)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n k2 *reduced"]:
        """Maps of every filter and of its negative, in single precision within."""
        given, x = x, x.float()
        mean = self.average(x.mean(1, keepdim=True))
        square = self.average(x.square().mean(1, keepdim=True))
        count = self.filters[0].numel()
        variance = (square - mean.square()).clamp(min=0) * (count / (count - 1))
        similar = convolve(x, self.filters.float()) / (variance + FLAT).sqrt()
        similar = similar - self.offsets.float().view(-1, *[1] * (x.ndim - 2))
        both = torch.cat([similar - THRESHOLD, -similar - THRESHOLD], 1)
        return both.relu().to(given.dtype)


class PartPool(nn.Module):
    """The mean of each channel over parts of space, one behind the other.

    Args:
        parts: Parts of each axis; they overlap by a position where they do not divide it.
    """

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n f"]:
        """Average each part."""
        return torch.cat([part.flatten(2).mean(-1) for part in self._each(x)], 1)

    def _each(self, x: Tensor) -> Iterator[Tensor]:
        bounds = (
            [(i * size // self.parts, -(-(i + 1) * size // self.parts)) for i in range(self.parts)]
            for size in x.shape[2:]
        )
        for part in product(*bounds):
            yield x[(slice(None), slice(None), *(slice(*ends) for ends in part))]


class PatchFilters(GridNetwork):
    """Similarities to patches of training items, averaged over parts of space; a linear layer."""

    fits_features = True

    config: PatchFiltersConfig
    stem: PatchMaps

    def __init__(self, config: PatchFiltersConfig) -> None:
        stem = PatchMaps(config)
        features = 2 * config.num_filters * config.parts**config.rank
        super().__init__(config, stem=stem, stages=[], num_features=features)
        self.pool = PartPool(config.parts)
        self.min_size = config.patch + config.parts - 1

    def fit_features(self, inputs: Float[Tensor, "n c *space"], seed: int) -> None:
        """Draw the filters from patches of training items.

        Args:
            inputs: Normalized inputs of training items.
            seed: Seed of the choice of patches.
        """
        stem, draw = self.stem, np.random.default_rng(seed)
        size, rank = self.config.patch, self.config.rank
        patches = drawn_patches(inputs, size, NUM_PATCHES, draw).double()
        patches = patches - patches.mean(1, keepdim=True)
        patches = patches / (patches.var(1, keepdim=True) + FLAT).sqrt()
        mean = patches.mean(0)
        values, axes = torch.linalg.eigh((patches - mean).T.cov())
        whitening = axes * (values.clamp(min=0) + WHITENING).rsqrt() @ axes.T
        chosen = torch.from_numpy(draw.choice(len(patches), self.config.num_filters))
        whitened = torch.nn.functional.normalize((patches[chosen] - mean) @ whitening)
        filters = whitened @ whitening
        with torch.no_grad():
            stem.offsets.copy_(filters @ mean)
            filters = filters - filters.mean(1, keepdim=True)
            stem.filters.copy_(filters.view(-1, inputs.shape[1], *[size] * rank))


def drawn_patches(
    inputs: Float[Tensor, "n c *space"], size: int, count: int, draw: np.random.Generator
) -> Float[Tensor, "count d"]:
    """Patches of inputs at random, flat.

    Args:
        inputs: What they are cut from.
        size: Side of a patch.
        count: Number of patches.
        draw: Source of chance.
    """
    items = torch.from_numpy(draw.integers(len(inputs), size=count))
    taps = np.arange(size)
    index: list[Tensor] = [items.view(-1, *[1] * (inputs.ndim - 1))]
    index.append(torch.arange(inputs.shape[1]).view(1, -1, *[1] * (inputs.ndim - 2)))
    for axis, length in enumerate(inputs.shape[2:]):
        starts = draw.integers(length - size + 1, size=(count, 1))
        shape = [count, 1, *[1] * (inputs.ndim - 2)]
        shape[2 + axis] = size
        index.append(torch.from_numpy(starts + taps).view(shape))
    return inputs.cpu()[tuple(index)].flatten(1)


VARIANTS: Final = {"patch_filters": PatchFiltersConfig()}

register("patch_filters", VARIANTS, PatchFilters)
