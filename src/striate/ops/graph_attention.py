"""Attention over a node's neighbours and the node itself.

Axes: N nodes, E edges, H heads, C channels of a head.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from striate.ops.graph_adjacency import Adjacency
from striate.ops.graph_reduce import (
    at_sources,
    at_targets,
    neighbour_sum,
    segment_max,
    segment_sum,
)


def attention(
    x: Float[Tensor, "N H C"],
    source_logits: Float[Tensor, "N H"],
    target_logits: Float[Tensor, "N H"],
    adjacency: Adjacency,
    *,
    edge_logits: Float[Tensor, "E H"] | None = None,
    negative_slope: float,
    dropout: float = 0.0,
) -> Float[Tensor, "N H C"]:
    """Neighbours' rows weighted by the softmax of the rectified sum of both ends' logits.

    Args:
        x: The rows that are weighted and summed.
        source_logits: Logit of each node as a neighbour.
        target_logits: Logit of each node as the one that attends.
        adjacency: The edges of the graph. Loops among them count as the loop that every node has.
        edge_logits: What each edge adds to the logits of its ends.
        negative_slope: Slope of the leaky rectifier below 0.
        dropout: Probability that a weight is put to 0, the others growing instead.
    """
    logits, own = _pair_sums(source_logits, target_logits, edge_logits, adjacency)
    logits = F.leaky_relu(logits, negative_slope)
    own = F.leaky_relu(own, negative_slope)
    return _weighted(x, logits, own, adjacency, dropout)


def attention_of_pairs(
    sources: Float[Tensor, "N H C"],
    targets: Float[Tensor, "N H C"],
    vector: Float[Tensor, "H C"],
    adjacency: Adjacency,
    *,
    edges: Float[Tensor, "E H C"] | None = None,
    negative_slope: float,
    dropout: float = 0.0,
) -> Float[Tensor, "N H C"]:
    """Neighbours' rows weighted by the softmax of a vector times each pair's rectified sum.

    Args:
        sources: Row of each node as a neighbour; these rows are weighted and summed, too.
        targets: Row of each node as the one that attends.
        vector: The vector that the rectified sum is multiplied with.
        adjacency: The edges of the graph. Loops among them count as the loop that every node has.
        edges: What each edge adds to the sum.
        negative_slope: Slope of the leaky rectifier below 0.
        dropout: Probability that a weight is put to 0, the others growing instead.
    """
    pairs, own = _pair_sums(sources, targets, edges, adjacency)
    logits = (F.leaky_relu(pairs, negative_slope) * vector).sum(-1)
    own_logits = (F.leaky_relu(own, negative_slope) * vector).sum(-1)
    return _weighted(sources, logits, own_logits, adjacency, dropout)


def _pair_sums(
    sources: Tensor, targets: Tensor, edges: Tensor | None, adjacency: Adjacency
) -> tuple[Float[Tensor, "E ..."], Float[Tensor, "N ..."]]:
    """The values of both ends and of the edge, added up for each edge and for each node's loop."""
    pairs = at_sources(sources, adjacency) + at_targets(targets, adjacency)
    own = sources + targets
    if edges is not None:
        pairs = pairs + edges
        own = own + _loop_mean(edges, adjacency)
    return pairs, own


def _loop_mean(values: Float[Tensor, "E ..."], adjacency: Adjacency) -> Float[Tensor, "N ..."]:
    """The mean over the edges into each node, loops left out; 0 where there are none."""
    counts = adjacency.degrees
    if len(adjacency.loops):
        values = values.index_fill(0, adjacency.loops, 0.0)
        counts = counts.clone()
        counts[adjacency.targets[adjacency.loops]] -= 1
    shape = (-1, *[1] * (values.ndim - 1))
    return segment_sum(values, adjacency.pointers) / counts.clamp(min=1).view(shape)


def _weighted(
    x: Float[Tensor, "N H C"],
    logits: Float[Tensor, "E H"],
    own: Float[Tensor, "N H"],
    adjacency: Adjacency,
    dropout: float,
) -> Float[Tensor, "N H C"]:
    """Rows of neighbours, and of the node itself, summed with the softmax of their logits."""
    if len(adjacency.loops):
        logits = logits.index_fill(0, adjacency.loops, -torch.inf)
    with torch.no_grad():
        # With the node itself: where there is no neighbour, its own logit is the maximum.
        highest = segment_max(logits, adjacency.pointers)
        alone = (adjacency.degrees == 0)[:, None]
        peak = torch.where(alone, own, torch.maximum(highest, own))
    exponential = (logits - at_targets(peak, adjacency)).exp()
    own = (own - peak).exp()
    # Divided after the sum, not before: no weight of an edge has to be kept beside this one.
    total = segment_sum(exponential, adjacency.pointers) + own
    if dropout:
        exponential, own = F.dropout(exponential, dropout), F.dropout(own, dropout)
    summed = neighbour_sum(x, adjacency, exponential) + x * own[..., None]
    return summed / total[..., None]
