"""Vision transformer: attention between patches, for contrast, in one, two or three dimensions.

Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, arXiv:2010.11929, section 3 and
table 1; Ti and S: Touvron et al., DeiT, ICML 2021, arXiv:2012.12877, table 1.

Axes: (n, c, *space) before the stem; (n, width, tokens) after it, the class token first. The
features therefore have one axis of tokens in every rank; `forward_intermediates` gives them their space back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork
from striate.nn.attention import TransformerBlock
from striate.nn.blocks import ChannelNorm, init_truncated_normal
from striate.nn.conv import patch_convolution
from striate.nn.ranks import CONV_TYPES

INTERPOLATION: Final = {1: "linear", 2: "bicubic", 3: "trilinear"}
"""How position embeddings are resized, by rank."""

POSITION: Final = "stem.position"


@dataclass(frozen=True, kw_only=True)
class ViTConfig(GridConfig):
    """One ViT.

    Attributes:
        patch_size: Side of a patch, in samples; what is left at an axis' end is not seen.
        width: Number of channels of a token.
        num_blocks: Number of blocks.
        num_heads: Number of heads of each attention; it divides the width.
        stochastic_depth: Rate of stochastic depth at the last block; it rises linearly from zero.
    """

    patch_size: int
    width: int
    num_blocks: int
    num_heads: int
    stochastic_depth: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.patch_size <= self.input_size:
            raise ArgumentError(
                f"patch_size={self.patch_size}",
                why=f"a patch must fit into the input_size of {self.input_size}",
            )
        if self.num_heads < 1 or self.width % self.num_heads:
            raise ArgumentError(
                f"num_heads={self.num_heads}", why=f"it must divide the width of {self.width}"
            )


class PatchTokens(nn.Module):
    """Patches as tokens, a class token before them, and the embedding of each token's position.

    Args:
        config: Configuration of the network.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width, self.grid = config.width, (config.input_size // config.patch_size,) * config.rank
        self.conv = patch_convolution(config.rank, config.in_channels, width, config.patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 1 + prod(self.grid), width))

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n width tokens"]:
        """Cut, project, and add the positions, resized where the grid is another."""
        patches = self.conv(x)
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1), tokens], 1)
        position = resize_position(self.position, self.grid, tuple(patches.shape[2:]))
        return (tokens + position).transpose(1, 2)


class ClassToken(nn.Module):
    """The first token."""

    def forward(self, x: Float[Tensor, "n width tokens"]) -> Float[Tensor, "n width"]:
        """Select."""
        return x[..., 0]


def resize_position(
    position: Float[Tensor, "1 tokens width"], old: tuple[int, ...], new: tuple[int, ...]
) -> Float[Tensor, "1 resized width"]:
    """Embeddings of a grid's positions, the class token's first, for another grid of that rank."""
    if old == new:
        return position
    first, rest = position[:, :1], position[:, 1:]
    mode = INTERPOLATION[len(old)]
    maps = rest.transpose(1, 2).reshape(1, -1, *old)
    maps = F.interpolate(maps, new, mode=mode, antialias=mode == "bicubic")
    return torch.cat([first, maps.flatten(2).transpose(1, 2)], 1)


class ViT(GridNetwork):
    """ViT of any rank."""

    config: ViTConfig
    every_block: ClassVar[bool] = True

    def __init__(self, config: ViTConfig) -> None:
        blocks = [
            TransformerBlock(
                config.width,
                config.num_heads,
                config.stochastic_depth * index / max(config.num_blocks - 1, 1),
            )
            for index in range(config.num_blocks)
        ]
        stem = PatchTokens(config)
        super().__init__(
            config,
            stem=stem,
            stages=[blocks],
            final=ChannelNorm(config.width),
            num_features=config.width,
        )
        self.min_size = config.patch_size
        self.pool = ClassToken()
        for module in (*stem.modules(), *self.stages.modules()):
            if isinstance(module, (nn.Linear, *CONV_TYPES)):
                init_truncated_normal(module)
        if not stem.position.is_meta:
            nn.init.trunc_normal_(stem.position, std=0.02)

    def mixing_block(self) -> nn.Module:
        """The last block: after it the class token alone is read."""
        return list(self.stages[-1].children())[-1]

    def token_maps(
        self, tokens: Float[Tensor, "n width tokens"], space: tuple[int, ...]
    ) -> Float[Tensor, "n width *grid"]:
        """See `as_maps`."""
        return self.as_maps(tokens, space)

    def as_maps(
        self, x: Float[Tensor, "n width tokens"], space: tuple[int, ...]
    ) -> Float[Tensor, "n width *grid"]:
        """The map of all patches, without the class token."""
        grid = [side // self.config.patch_size for side in space]
        return x[..., 1:].reshape(*x.shape[:2], *grid)

    def fit_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Position embeddings of another rank or size made to fit.

        A series gets the means over rows, a volume the image's in every slice.
        """
        position = state[POSITION]
        rank = state["stem.conv.weight"].ndim - 2
        side = round((position.shape[1] - 1) ** (1 / rank))
        new = (self.config.input_size // self.config.patch_size,) * self.config.rank
        grid = (side,) * rank
        if rank == 2 and self.config.rank != 2:
            first, maps = position[:, :1], position[:, 1:].reshape(1, *grid, -1)
            if self.config.rank == 1:
                rest = maps.mean(1)
            else:
                rest = maps.unsqueeze(1).expand(-1, side, -1, -1, -1).flatten(1, 3)
            position, grid = torch.cat([first, rest], 1), (side,) * self.config.rank
        return {**state, POSITION: resize_position(position, grid, new)}


def _vit(patch_size: int, width: int, num_blocks: int, num_heads: int) -> ViTConfig:
    return ViTConfig(patch_size=patch_size, width=width, num_blocks=num_blocks, num_heads=num_heads)


VARIANTS: Final = {
    "vit_ti_16": _vit(16, 192, 12, 3),
    "vit_s_16": _vit(16, 384, 12, 6),
    "vit_s_32": _vit(32, 384, 12, 6),
    "vit_b_8": _vit(8, 768, 12, 12),
    "vit_b_16": _vit(16, 768, 12, 12),
    "vit_b_32": _vit(32, 768, 12, 12),
    "vit_l_16": _vit(16, 1024, 24, 16),
    "vit_l_32": _vit(32, 1024, 24, 16),
    "vit_h_14": _vit(14, 1280, 32, 16),
}

register("vit", VARIANTS, ViT)
