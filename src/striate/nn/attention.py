"""Self-attention and the transformer block made of it."""

from __future__ import annotations

from typing import Final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.nn.blocks import NORM_EPS, StochasticDepth

EXPANSION: Final = 4
"""Width of the perceptron's hidden layer, in multiples of a token's width."""


class SelfAttention(nn.Module):
    """Attention of every token to every other (Vaswani et al. 2017, arXiv:1706.03762, section 3.2).

    Args:
        width: Number of channels of a token.
        num_heads: Number of attention heads; it divides the width.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        assert width % num_heads == 0
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "n tokens width"]) -> Float[Tensor, "n tokens width"]:
        """Mix the tokens."""
        # (n, tokens, 3 width) to three of (n, heads, tokens, width of a head)
        parts = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.project(mixed.transpose(1, 2).flatten(2))
        return projected


class TransformerBlock(nn.Module):
    """Attention, then a perceptron at each token, each after a norm and added to its input.

    Args:
        width: Number of channels of a token.
        num_heads: Number of attention heads.
        drop_rate: Rate of stochastic depth, for both branches.
    """

    def __init__(self, width: int, num_heads: int, drop_rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = SelfAttention(width, num_heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.expand = nn.Linear(width, EXPANSION * width)
        self.act = nn.GELU()
        self.project = nn.Linear(EXPANSION * width, width)
        self.drop = StochasticDepth(drop_rate)

    def forward(self, x: Float[Tensor, "n width tokens"]) -> Float[Tensor, "n width tokens"]:
        """Apply both branches; the width comes before the tokens, as channels before space."""
        tokens: Tensor = x.transpose(1, 2)
        tokens = tokens + self.drop(self.attention(self.norm1(tokens)))
        tokens = tokens + self.drop(self.project(self.act(self.expand(self.norm2(tokens)))))
        return tokens.transpose(1, 2)
