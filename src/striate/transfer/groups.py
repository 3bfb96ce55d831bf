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


def relative_groups(
    tail: nn.Module, head: nn.Module, *, head_rate: float, bias_share: float = 0.1
) -> list[ParameterGroup]:
    """A group for each parameter, its rate in proportion to the size of its values.

    Adam moves every number by about its learning rate, whatever the numbers' size. In a pretrained
    network whose norms are folded, tensors differ in size by orders of magnitude, and one rate
    would wreck the small ones before it moves the large ones. With these groups, the schedule's
    rate is the relative change of a tensor in a step.

    Args:
        tail: the pretrained layers; frozen parameters are left out.
        head: a part of the tail that is fresh, at a rate of its own.
        head_rate: the head's rate over the schedule's, not relative.
        bias_share: of the relative rate, for biases.

    Source: the layer-wise trust ratio of LARS (You, Gitman, Ginsburg 2017, arXiv:1708.03888),
    taken once, from the pretrained values.
    """
    fresh = {id(parameter) for parameter in head.parameters()}
    groups = [
        ParameterGroup(
            name=name,
            parameters=(parameter,),
            rate_scale=_size(parameter) * (1 if parameter.ndim > 1 else bias_share),
        )
        for name, parameter in tail.named_parameters()
        if parameter.requires_grad and id(parameter) not in fresh
    ]
    return [*groups, *decay_groups("head", [head], rate_scale=head_rate, weight_decay=0.0)]


_LEAST_SIZE = 0.1
"""Biases may be all zero; they are then moved as if they were of this size."""


def _size(parameter: nn.Parameter) -> float:
    """Root mean square of the values."""
    size = float(parameter.detach().square().mean().sqrt())
    return size if parameter.ndim > 1 else max(size, _LEAST_SIZE)


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
