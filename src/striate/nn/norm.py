"""Norms over channels that do not need a batch, in any rank."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

NORM_EPS = 1e-6
"""Added to the variance: the value of ConvNeXt and of ViT."""


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each place, channels first, in any rank.

    Args:
        channels: of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPS)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n c *space"]:
        """Normalize; the output lies in memory with channels innermost."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class GlobalResponseNorm(nn.Module):
    """Channels made to compete: each scaled by its share of the energy over space.

    Woo et al., ConvNeXt V2, CVPR 2023, arXiv:2301.00808, section 3. It starts as the identity.

    Args:
        channels: of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "n *space c"]) -> Float[Tensor, "n *space c"]:
        """Scale each channel; channels come last here."""
        energy = torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim - 1)), keepdim=True)
        share = energy / (energy.mean(-1, keepdim=True) + NORM_EPS)
        scaled: Tensor = self.weight * (x * share)
        return x + scaled + self.bias
