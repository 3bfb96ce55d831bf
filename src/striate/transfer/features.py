"""Frozen features: what a pretrained network computes of each item before its head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from striate.device import fast_dtype
from striate.models import Network
from striate.nn.fuse import fold_batch_norm
from striate.nn.fused import fuse_activations
from striate.nn.layout import channels_last, channels_last_module

MICRO_BATCH = {"cpu": 8, "cuda": 256}
"""Items computed together: few on a CPU, so that a layer's maps stay in its cache."""


class PooledFeatures(nn.Module):
    """A network's pooled last maps.

    Args:
        network: The network, whose blocks and pool are used, not copied.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(module for _, module in network.blocks()))
        self.pool = network.pool

    def forward(self, inputs: Float[Tensor, "n c *space"]) -> Float[Tensor, "n features"]:
        """Features of normalized inputs."""
        pooled: Tensor = self.pool(self.blocks(inputs))
        return pooled.flatten(1)


def extract(
    network: Network,
    batches: Iterable[UInt8[Tensor, "n c *space"]],
    *,
    features: nn.Module | None = None,
    dtype: torch.dtype | None = None,
) -> Iterator[Float[Tensor, "n features"]]:
    """Frozen features, float32 on the CPU, a few items at a time in the order of the batches.

    Args:
        network: The pretrained network, on the device to compute on; it stays as it is.
        batches: Pixels, in batches of any size.
        features: A module made of the network, from normalized inputs to features; its pooled last
            maps by default.
        dtype: Precision; the device's fast one by default.
    """
    device = next(network.parameters()).device
    dtype = dtype or fast_dtype(device.type)
    size = MICRO_BATCH.get(device.type, 32)
    extractor = features or PooledFeatures(network)
    frozen: nn.Module | None = None
    for batch in batches:
        for pixels in torch.split(batch, size):
            inputs = network.preprocessing.normalize(pixels.to(device))
            frozen = frozen or prepare(extractor, inputs, dtype)
            with torch.inference_mode():
                found = frozen(channels_last(inputs.to(dtype))).float().cpu()
            yield found


def prepare(
    network: nn.Module, example: Float[Tensor, "n c *space"], dtype: torch.dtype
) -> nn.Module:
    """A copy for fast inference: batch norms and activations in the convolutions, channels last.

    Args:
        network: In float32; it stays as it is.
        example: Normalized inputs that reach every layer, on the network's device; the first of
            them is looked at.
        dtype: Precision of the copy.
    """
    example = example[:1]
    folded = channels_last_module(fold_batch_norm(network, example).to(dtype))
    return fuse_activations(folded, channels_last(example.to(dtype)))
