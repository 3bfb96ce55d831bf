"""The edges of a graph, ordered so that sums over neighbours need no scattering."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor


def pointers_of(numbers: Int64[Tensor, " n"], count: int) -> Int64[Tensor, " count_and_one"]:
    """Where each number from 0 to `count` - 1 begins among ascending ones, and their count.

    >>> pointers_of(torch.tensor([0, 0, 2]), 4)
    tensor([0, 2, 2, 3, 3])
    """
    if numbers.device.type == "cpu":
        counts = torch.bincount(numbers, minlength=count)
        return torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    # A search: counting in parallel has no fixed order.
    return torch.searchsorted(
        numbers.contiguous(), torch.arange(count + 1, device=numbers.device, dtype=numbers.dtype)
    )


_FEW_NODES: Final = 1 << 16
"""Nodes whose numbers fit into 16 bits."""


@dataclass(frozen=True, kw_only=True)
class BySource:
    """The edges in the order of their sources.

    Attributes:
        order: Position of each edge among the edges ascending by target.
        pointers: Where the edges of each source begin in `order`, and their number.
        targets: The node that each edge goes to, in this order.
    """

    order: Int64[Tensor, " edges"]
    pointers: Int64[Tensor, " nodes_and_one"]
    targets: Int64[Tensor, " edges"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Adjacency:
    """The edges of a graph, sorted by target; what follows from them is computed once, when asked.

    Attributes:
        sources: The node that each edge comes from.
        targets: The node that each edge goes to, ascending.
        num_nodes: Number of nodes of the graph.
    """

    sources: Int64[Tensor, " edges"]
    targets: Int64[Tensor, " edges"]
    num_nodes: int

    @cached_property
    def pointers(self) -> Int64[Tensor, " nodes_and_one"]:
        """Where the edges into each node begin, and the number of edges."""
        return pointers_of(self.targets, self.num_nodes)

    @cached_property
    def degrees(self) -> Int64[Tensor, " nodes"]:
        """Number of edges into each node."""
        return self.pointers.diff()

    @cached_property
    def shares(self) -> Float[Tensor, "nodes 1"]:
        """One over the number of edges into each node; 1 where there is none."""
        return self.degrees.clamp(min=1).float().reciprocal_()[:, None]

    @cached_property
    def positions(self) -> Int64[Tensor, " edges"]:
        """The positions of the edges themselves: 0, 1, 2, ..."""
        return torch.arange(len(self.sources), device=self.sources.device)

    @cached_property
    def loops(self) -> Int64[Tensor, " edges"]:
        """Positions of the edges from a node to itself."""
        return torch.nonzero(self.sources == self.targets)[:, 0]

    @cached_property
    def by_source(self) -> BySource:
        """The same edges by their sources: what a gradient flows along."""
        if self.sources.device.type == "cpu":
            order = _counting_sort(self.sources, self.num_nodes)
        else:
            order = torch.argsort(self.sources, stable=True)
        pointers = pointers_of(self.sources[order], self.num_nodes)
        return BySource(order=order, pointers=pointers, targets=self.targets[order])


def _counting_sort(sources: Tensor, num_nodes: int) -> Tensor:
    """The stable order by source, in linear time."""
    if num_nodes <= _FEW_NODES:
        # Of 16 bits numpy's stable sort is one by digits.
        return torch.from_numpy(np.argsort(sources.numpy().astype(np.uint16), kind="stable"))
    from scipy.sparse import coo_array

    # The transposition of a sparse matrix.
    positions = np.arange(len(sources))
    shape = (num_nodes, len(sources))
    by_source = coo_array((positions, (sources.numpy(), positions)), shape=shape).tocsr()
    return torch.from_numpy(by_source.indices.astype(np.int64))


def sort_by_target(
    edges: Int64[Tensor, "2 edges"],
) -> tuple[Int64[Tensor, "2 edges"], Int64[Tensor, " edges"]]:
    """Edges ascending by target, then by source, and the position that each had before."""
    by_source = torch.argsort(edges[0], stable=True)
    order = by_source[torch.argsort(edges[1][by_source], stable=True)]
    return edges[:, order], order
