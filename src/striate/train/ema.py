"""An exponential moving average of a network's weights, which is steadier than the weights."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_Tensors: TypeAlias = tuple[Tensor, ...] | list[Tensor]


def decay_at(updates: int, decay: float) -> float:
    """The decay of an update: low at first, so that the first weights are soon forgotten.

    >>> decay_at(0, 0.99), decay_at(10_000, 0.99)
    (0.1, 0.99)
    """
    return min(decay, (1 + updates) / (10 + updates))


def weight_average(network: nn.Module, decay: float) -> AveragedModel:
    """A moving average that starts from the network's present weights, in evaluation mode.

    Args:
        network: Its parameters and buffers are averaged; buffers of whole numbers are copied.
        decay: Weight of the past in each update, once warmed up.
    """

    def update(averages: _Tensors, values: _Tensors, count: Tensor | int) -> None:
        averages = [_own(tensor) for tensor in averages]
        values = [_own(tensor) for tensor in values]
        if averages[0].is_floating_point():
            updates = int(average.n_averaged) - 1
            torch._foreach_lerp_(averages, values, 1 - decay_at(updates, decay))
        else:
            torch._foreach_copy_(averages, values)

    average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
    average.n_averaged.fill_(1)  # the present weights count: else the first update would copy
    return average.eval().requires_grad_(False)


def _own(tensor: Tensor) -> Tensor:
    """This process's share of a tensor that is divided over processes, or the tensor."""
    share: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return share
