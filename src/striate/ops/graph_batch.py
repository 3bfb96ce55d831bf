"""Graphs side by side in flat tensors, as graph convolutions take them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class GraphBatch:
    """Some graphs, their nodes and edges one after the other; edges are sorted by target.

    Attributes:
        nodes: features of each node.
        edges: source and target of each edge, as positions in `nodes`; ascending by target.
        graph_of_node: number of the graph that each node belongs to, ascending.
        num_graphs: graphs, empty ones included.
        edge_features: of each edge; None where there are none.
        seeds: nodes to be classified, where nodes are; None where whole graphs are.
    """

    nodes: Float[Tensor, "nodes features"]
    edges: Int64[Tensor, "2 edges"]
    graph_of_node: Int64[Tensor, " nodes"]
    num_graphs: int
    edge_features: Float[Tensor, "edges edge_features"] | None = None
    seeds: Int64[Tensor, " seeds"] | None = None

    def __len__(self) -> int:
        """Number of outputs a network gives: graphs, or seeds."""
        return self.num_graphs if self.seeds is None else len(self.seeds)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.nodes.device
