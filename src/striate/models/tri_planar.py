"""Tri-planar features of a volume: an image network's early filters, laid along each axis in turn.

The filters of EfficientNet-Lite0, learnt on images, are spread over a third axis (`average` in
`striate.weights.inflate`); a filter so made sees shape in its own plane and only averages across
it. So the volume is seen three times, with each axis as the one across, and the maps are averaged.
The maps of four stages, fine to coarse, are taken side by side: the late stages, which know things
of the world and need large inputs, are left out. The network takes volumes only.

Axes: (n, c, depth, height, width).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from striate.models.catalog import find, register
from striate.models.create import configure, create_model
from striate.models.network import GridConfig, GridNetwork, Network
from striate.weights.reshape import inflate

BASE: Final = "efficientnet_lite0"

TAPPED: Final = (0, 1, 2, 4)
"""Stages whose maps are taken, of strides 2, 4, 8 and 16."""

STRIDE: Final = 4
"""Voxels from place to place in the maps given."""

PLANES: Final = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
"""Orders of the axes, each of which is once the first, the one across."""

_UNDONE: Final = ((0, 1, 2), (1, 0, 2), (1, 2, 0))
"""Orders that turn the maps of each of `PLANES` back."""


@dataclass(frozen=True, kw_only=True)
class TriPlanarConfig(GridConfig):
    """Tri-planar features of a volume; the filters are those of `BASE`."""

    rank: int = 3
    in_channels: int = 1
    input_size: int = 32


class TriPlanarFeatures(nn.Module):
    """Maps of the tapped stages, averaged over the planes and brought to one size.

    Args:
        base: An image network's counterpart of rank 3, whose parts are taken.
    """

    def __init__(self, base: Network) -> None:
        super().__init__()
        self.stem = base.stem
        self.stages = base.stages[: TAPPED[-1] + 1]

    def forward(self, x: Float[Tensor, "n c d h w"]) -> Float[Tensor, "n f d4 h4 w4"]:
        """Maps at a quarter of the input's size, rounded up."""
        size = [-(-n // STRIDE) for n in x.shape[2:]]
        total = x.new_zeros(())
        for order, undone in zip(PLANES, _UNDONE, strict=True):
            turned = x.permute(0, 1, *(2 + axis for axis in order)).contiguous()
            depth, height, width = (size[axis] for axis in order)
            maps = self._maps(turned, (depth, height, width))
            total = total + maps.permute(0, 1, *(2 + axis for axis in undone))
        return total / len(PLANES)

    def _maps(self, x: Tensor, size: tuple[int, int, int]) -> Tensor:
        maps = []
        x = self.stem(x)
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in TAPPED:
                maps.append(F.adaptive_avg_pool3d(x, size))
        return torch.cat(maps, 1)


class TriPlanar(GridNetwork):
    """Tri-planar features of a volume, averaged over space, and a linear layer."""

    config: TriPlanarConfig

    def __init__(self, config: TriPlanarConfig) -> None:
        base, channels = find(BASE), {"in_channels": config.in_channels}
        with torch.device("meta"):
            images = base.build(configure(BASE, base.config, channels)).eval()
            x = torch.empty(1, config.in_channels, 32, 32)
            _, maps = images.forward_intermediates(x, TAPPED)
        volumes = base.build(configure(BASE, base.config, {**channels, "rank": 3}))
        features = sum(part.shape[1] for part in maps)
        stem = TriPlanarFeatures(volumes)
        super().__init__(config, stem=stem, stages=[], num_features=features)

    def activation_map(
        self, x: Float[Tensor, "n c d h w"], targets: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d4 h4 w4"]:
        """What each place adds to a class's logit beside a volume of mean intensity everywhere.

        The maps have signs, and what they are where there is nothing to see counts for as much as
        the rest; that volume's maps are therefore taken off. The sum over places is the difference
        of the two logits.

        Args:
            x: Inputs of the network.
            targets: Class of each input, (n,).
        """
        maps = self.forward_features(x) - self.forward_features(torch.zeros_like(x[:1]))
        weight = self.classifier.weight[targets]
        return torch.einsum("nf,nfdhw->ndhw", weight, maps) / maps[0, 0].numel()


def _pretrained(config: TriPlanarConfig) -> TriPlanar:
    """The network with weights learnt on ImageNet.

    Raises:
        WeightsUnavailableError: The weights are neither installed nor to be had.
    """
    images = create_model(BASE, in_channels=config.in_channels, weights="imagenet")
    volumes = create_model(BASE, rank=3, in_channels=config.in_channels)
    volumes.load_state_dict(inflate(images.state_dict(), 3, "average"))
    network = TriPlanar(config)
    network.stem = TriPlanarFeatures(volumes)
    network.origin = images.origin
    return network


VARIANTS: Final = {"tri_planar": TriPlanarConfig()}

register("tri_planar", VARIANTS, TriPlanar, ranks=(3,), pretrained=_pretrained)
