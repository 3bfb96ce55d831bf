"""VGG: stages of 3x3 convolutions between poolings, in one, two or three dimensions.

Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
ICLR 2015, arXiv:1409.1556, table 1 (columns A, B, D and E). Batch norm came later (the variants
`_bn`). The weights start as the paper's section 3.1 advises, after Glorot and Bengio.

Axes: (n, c, *space) throughout.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from torch import nn

from striate.models.catalog import register
from striate.models.network import GridConfig, GridNetwork
from striate.nn.conv import convolution
from striate.nn.heads import HiddenLayers
from striate.nn.ranks import Conv, convolutions, layers

STAGE_CHANNELS: Final = (64, 128, 256, 512, 512)


@dataclass(frozen=True, kw_only=True)
class VGGConfig(GridConfig):
    """One VGG.

    Attributes:
        num_convolutions: Number of convolutions of each stage.
        batch_norm: After each convolution.
        pooled_size: Side to which the last maps are resized; 7 is what 224 samples give.
        hidden_features: Outputs of the two fully connected layers before the classifier.
    """

    num_convolutions: tuple[int, ...]
    batch_norm: bool = False
    pooled_size: int = 7
    hidden_features: tuple[int, int] = (4096, 4096)
    dropout: float = 0.5


class VGGBlock(nn.Sequential):
    """A 3x3 convolution and its activation: `pool`, `conv`, `norm`, `act`.

    Args:
        config: Configuration of the network.
        in_channels: Number of channels of the input.
        out_channels: Number of channels of the output.
        pool: Whether a pooling halves the maps before.
    """

    def __init__(
        self, config: VGGConfig, in_channels: int, out_channels: int, *, pool: bool
    ) -> None:
        of_rank = layers(config.rank)
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if pool:
            parts["pool"] = of_rank.max_pool(2)
        parts["conv"] = convolution(config.rank, in_channels, out_channels, 3, bias=True)
        if config.batch_norm:
            parts["norm"] = of_rank.batch_norm(out_channels)
        parts["act"] = nn.ReLU()
        super().__init__(parts)


class VGG(GridNetwork):
    """VGG of any rank."""

    config: VGGConfig
    min_size = 32

    def __init__(self, config: VGGConfig) -> None:
        stem = VGGBlock(config, config.in_channels, STAGE_CHANNELS[0], pool=False)
        channels = STAGE_CHANNELS[0]
        stages: list[list[VGGBlock]] = []
        for index, num_blocks in enumerate(config.num_convolutions):
            width = STAGE_CHANNELS[index]
            blocks = []
            # The stem is the first convolution of the first stage.
            for block in range(num_blocks - (index == 0)):
                blocks.append(VGGBlock(config, channels, width, pool=index > 0 and block == 0))
                channels = width
            stages.append(blocks)
        final = layers(config.rank).max_pool(2)
        num_features = config.hidden_features[-1]
        super().__init__(config, stem=stem, stages=stages, final=final, num_features=num_features)
        sizes = config.pooled_size, config.hidden_features
        self.pool = hidden = HiddenLayers(config.rank, channels, *sizes, dropout=config.dropout)
        for layer in (*convolutions(self), hidden.layer2):
            _init(layer)


def _init(layer: Conv | nn.Linear) -> None:
    """Draw uniform weights whose variance is 2 / (fan-in + fan-out); zero bias."""
    if not layer.weight.is_meta and layer.bias is not None:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


COLUMNS: Final = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}

VARIANTS: Final = {
    name + suffix: VGGConfig(num_convolutions=column, batch_norm=bool(suffix))
    for name, column in COLUMNS.items()
    for suffix in ("", "_bn")
}

register("vgg", VARIANTS, VGG)
