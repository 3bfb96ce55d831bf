"""Graphs side by side in flat tensors, as graph convolutions take them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from striate.ops.graph_adjacency import Adjacency, pointers_of


@dataclass(frozen=True, kw_only=True)
class GraphBatch:
    """Some graphs, their nodes and edges one after the other; edges are sorted by target.

    Attributes:
        nodes: Features of each node.
        edges: Source and target of each edge, as positions in `nodes`, ascending by target.
        graph_of_node: Number of the graph that each node belongs to, ascending.
        num_graphs: Number of graphs, empty ones included.
        edge_features: Features of each edge; None where there are none.
        seeds: The nodes that are predicted; None where whole graphs are.
        whole: Features of each graph as a whole, such as a molecule's descriptors; None where there
            are none.
    """

    nodes: Float[Tensor, "nodes features"]
    edges: Int64[Tensor, "2 edges"]
    graph_of_node: Int64[Tensor, " nodes"]
    num_graphs: int
    edge_features: Float[Tensor, "edges edge_features"] | None = None
    seeds: Int64[Tensor, " seeds"] | None = None
    whole: Float[Tensor, "graphs whole_features"] | None = None

    def __len__(self) -> int:
        """Number of outputs that a network gives: one for each graph, or for each seed."""
        return self.num_graphs if self.seeds is None else len(self.seeds)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.nodes.device

    @cached_property
    def adjacency(self) -> Adjacency:
        """The edges as sums over neighbours need them, shared by every layer that sees this batch."""
        return Adjacency(sources=self.edges[0], targets=self.edges[1], num_nodes=len(self.nodes))

    @cached_property
    def pointers(self) -> Int64[Tensor, " graphs_and_one"]:
        """Where the nodes of each graph begin, and the number of nodes at the end."""
        return pointers_of(self.graph_of_node, self.num_graphs)

    def to(self, device: torch.device | str) -> GraphBatch:
        """The same batch on another device."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors = {name: value for name, value in values.items() if torch.is_tensor(value)}
        values |= {name: tensor.to(device) for name, tensor in tensors.items()}
        return GraphBatch(**values)

    def tensor_split(self, parts: int) -> tuple[GraphBatch, ...]:
        """The batch in `parts` of about equal numbers of outputs, in order, like a tensor's.

        Graphs are dealt out with their nodes and edges. Seeds are dealt out alone: each part keeps
        the whole graph, for any node may be a neighbour.
        """
        if self.seeds is not None:
            return tuple(replace(self, seeds=seeds) for seeds in self.seeds.tensor_split(parts))
        size, larger = divmod(self.num_graphs, parts)
        starts = [part * size + min(part, larger) for part in range(parts + 1)]
        return tuple(self._graphs(*pair) for pair in pairwise(starts))

    def _graphs(self, first: int, end: int) -> GraphBatch:
        """The graphs from `first` up to, not including, `end`."""
        bounds = self.pointers[[first, end]]
        low, high = bounds.tolist()
        # Ascending targets: the edges of neighbouring graphs are neighbours.
        start, stop = torch.searchsorted(self.edges[1].contiguous(), bounds).tolist()
        features = self.edge_features
        return GraphBatch(
            nodes=self.nodes[low:high],
            edges=self.edges[:, start:stop] - low,
            graph_of_node=self.graph_of_node[low:high] - first,
            num_graphs=end - first,
            edge_features=None if features is None else features[start:stop],
            whole=None if self.whole is None else self.whole[first:end],
        )
