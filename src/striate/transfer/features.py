"""Frozen features: what a pretrained network says of each item before its head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from striate.device import fast_dtype
from striate.errors import UnknownNameError
from striate.nn.fuse import fold_batch_norm
from striate.nn.layout import channels_last, channels_last_module
from striate.progress import Tracker
from striate.transfer.blocks import BlockNetwork

MICRO_BATCH = {"cpu": 8, "cuda": 256}
"""Items computed together: few on a CPU, so that a layer's maps stay in its cache."""


class FeatureExtractor(nn.Module):
    """Pooled maps of some blocks, and of the last, side by side.

    Args:
        network: its blocks and pool are used, not copied.
        stages: names of further blocks whose maps are averaged over space and put in front.

    Raises:
        UnknownNameError: no block has such a name.
    """

    def __init__(self, network: BlockNetwork, stages: Sequence[str] = ()) -> None:
        super().__init__()
        names = [name for name, _ in network.blocks()]
        for stage in stages:
            if stage not in names:
                raise UnknownNameError("block", stage, names)
        self.blocks = nn.ModuleList(module for _, module in network.blocks())
        self.pool = network.pool
        self.taps = tuple(name in stages for name in names)

    def forward(self, inputs: Float[Tensor, "n c *space"]) -> Float[Tensor, "n features"]:
        """Features of normalized inputs."""
        features = []
        maps = inputs
        for block, tapped in zip(self.blocks, self.taps, strict=True):
            maps = block(maps)
            if tapped:
                features.append(maps.flatten(2).mean(-1))
        features.append(self.pool(maps).flatten(1))
        return torch.cat(features, dim=1)


def extract(
    network: BlockNetwork,
    batches: Iterable[UInt8[Tensor, "n c *space"]],
    *,
    stages: Sequence[str] = (),
    dtype: torch.dtype | None = None,
    tracker: Tracker | None = None,
) -> Float[Tensor, "n features"]:
    """Frozen features of every item, float32 on the CPU, in the order of the batches.

    Args:
        network: pretrained, on the device to compute on; stays as it is.
        batches: pixels, in batches of any size.
        stages: blocks whose averaged maps are added (see `FeatureExtractor`).
        dtype: precision; by default the device's fast one.
        tracker: advanced by the items done.

    Raises:
        UnknownNameError: no block has the name of a stage.
    """
    device = next(network.parameters()).device
    dtype = dtype or fast_dtype(device.type)
    size = MICRO_BATCH.get(device.type, 32)
    extractor: nn.Module = FeatureExtractor(network, stages)
    features: list[Tensor] = []
    frozen: nn.Module | None = None
    for batch in batches:
        for pixels in torch.split(batch, size):
            inputs = network.preprocessing.normalize(pixels.to(device))
            frozen = frozen or prepare(extractor, inputs, dtype)
            with torch.inference_mode():
                features.append(frozen(channels_last(inputs.to(dtype))).float().cpu())
            if tracker is not None:
                tracker.advance(len(pixels))
    return torch.cat(features)


def prepare(
    network: nn.Module, example: Float[Tensor, "n c *space"], dtype: torch.dtype
) -> nn.Module:
    """A copy for fast inference: batch norms folded, in `dtype`, channels last."""
    return channels_last_module(fold_batch_norm(network, example).to(dtype))
