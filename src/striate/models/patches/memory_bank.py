"""Memory bank: every patch of an input is compared with patches of known good items.

Maps of two middle stages of a pretrained network say what each patch of an input looks like: those
of late stages know little of places and much of what ImageNet's classes are. Each map is averaged
over the patch's neighbours, both are brought to the grid of the finer one, and their channels are
joined. A bank holds such features of patches of good items. How odd a patch is, is its distance from
the nearest of the bank; how odd an input is, the distance of its oddest patch (PatchCore: Roth et
al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022; the factor by which the paper
weighs the last distance is left out).

The bank comes from `striate.transfer.patch_bank`; what is built here is empty.

Axes: n items, c channels of a patch, p patches of the bank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ArgumentError
from striate.geometry import symmetric_padding
from striate.models.backbone import BackboneConfig, backbone_fields
from striate.models.catalog import register
from striate.models.network import GridNetwork, Network, require_counts
from striate.nn.evaluation import evaluating
from striate.nn.ranks import layers
from striate.ops.depthwise_convolution import left_to_torch

NAME: Final = "memory_bank"

NEIGHBOURS: Final = 3
"""Places along each axis that a patch's features are averaged over."""

COMPARED_AT_ONCE: Final = 1024
"""Patches of the bank that are compared at a time: distances from all would not fit into a cache."""

_MODES: Final = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True, kw_only=True)
class MemoryBankConfig(BackboneConfig):
    """A memory bank of patches of its backbone's maps.

    Attributes:
        levels: Numbers of the maps that are compared, of those of `forward_intermediates`.
        patch_channels: Channels of these maps together.
        num_patches: Patches in the bank.
    """

    levels: tuple[int, ...] = (2, 4)
    patch_channels: int = 152
    num_patches: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "patch_channels", "num_patches")
        if not self.levels:
            raise ArgumentError("levels=()", why="a patch needs a map at least")


class PatchFeatures(nn.Module):
    """The features of every patch: maps of some levels, averaged over neighbours, on one grid.

    Args:
        network: Its blocks are used, not copied; those after the last of the levels are left out.
        levels: Numbers of the maps, of those of `forward_intermediates`.

    Raises:
        ArgumentError: There is no such level.
    """

    def __init__(self, network: GridNetwork, levels: tuple[int, ...]) -> None:
        super().__init__()
        names = stage_ends(network)
        if not set(levels) <= set(range(len(names))):
            raise ArgumentError(f"levels={levels}", why=f"there are maps of {len(names)} levels")
        chosen = {names[level] for level in levels}
        blocks = network.blocks()
        last = max(place for place, (name, _) in enumerate(blocks) if name in chosen)
        self.blocks = nn.ModuleList(module for _, module in blocks[: last + 1])
        self.taken = tuple(name in chosen for name, _ in blocks[: last + 1])
        # As in the paper, zeros around the map count: what is at the border stands out less.
        self.average = layers(network.config.rank).avg_pool(
            NEIGHBOURS, stride=1, padding=symmetric_padding(NEIGHBOURS)
        )

    def forward(self, x: Float[Tensor, "n in *space"]) -> Float[Tensor, "n c *grid"]:
        """The features of normalized inputs, on the grid of the finest map."""
        found: list[Tensor] = []
        for block, taken in zip(self.blocks, self.taken, strict=True):
            x = block(x)
            if taken:
                found.append(self.average(x))
        grid = found[0].shape[2:]
        mode = _MODES[len(grid)]
        return torch.cat([found[0], *(F.interpolate(m, grid, mode=mode) for m in found[1:])], 1)


class PatchBank(nn.Module):
    """Patches of good items, and the distance of other patches from the nearest of them.

    Args:
        num_channels: Channels of a patch.
        num_patches: Patches in the bank.

    Attributes:
        scale: (c,) Factor on each channel before patches are compared.
        patches: (p, c) Features of the patches, with that factor.
    """

    scale: Tensor
    patches: Tensor

    def __init__(self, num_channels: int, num_patches: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(num_channels))
        self.register_buffer("patches", torch.zeros(num_patches, num_channels))

    def distances(self, maps: Float[Tensor, "n c *grid"]) -> Float[Tensor, " n *grid"]:
        """How far each patch is from the nearest of the bank, relative to the root of c."""
        rows = maps.flatten(2).transpose(1, 2) * self.scale
        # About the bank's centre, since squares of large numbers would leave no digits for what is
        # between two patches.
        centre = self.patches.mean(0)
        rows = rows - centre
        nearest = [
            (part.square().sum(1) - 2 * rows @ part.T).amin(2)
            for part in torch.split(self.patches - centre, COMPARED_AT_ONCE)
        ]
        least = torch.stack(nearest).amin(0) if len(nearest) > 1 else nearest[0]
        squares = (least + rows.square().sum(2)) / maps.shape[1]
        # A root has no slope at 0.
        roots = squares.clamp(min=torch.finfo(torch.float32).tiny).sqrt()
        return roots.reshape(-1, *maps.shape[2:])

    def forward(self, maps: Float[Tensor, "n c *grid"]) -> Float[Tensor, "n features"]:
        """The mean features of an input's patches, and the distance of its oddest patch."""
        odd = self.distances(maps).flatten(1).amax(1, keepdim=True)
        return torch.cat([maps.flatten(2).mean(2), odd], 1)


class MemoryBank(GridNetwork):
    """A network's middle maps, compared patch by patch with those of good items.

    The pooled features are the mean of the patches and the distance of the oddest one, which the
    head of a bank with one output passes on.
    """

    activation_map_shows: ClassVar[str] = "patch-distance"
    """What a picture of `activation_map` is called: it is no evidence for a class."""

    config: MemoryBankConfig
    stem: PatchFeatures
    pool: PatchBank

    def __init__(self, config: MemoryBankConfig) -> None:
        base = config.build_backbone()
        if not isinstance(base, GridNetwork):
            raise ArgumentError(f"backbone={config.backbone!r}", why="it has no maps")
        num_features = config.patch_channels + 1
        stem = PatchFeatures(base, tuple(config.levels))
        super().__init__(config, stem=stem, stages=[], num_features=num_features)
        self.min_size = base.min_size
        self.pool = PatchBank(config.patch_channels, config.num_patches)

    def pass_on_distance(self) -> None:
        """Make the one output the distance of the oddest patch."""
        with torch.no_grad():
            self.classifier.bias.zero_()
            self.classifier.weight.zero_()
            self.classifier.weight[:, -1] = 1.0

    def activation_map(
        self, x: Float[Tensor, "n c *space"], targets: Int[Tensor, " n"]
    ) -> Float[Tensor, " n *grid"]:
        """How far each patch is from the nearest of the bank, less that of the least odd one.

        Args:
            x: Inputs of the network.
            targets: Number of the output of each input, (n,); there is one map for all of them.
        """
        distances = self.pool.distances(self.forward_features(x))
        least = distances.flatten(1).amin(1)
        return distances - least.view(-1, *[1] * (distances.ndim - 1))


def stage_ends(network: GridNetwork) -> list[str]:
    """Names of the blocks that end a stage, by the number of their level."""
    counts = [len(list(stage.children())) for stage in network.stages]
    return [f"stages.{number}.{count - 1}" for number, count in enumerate(counts) if count]


def middle_levels(network: Network) -> tuple[int, ...]:
    """The levels of the two sizes of maps before the coarsest, the last of each size.

    Args:
        network: Of any family.

    Raises:
        ArgumentError: It has no maps of three sizes.
    """
    sizes: dict[int, int] = {}
    if isinstance(network, GridNetwork):
        ends, config = stage_ends(network), network.config
        side = max(network.min_size, config.input_size)
        x = torch.zeros(1, config.in_channels, *[side] * config.rank)
        x = x.to(next(network.parameters()).device)
        with torch.no_grad(), evaluating(network), left_to_torch():
            for name, block in network.blocks():
                x = block(x)
                if name in ends and x.ndim == config.rank + 2:
                    sizes[x.shape[-1]] = ends.index(name)
    if len(sizes) < 3:
        raise _no_middle()
    return tuple(sorted(sizes.values())[-3:-1])


def _no_middle() -> ArgumentError:
    return ArgumentError(
        "this network has no memory bank",
        why="it has no maps of three sizes, whose middle ones are compared",
        fix="choose efficientnet_lite0 or resnet18",
    )


def memory_bank_of(network: Network, name: str, *, num_patches: int) -> MemoryBank:
    """A memory bank on a network's middle maps, whose patches are still to be set.

    Args:
        network: Trained; its weights are copied.
        name: Name of the network, for `create_model`.
        num_patches: Patches in the bank.

    Raises:
        ArgumentError: The network has no maps of three sizes.
    """
    levels = middle_levels(network)
    if not isinstance(network, GridNetwork):
        raise _no_middle()
    features = PatchFeatures(network, levels)
    bank = MemoryBank(
        MemoryBankConfig(
            **backbone_fields(network, name),
            num_classes=1,
            levels=levels,
            patch_channels=_num_channels(features, network),
            num_patches=num_patches,
        )
    )
    bank.stem.load_state_dict(features.state_dict())
    bank.preprocessing = network.preprocessing
    bank.pass_on_distance()
    return bank.to(next(network.parameters()).device).eval()


def _num_channels(features: PatchFeatures, network: Network) -> int:
    config = network.config
    side = max(network.min_size, config.input_size)
    x = torch.zeros(1, config.in_channels, *[side] * config.rank)
    with torch.no_grad(), evaluating(features), left_to_torch():
        return int(features(x.to(next(network.parameters()).device)).shape[1])


VARIANTS: Final = {NAME: MemoryBankConfig()}

register(NAME, VARIANTS, MemoryBank)
