"""TCN: residual blocks of dilated causal convolutions; centred ones in two and three dimensions.

Bai, Kolter and Koltun, An Empirical Evaluation of Generic Convolutional and Recurrent Networks for
Sequence Modeling, 2018, arXiv:1803.01271, section 3 and figure 1. Each block dilates twice as much
as the one before. Two things differ from the paper: batch norm stands in place of weight norm (as
many parameters; it is folded into the convolutions for inference), and a class is read out of the
mean over time rather than of the last step.

In two and three dimensions there is no before and after, so convolutions are centred there.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from jaxtyping import Float
from torch import Tensor, nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork, require_counts, require_rates
from striate.nn.conv import convolution
from striate.nn.ranks import layers


@dataclass(frozen=True, kw_only=True)
class TCNConfig(GridConfig):
    """One TCN.

    Attributes:
        width: Channels of every block.
        num_blocks: The last one's dilation is 2 ** (num_blocks - 1).
        kernel_size: Size of every convolution's kernel.
        block_dropout: Probability that a value is dropped inside a block while training.
        norm_eps: Number added to the variance in batch norm.
    """

    width: int = 64
    num_blocks: int = 8
    kernel_size: int = 3
    block_dropout: float = 0.0
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "width", "num_blocks", "kernel_size")
        require_rates(self, "block_dropout")


class DilatedBlock(nn.Module):
    """Two dilated convolutions and a shortcut (the paper's figure 1b).

    Args:
        config: Configuration of the network.
        in_channels: Number of channels of the input.
        dilation: Dilation of both convolutions.
    """

    def __init__(self, config: TCNConfig, in_channels: int, dilation: int) -> None:
        super().__init__()
        rank, width = config.rank, config.width
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for index, channels in enumerate((in_channels, width), start=1):
            parts[f"conv{index}"] = convolution(
                rank,
                channels,
                width,
                config.kernel_size,
                dilation=dilation,
                padding="causal" if rank == 1 else "symmetric",
            )
            parts[f"norm{index}"] = layers(rank).batch_norm(width, eps=config.norm_eps)
            parts[f"act{index}"] = nn.ReLU()
            parts[f"dropout{index}"] = nn.Dropout(config.block_dropout)
        self.branch = nn.Sequential(parts)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != width:
            self.shortcut = convolution(rank, in_channels, width, 1, bias=True)
        self.act = nn.ReLU()

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n d *space"]:
        """Branch plus shortcut, activated."""
        y: Tensor = self.act(self.branch(x) + self.shortcut(x))
        return y


class TCN(GridNetwork):
    """TCN of any rank; the stem is its first block."""

    config: TCNConfig

    def __init__(self, config: TCNConfig) -> None:
        blocks = [
            DilatedBlock(config, config.width if index else config.in_channels, 2**index)
            for index in range(config.num_blocks)
        ]
        super().__init__(
            config, stem=blocks[0], stages=[[b] for b in blocks[1:]], num_features=config.width
        )


VARIANTS: Final = {"tcn": TCNConfig(), "tcn_small": TCNConfig(width=24, num_blocks=5)}

register("tcn", VARIANTS, TCN)
