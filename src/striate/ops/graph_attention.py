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
    attend,
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
        x: what is weighted and summed.
        source_logits: of each node as a neighbour.
        target_logits: of each node as the one that attends.
        adjacency: who is whose neighbour; loops in it count as the loop every node has.
        edge_logits: what each edge adds.
        negative_slope: of the leaky rectifier.
        dropout: probability that a weight is put to 0, the others growing instead.
    """
    logits = at_sources(source_logits, adjacency) + at_targets(target_logits, adjacency)
    own = source_logits + target_logits
    if edge_logits is not None:
        logits = logits + edge_logits
        own = own + _loop_mean(edge_logits, adjacency)
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
        sources: of each node as a neighbour; what is weighted and summed, too.
        targets: of each node as the one that attends.
        vector: that the rectified sum is multiplied with.
        adjacency: who is whose neighbour; loops in it count as the loop every node has.
        edges: what each edge adds to the sum.
        negative_slope: of the leaky rectifier.
        dropout: probability that a weight is put to 0, the others growing instead.
    """
    pairs = at_sources(sources, adjacency) + at_targets(targets, adjacency)
    own = sources + targets
    if edges is not None:
        pairs = pairs + edges
        own = own + _loop_mean(edges, adjacency)
    logits = (F.leaky_relu(pairs, negative_slope) * vector).sum(-1)
    own_logits = (F.leaky_relu(own, negative_slope) * vector).sum(-1)
    return _weighted(sources, logits, own_logits, adjacency, dropout)


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
        # With the node itself: where there is no neighbour, its own logit is the greatest.
        highest = segment_max(logits, adjacency.pointers)
        alone = (adjacency.degrees == 0)[:, None]
        peak = torch.where(alone, own, torch.maximum(highest, own))
    exponential = (logits - at_targets(peak, adjacency)).exp()
    own = (own - peak).exp()
    # Divided after the sum, not before: no weight of an edge has to be kept beside this one.
    total = segment_sum(exponential, adjacency.pointers) + own
    if dropout:
        exponential, own = F.dropout(exponential, dropout), F.dropout(own, dropout)
    summed = attend(x, exponential, adjacency) + x * own[..., None]
    return summed / total[..., None]
