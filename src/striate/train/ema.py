"""An exponential moving average of a network's weights, which is steadier than the weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def decay_at(updates: int, decay: float) -> float:
    """The decay of an update: low at first, so that the first weights are soon forgotten.

    >>> decay_at(0, 0.99), decay_at(10_000, 0.99)
    (0.1, 0.99)
    """
    return min(decay, (1 + updates) / (10 + updates))


class WeightAverage:
    """The average, as a network of its own.

    Args:
        network: averaged from its present weights on; buffers too (whole numbers are copied).
        decay: weight of the past in each update, once warmed up.

    Attributes:
        network: the average; in evaluation mode.
        updates: how many there were.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the present weights of the network."""
        share = 1 - decay_at(self.updates, self.decay)
        averages: list[Tensor] = []
        values: list[Tensor] = []
        present = network.state_dict(keep_vars=True)
        for name, average in self.network.state_dict(keep_vars=True).items():
            value = present[name]
            if average.is_floating_point():
                averages.append(average)
                values.append(value)
            else:
                average.copy_(value)
        torch._foreach_lerp_(averages, values, share)
        self.updates += 1
