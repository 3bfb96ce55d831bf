"""Fine-tuning with layer-wise learning rates, and blocks that stay as they are."""

from __future__ import annotations

from typing import Any

from torch import nn

from striate.errors import ArgumentError
from striate.nn.parameters import ParameterGroup, decay_groups
from striate.transfer.blocks import BlockNetwork, block_modules


def layer_groups(
    network: BlockNetwork,
    *,
    depth_decay: float = 0.85,
    head_scale: float = 4.0,
    weight_decay: float = 0.0,
) -> list[ParameterGroup]:
    """Groups whose rates fall geometrically from the last block to the first.

    Early blocks hold general filters that need little change. Frozen parameters are left out;
    biases and norms do not decay.

    Args:
        network: its trainable parameters are grouped.
        depth_decay: a block's rate over that of the block after it; the last block's scale is 1.
        head_scale: the head's rate over the last block's: it is fresh.
        weight_decay: of the weights.

    Source: discriminative fine-tuning, Howard and Ruder, ACL 2018, section 3.2.
    """
    blocks = list(network.blocks())
    groups: list[ParameterGroup] = []
    for distance, (name, block) in enumerate(reversed(blocks)):
        scale = depth_decay**distance
        groups = decay_groups(name, [block], rate_scale=scale, weight_decay=weight_decay) + groups
    head = [network.pool, network.head]
    return groups + decay_groups("head", head, rate_scale=head_scale, weight_decay=weight_decay)


def freeze_prefix(network: BlockNetwork, cut: int) -> None:
    """Freeze the first `cut` blocks: no gradients, and evaluation mode whatever `.train()` says.

    Raises:
        ArgumentError: there are fewer blocks.
    """
    check_cut(network, cut)
    for block in block_modules(network, cut):
        block.requires_grad_(False).eval()
        # A hook and not an overridden `train`: it is copied along with the block.
        block.register_forward_pre_hook(_stay_in_evaluation_mode)


def check_cut(network: BlockNetwork, cut: int) -> None:
    """Refuse a cut that leaves no block to train or is negative.

    Raises:
        ArgumentError: the cut is out of range.
    """
    count = len(network.blocks())
    if not 0 <= cut <= count:
        raise ArgumentError(f"cut={cut}", why=f"the network has {count} blocks")


def _stay_in_evaluation_mode(block: nn.Module, inputs: tuple[Any, ...]) -> None:
    if block.training:
        block.eval()
