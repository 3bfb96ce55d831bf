"""Kernel machine: a network's features at every scale compared with those of training items.

The last maps of a network tell things of the world apart; the maps on the way tell textures, edges
and spots apart, which is what many data sets are about. Of each late block the mean, the standard
deviation and the maximum of every channel over space are taken: how much of a pattern there is, how
unevenly it lies, and whether it is anywhere. With the pooled last maps they are the features of an
item. A Gaussian kernel compares them with those of some training items, the landmarks, and a linear
layer on the similarities gives logits (Williams and Seeger, Using the Nystroem Method to Speed Up
Kernel Machines, NIPS 2000).

Landmarks and layer come from `striate.transfer.kernel_features`; what is built here starts without
knowledge.

Axes: n items, c channels, f features, m landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from striate.models.backbone import BackboneConfig, backbone_fields
from striate.models.catalog import register
from striate.models.network import GridNetwork, Network, require_counts
from striate.nn.evaluation import evaluating
from striate.nn.kernel_head import KernelHead
from striate.nn.ranks import layers
from striate.ops.depthwise_convolution import left_to_torch

NAME: Final = "kernel_machine"

FINEST_STRIDE: Final = 16
"""Blocks with finer maps are left out: they know edges alone."""

SHORT: Final = 8
"""The axes of an input that only one axis matters of, where the network does not need longer ones."""

MANY_FEATURES: Final = 8192
"""Above as many, only the last block of each stage is described."""


@dataclass(frozen=True, kw_only=True)
class KernelMachineConfig(BackboneConfig):
    """A kernel machine on the maps of its backbone.

    Attributes:
        num_landmarks: Items that an input is compared with.
    """

    num_landmarks: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "num_landmarks")


class ScaleFeatures(nn.Module):
    """Statistics of a network's maps block by block, then its pooled last maps.

    Args:
        network: Its blocks and its pool are used, not copied.

    Attributes:
        num_features: Given for an item; the last are the pooled ones.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(module for _, module in network.blocks())
        self.pool = network.pool
        coarse = _coarse_blocks(network)
        if 3 * sum(coarse.values()) > MANY_FEATURES:
            ends = [
                f"stages.{s}.{len(list(stage.children())) - 1}"
                for s, stage in enumerate(network.stages)
            ]
            coarse = {name: channels for name, channels in coarse.items() if name in ends}
        self.described = tuple(name in coarse for name, _ in network.blocks())
        self.num_features = 3 * sum(coarse.values()) + network.num_features

    def maps(self, x: Float[Tensor, "n c *space"]) -> list[Tensor]:
        """The maps that are described, and the last."""
        found = []
        for block, described in zip(self.blocks, self.described, strict=True):
            x = block(x)
            if described:
                found.append(x)
        return [*found, x]

    def describe(self, maps: Sequence[Tensor]) -> Float[Tensor, "n f"]:
        """The features, of what `maps` gave."""
        *described, last = maps
        found = [statistic for part in described for statistic in statistics(part)]
        return torch.cat([*found, self.pool(last).flatten(1)], 1)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n f"]:
        """The features of normalized inputs."""
        return self.describe(self.maps(x))


def statistics(maps: Float[Tensor, "n c *space"]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, standard deviation and maximum of each channel over space, each (n, c)."""
    axes = tuple(range(2, maps.ndim))
    variance, mean = torch.var_mean(maps, axes, correction=0)
    return mean, variance.clamp(min=torch.finfo(maps.dtype).tiny).sqrt(), maps.amax(axes)


class KernelMachine(GridNetwork):
    """A network's features at every scale, and a kernel machine on them."""

    config: KernelMachineConfig
    stem: ScaleFeatures

    def __init__(self, config: KernelMachineConfig) -> None:
        base = config.build_backbone()
        stem = ScaleFeatures(base)
        super().__init__(config, stem=stem, stages=[], num_features=stem.num_features)
        self.min_size = base.min_size
        self.pool = nn.Flatten()
        self.head = KernelHead(stem.num_features, config.num_landmarks, config.num_classes)

    def activation_map(
        self, x: Float[Tensor, "n c *space"], targets: Int[Tensor, " n"]
    ) -> Float[Tensor, " n *reduced"]:
        """What the maps at each place add to a class's logit, to first order, over all scales.

        Every described map is multiplied by the logit's derivative by it and summed over channels
        (LayerCAM without its rectifier: Jiang et al., IEEE Transactions on Image Processing 2021).
        All are brought to the places of the last maps and added up: the maximum of a fine map
        is a single point, which would be hard to see.

        Args:
            x: Inputs of the network.
            targets: Class of each input, (n,).
        """
        self._check_input(x)
        with torch.no_grad():
            found = self.stem.maps(x)
        with torch.enable_grad():
            maps = [part.detach().requires_grad_() for part in found]
            logits = self.forward_head(self.stem.describe(maps))
            score = logits.gather(1, targets.to(logits.device)[:, None]).sum()
            slopes = torch.autograd.grad(score, maps)
        last = maps[-1].shape[2:]
        pool = layers(len(last)).adaptive_avg_pool(last)
        heat = x.new_zeros(len(x), *last)
        for part, slope in zip(maps, slopes, strict=True):
            added = (part.detach() * slope).sum(1, keepdim=True)
            heat += pool(added)[:, 0] * (added[0].numel() / heat[0].numel())
        return heat


def kernel_machine_of(
    network: Network, name: str, *, num_landmarks: int, num_classes: int
) -> KernelMachine:
    """A kernel machine on a network's maps, its landmarks and layer still to be set.

    Args:
        network: Trained; its weights are copied.
        name: Name of the network, for `create_model`.
        num_landmarks: Items to compare with.
        num_classes: Logits given.
    """
    machine = KernelMachine(
        KernelMachineConfig(
            **backbone_fields(network, name),
            num_classes=num_classes,
            num_landmarks=num_landmarks,
        )
    )
    machine.stem.load_state_dict(ScaleFeatures(network).state_dict())
    machine.preprocessing = network.preprocessing
    return machine.to(next(network.parameters()).device).eval()


def _coarse_blocks(network: Network) -> dict[str, int]:
    """Channels of the blocks in stages whose maps are coarse, by name."""
    config, blocks = network.config, network.blocks()
    staged = [name for name, _ in blocks if name.startswith("stages.")]
    # Only the last axis is looked at. The others are short: this is computed, for on torch's meta
    # device it would import a compiler, which takes longer than a network does for a picture.
    fixed = getattr(config, "fixed_size", False)
    short = config.input_size if fixed else max(network.min_size, SHORT)
    space = (*[short] * (config.rank - 1), config.input_size)
    x = torch.zeros(1, config.in_channels, *space, device=next(network.parameters()).device)
    found = {}
    with torch.no_grad(), evaluating(network), left_to_torch():
        for name, block in takewhile(lambda _: staged, blocks):
            x = block(x)
            has_space = x.ndim == config.rank + 2
            if name in staged:
                staged.remove(name)
                if has_space and x.shape[-1] * FINEST_STRIDE <= config.input_size:
                    found[name] = x.shape[1]
    return found


VARIANTS: Final = {NAME: KernelMachineConfig()}

register(NAME, VARIANTS, KernelMachine)
