"""The one place that names torch's layers by rank: 1 (series), 2 (images), 3 (volumes)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from torch import nn

from striate.errors import ArgumentError


@dataclass(frozen=True)
class RankLayers:
    """torch's layers for one number of spatial axes."""

    rank: int
    conv: type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]
    conv_transpose: type[nn.ConvTranspose1d] | type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]
    batch_norm: type[nn.BatchNorm1d] | type[nn.BatchNorm2d] | type[nn.BatchNorm3d]
    max_pool: type[nn.MaxPool1d] | type[nn.MaxPool2d] | type[nn.MaxPool3d]
    avg_pool: type[nn.AvgPool1d] | type[nn.AvgPool2d] | type[nn.AvgPool3d]
    adaptive_avg_pool: (
        type[nn.AdaptiveAvgPool1d] | type[nn.AdaptiveAvgPool2d] | type[nn.AdaptiveAvgPool3d]
    )


_LAYERS: Final = {
    1: RankLayers(1, nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d),
    2: RankLayers(2, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
    3: RankLayers(3, nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d, nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveAvgPool3d),
}  # fmt: skip

Conv: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d

CONV_TYPES: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORM_TYPES: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def layers(rank: int) -> RankLayers:
    """torch's layers for `rank` spatial axes.

    Raises:
        ArgumentError: The rank is not 1, 2 or 3.
    """
    if rank not in _LAYERS:
        raise ArgumentError(f"rank={rank!r}", why="a network has 1, 2 or 3 spatial axes")
    return _LAYERS[rank]


def convolutions(module: nn.Module) -> Iterator[Conv]:
    """Every convolution inside a module, in the module's own order."""
    return (part for part in module.modules() if isinstance(part, CONV_TYPES))
