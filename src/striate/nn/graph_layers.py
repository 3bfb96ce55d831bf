"""Graph convolutions: GCN, GraphSAGE, GIN and GAT, each as in its paper.

Each takes the nodes' features, the graph's adjacency and, where its paper has them, the edges'
features. A node without neighbours gets what its own features give.

Axes: N nodes, E edges, H heads, C channels of a head.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from striate.ops.graph_adjacency import Adjacency
from striate.ops.graph_attention import attention, attention_of_pairs
from striate.ops.graph_reduce import (
    neighbour_max,
    neighbour_mean,
    neighbour_sum,
    rectified_sum,
    scaled_sum,
)

AGGREGATIONS: Final = {"mean": neighbour_mean, "sum": neighbour_sum, "max": neighbour_max}
"""How GraphSAGE may bring a node's neighbours together."""

NEGATIVE_SLOPE: Final = 0.2
"""Slope of attention's leaky rectifier for negative values: section 3.3 of the GAT paper."""


class GraphConv(nn.Module):
    """Graph convolution with symmetric normalization and a loop at every node.

    Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks",
    ICLR 2017, equation 2. An edge from a node to itself takes the place of the loop.

    Args:
        in_channels: Number of features of a node.
        out_channels: Number of outputs for a node.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.xavier_uniform_(self.linear.weight)

    def forward(
        self, x: Float[Tensor, "N in_channels"], adjacency: Adjacency
    ) -> Float[Tensor, "N out_channels"]:
        """Convolve over the edges."""
        # Equal either way, but for rounding: the sum is taken over the fewer channels.
        narrower = self.linear.out_features < self.linear.in_features
        if narrower:
            x = self.linear(x)
        loop = x.new_ones(adjacency.num_nodes)
        loop[adjacency.targets[adjacency.loops]] = 0
        scale = (
            (adjacency.degrees.to(x.dtype) + loop).rsqrt().nan_to_num(posinf=0.0, nan=0.0)[:, None]
        )
        if scale.requires_grad:
            scaled = x * scale
            x = (neighbour_sum(scaled, adjacency) + scaled * loop[:, None]) * scale
        else:
            x = scaled_sum(x, scale, loop[:, None], adjacency)
        return x + self.bias if narrower else F.linear(x, self.linear.weight, self.bias)


class SageConv(nn.Module):
    """A node's own features and its neighbours' mean (or sum, or maximum), each mapped linearly.

    Hamilton, Ying and Leskovec, "Inductive Representation Learning on Large Graphs",
    NeurIPS 2017, algorithm 1 with the concatenation written as a sum of two maps.

    Args:
        in_channels: Number of features of a node.
        out_channels: Number of outputs for a node.
        aggregation: How the neighbours are brought together, one of `AGGREGATIONS`.
    """

    def __init__(self, in_channels: int, out_channels: int, aggregation: str = "mean") -> None:
        super().__init__()
        self.aggregation = aggregation
        self.of_neighbours = nn.Linear(in_channels, out_channels)
        self.of_self = nn.Linear(in_channels, out_channels, bias=False)

    def forward(
        self, x: Float[Tensor, "N in_channels"], adjacency: Adjacency
    ) -> Float[Tensor, "N out_channels"]:
        """Convolve over the edges."""
        linear = self.of_neighbours
        weight, bias = linear.weight, linear.bias
        own = F.linear(x, self.of_self.weight, bias)
        aggregate = AGGREGATIONS[self.aggregation]
        if self.aggregation != "max" and linear.out_features < linear.in_features:
            # Sums and means go past a linear map: taken over the fewer channels.
            return own.add_(aggregate(F.linear(x, weight), adjacency))
        return own.add_(F.linear(aggregate(x, adjacency), weight))


class IsomorphismConv(nn.Module):
    """GIN: a perceptron on the node's features plus the sum of its neighbours'.

    Xu et al., "How Powerful are Graph Neural Networks?", ICLR 2019, equation 4.1. With features
    of edges each message is the rectified sum of the source's and the edge's, mapped to the nodes'
    channels: Hu et al., "Strategies for Pre-training Graph Neural Networks", ICLR 2020.

    Args:
        perceptron: The module after the sum.
        in_channels: Number of features of a node.
        edge_channels: Number of features of an edge; 0 where there are none.

    Attributes:
        eps: The learned part of the factor 1 + eps on the node's own features.
    """

    def __init__(self, perceptron: nn.Module, in_channels: int, edge_channels: int = 0) -> None:
        super().__init__()
        self.perceptron = perceptron
        self.of_edges = nn.Linear(edge_channels, in_channels) if edge_channels else None
        self.eps = nn.Parameter(torch.tensor(0.0))

    def forward(
        self,
        x: Float[Tensor, "N in_channels"],
        adjacency: Adjacency,
        edge_features: Float[Tensor, "E edge_channels"] | None = None,
    ) -> Float[Tensor, "N out_channels"]:
        """Convolve over the edges."""
        if self.of_edges is None:
            summed = neighbour_sum(x, adjacency)
        else:
            assert edge_features is not None, "a layer with edge channels needs edge features"
            summed = rectified_sum(x, self.of_edges(edge_features), adjacency)
        out: Tensor = self.perceptron(torch.addcmul(summed, 1 + self.eps, x))
        return out


class AttentionConv(nn.Module):
    """GAT: the neighbours and the node itself, weighted by attention.

    Velickovic et al., "Graph Attention Networks", ICLR 2018, equations 1 to 6. With `dynamic` the
    order of map and rectifier is that of Brody, Alon and Yahav, "How Attentive are Graph Attention
    Networks?", ICLR 2022, so that each node may rank its neighbours in an order of its own. An edge
    from a node to itself counts as the loop that every node has; a loop's edge features are the
    mean over the other edges into the node.

    Args:
        in_channels: Number of features of a node.
        out_channels: Number of outputs of each head; those of all heads are put side by side.
        heads: Number of attention heads.
        edge_channels: Number of features of an edge; 0 where there are none.
        dropout: Probability that a neighbour is left out while training.
        dynamic: Whether the attention is that of 2022.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        heads: int = 1,
        edge_channels: int = 0,
        dropout: float = 0.0,
        dynamic: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.out_channels, self.dropout = heads, out_channels, dropout
        width = heads * out_channels
        self.of_sources = nn.Linear(in_channels, width, bias=dynamic)
        self.of_targets = nn.Linear(in_channels, width) if dynamic else None
        self.of_edges = nn.Linear(edge_channels, width, bias=False) if edge_channels else None
        shape = (heads, out_channels)
        self.source_attention = nn.Parameter(torch.empty(shape))
        self.target_attention = None if dynamic else nn.Parameter(torch.empty(shape))
        has_edges = edge_channels and not dynamic
        self.edge_attention = nn.Parameter(torch.empty(shape)) if has_edges else None
        self.bias = nn.Parameter(torch.zeros(width))
        self._initialize()

    def _initialize(self) -> None:
        for linear in (self.of_sources, self.of_targets, self.of_edges):
            if linear is not None:
                nn.init.xavier_uniform_(linear.weight)
        bound = math.sqrt(6 / (self.heads + self.out_channels))
        for attention_vector in (self.source_attention, self.target_attention, self.edge_attention):
            if attention_vector is not None:
                nn.init.uniform_(attention_vector, -bound, bound)

    def forward(
        self,
        x: Float[Tensor, "N in_channels"],
        adjacency: Adjacency,
        edge_features: Float[Tensor, "E edge_channels"] | None = None,
    ) -> Float[Tensor, "N out"]:
        """Convolve over the edges; the output has `heads * out_channels` channels."""
        shape = (-1, self.heads, self.out_channels)
        rate = self.dropout if self.training else 0.0
        sources = self.of_sources(x).view(shape)
        if self.target_attention is not None:
            out = attention(
                sources,
                (sources * self.source_attention).sum(-1),
                (sources * self.target_attention).sum(-1),
                adjacency,
                edge_logits=self._edge_logits(edge_features),
                negative_slope=NEGATIVE_SLOPE,
                dropout=rate,
            )
        else:
            assert self.of_targets is not None
            edges = None if self.of_edges is None else self.of_edges(edge_features).view(shape)
            out = attention_of_pairs(
                sources,
                self.of_targets(x).view(shape),
                self.source_attention,
                adjacency,
                edges=edges,
                negative_slope=NEGATIVE_SLOPE,
                dropout=rate,
            )
        return out.flatten(1) + self.bias

    def _edge_logits(self, edge_features: Tensor | None) -> Float[Tensor, "E H"] | None:
        """What the edges' features add to each attention logit, without mapping them one by one."""
        if self.of_edges is None or self.edge_attention is None:
            return None
        assert edge_features is not None, "a layer with edge channels needs edge features"
        weight = self.of_edges.weight.view(self.heads, self.out_channels, -1)
        return edge_features @ torch.einsum("hce,hc->eh", weight, self.edge_attention)
