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


class SegmentPool(nn.Module):
    """One reduction of the nodes of each graph; 0 for a graph without nodes.

    Args:
        reduce: The sum, the mean or the maximum over consecutive rows.
    """

    def __init__(self, reduce: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.reduce = reduce

    def forward(self, x: Float[Tensor, "N C"], batch: GraphBatch) -> Float[Tensor, "n C"]:
        """Pool the nodes of each graph."""
        return self.reduce(x, batch.pointers)


class AttentionPool(nn.Module):
    """The sum of the nodes, each weighted by a softmax within its graph.

    Li et al., "Gated Graph Sequence Neural Networks", ICLR 2016, equation 7, with a softmax in the
    place of the sigmoid.

    Args:
        channels: Number of channels of the nodes.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Linear(channels, 1)

    def forward(self, x: Float[Tensor, "N C"], batch: GraphBatch) -> Float[Tensor, "n C"]:
        """Pool the nodes of each graph."""
        weights = segment_softmax(self.gate(x), batch.pointers)
        return segment_sum(x * weights, batch.pointers)


class NodeSelection(nn.Module):
    """The nodes that are classified: those that are seeds, or all where there are none."""

    def forward(self, x: Float[Tensor, "N C"], batch: GraphBatch) -> Float[Tensor, "n C"]:
        """Select the rows of the nodes."""
        return x if batch.seeds is None else x[batch.seeds]


MakePool: TypeAlias = Callable[[int], nn.Module]

READOUTS: Registry[MakePool] = Registry("readout")
"""Pools by name, each made for a number of channels."""

READOUTS.add("sum", lambda _: SegmentPool(segment_sum))
READOUTS.add("mean", lambda _: SegmentPool(segment_mean))
READOUTS.add("max", lambda _: SegmentPool(segment_max))
READOUTS.add("attention", AttentionPool)


class GraphPool(nn.Module):
    """Several pools of the same nodes, side by side.

    Args:
        channels: Number of channels of the nodes.
        readout: Names of `READOUTS`, joined by "+".

    Raises:
        UnknownNameError: There is no such readout.
    """

    def __init__(self, channels: int, readout: str) -> None:
        super().__init__()
        names = readout.split("+")
        self.pools = nn.ModuleList(READOUTS.get(name)(channels) for name in names)
        self.num_features = channels * len(names)

    def forward(
        self, x: Float[Tensor, "N channels"], batch: GraphBatch
    ) -> Float[Tensor, "n num_features"]:
        """Pool the nodes of each graph."""
        return torch.cat([pool(x, batch) for pool in self.pools], 1)
