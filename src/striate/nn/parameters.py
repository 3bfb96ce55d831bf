"""Parameters in groups that share a learning rate and a weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import nn


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters that are trained with the same learning rate and weight decay.

    Attributes:
        name: Name of the group in messages ("stem", "stages.2, no decay").
        parameters: Parameters of the group; none is in two groups.
        rate_scale: Factor on the schedule's learning rate.
        weight_decay: Weight decay of AdamW, decoupled.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    rate_scale: float = 1.0
    weight_decay: float = 0.0


def groups_of_copy(
    groups: Iterable[ParameterGroup], network: nn.Module, other: nn.Module
) -> list[ParameterGroup]:
    """The groups with the parameters that have the same names in a copy of the network.

    Args:
        groups: Groups of the network's parameters.
        network: The network.
        other: The copy; the network itself for the same groups.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    copied = dict(other.named_parameters())
    return [
        replace(group, parameters=tuple(copied[names[id(p)]] for p in group.parameters))
        for group in groups
    ]


def decay_groups(
    name: str, modules: Iterable[nn.Module], *, rate_scale: float, weight_decay: float
) -> list[ParameterGroup]:
    """The trainable parameters in two groups: weights decay, biases and norms (one axis) do not."""
    unique = {id(p): p for module in modules for p in module.parameters() if p.requires_grad}
    weights = tuple(p for p in unique.values() if p.ndim > 1)
    others = tuple(p for p in unique.values() if p.ndim <= 1)
    groups = (
        ParameterGroup(
            name=name, parameters=weights, rate_scale=rate_scale, weight_decay=weight_decay
        ),
        ParameterGroup(name=f"{name}, no decay", parameters=others, rate_scale=rate_scale),
    )
    return [group for group in groups if group.parameters]


def plain_groups(network: nn.Module, weight_decay: float) -> list[ParameterGroup]:
    """All trainable parameters of a network, at one learning rate."""
    return decay_groups("network", [network], rate_scale=1.0, weight_decay=weight_decay)
