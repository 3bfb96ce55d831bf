"""From the nodes of each graph to one vector, and the norm of nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.ops.graph_batch import GraphBatch
from striate.ops.graph_reduce import segment_max, segment_mean, segment_softmax, segment_sum
from striate.registry import Registry


class NodeNorm(nn.BatchNorm1d):
    """Batch norm over nodes; with fewer than two, which have no variance, by running statistics."""

    def forward(self, x: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
        """Normalize each channel."""
        if self.training and len(x) > 1:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return (x - self.running_mean) * scale + self.bias


class SumPool(nn.Module):
    """The sum of the nodes; 0 for a graph without any."""

    def forward(self, x: Float[Tensor, "N C"], batch: GraphBatch) -> Float[Tensor, "n C"]:
        """Pool."""
        return segment_sum(x, batch.pointers)


class MeanPool(nn.Module):
    """The mean of the nodes; 0 for a graph without any."""

    def forward(self, x: Float[Tensor, "N C"], batch: GraphBatch) -> Float[Tensor, "n C"]:
        """Pool."""
        return segment_mean(x, batch.pointers)


class MaxPool(nn.Module):
    """The maximum over the nodes; 0 for a graph without any."""

    def forward(self, x: Float[Tensor, "N C"], batch: GraphBatch) -> Float[Tensor, "n C"]:
        """Pool."""
        return segment_max(x, batch.pointers)


class AttentionPool(nn.Module):
    """The sum of the nodes, each weighted by a softmax within its graph.

    Li et al., "Gated Graph Sequence Neural Networks", ICLR 2016, equation 7, with a softmax in the
    place of the sigmoid.

    Args:
        channels: of the nodes.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Linear(channels, 1)

    def forward(self, x: Float[Tensor, "N C"], batch: GraphBatch) -> Float[Tensor, "n C"]:
        """Pool."""
        weights = segment_softmax(self.gate(x), batch.pointers)
        return segment_sum(x * weights, batch.pointers)


MakePool: TypeAlias = Callable[[int], nn.Module]

READOUTS: Registry[MakePool] = Registry("readout")
"""Pools by name, each made for a number of channels."""

READOUTS.add("sum", lambda _: SumPool())
READOUTS.add("mean", lambda _: MeanPool())
READOUTS.add("max", lambda _: MaxPool())
READOUTS.add("attention", AttentionPool)


class GraphPool(nn.Module):
    """Several pools of the same nodes, side by side.

    Args:
        channels: of the nodes.
        readout: names of `READOUTS`, joined by "+".

    Raises:
        UnknownNameError: no such readout.
    """

    def __init__(self, channels: int, readout: str) -> None:
        super().__init__()
        names = readout.split("+")
        self.pools = nn.ModuleList(READOUTS.get(name)(channels) for name in names)
        self.num_features = channels * len(names)

    def forward(
        self, x: Float[Tensor, "N channels"], batch: GraphBatch
    ) -> Float[Tensor, "n num_features"]:
        """Pool each graph."""
        return torch.cat([pool(x, batch) for pool in self.pools], 1)
