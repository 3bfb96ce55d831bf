"""Which nodes and edges of a graph speak for a class.

Nodes by Grad-CAM, as in Pope et al., "Explainability Methods for Graph Convolutional Neural
Networks", CVPR 2019: the last features of each node, weighted by the mean over the nodes of the
logit's gradient. Where one node is classified, its own last features alone make its logits; there
the features are those before the first convolution, the last that each node has to itself. Edges
by leaving each out: how far the logit falls without it, both ways at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from striate.ops.graph_batch import GraphBatch
from striate.ops.graph_reduce import segment_max, segment_mean, segment_repeat


class GraphExplainable(Protocol):
    """A classifier of graphs or nodes that can be cut before its head; a `GraphNetwork` is one."""

    def forward_features(self, batch: GraphBatch, /) -> Tensor:
        """Features of every node, (N, c)."""

    def forward_head(self, features: Tensor, batch: GraphBatch, /) -> Tensor:
        """Logits (n, classes) of those features."""


class NodeExplainable(GraphExplainable, Protocol):
    """A classifier of nodes; a `GraphNetwork` is one."""

    stem: nn.Module
    """Maps each node by itself, before the convolutions."""


def node_saliency(
    network: GraphExplainable, batch: GraphBatch, targets: Int[Tensor, " n"] | None = None
) -> Float[Tensor, " N"]:
    """How much each node speaks for its graph's class: 0 (not at all) to 1 (most in its graph).

    Args:
        network: the classifier, in evaluation mode.
        batch: graphs, or one graph whose nodes are classified, with one seed.
        targets: class of each output to explain; the predicted one by default. Where a number is
            predicted there is one logit, and what raises it is explained.
    """
    with torch.no_grad():
        features = network.forward_features(batch)
    with torch.enable_grad():
        features = features.detach().requires_grad_()
        logits = network.forward_head(features, batch)
        (gradients,) = torch.autograd.grad(_scores(logits, targets).sum(), features)
    mean = segment_repeat(segment_mean(gradients, batch.pointers), batch.pointers)
    heat = (mean * features.detach()).sum(1).relu()
    return _to_peak(heat, batch)


def seed_saliency(network: NodeExplainable, graph: GraphBatch, target: int) -> Float[Tensor, " N"]:
    """How much each node speaks for the class of the one seed: 0 (not at all) to 1 (most).

    The gradient is not averaged over the nodes, so that one too far to be seen gets exactly 0.

    Args:
        network: of nodes, in evaluation mode.
        graph: one graph with one seed.
        target: number of the output.
    """
    seen: list[Tensor] = []
    hook = network.stem.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    try:
        with torch.enable_grad():
            logits = network.forward_head(network.forward_features(graph), graph)
            (gradients,) = torch.autograd.grad(logits[0, target], seen)
    finally:
        hook.remove()
    return _to_peak((gradients * seen[0].detach()).sum(1).relu(), graph)


def edge_saliency(
    network: GraphExplainable,
    graph: GraphBatch,
    target: int | None = None,
    among: Bool[Tensor, " E"] | None = None,
) -> Float[Tensor, " E"]:
    """How far the logit falls without each edge: 0 (not at all) to 1 (furthest).

    Both directions of an edge are left out together and get one value.

    Args:
        network: the classifier, in evaluation mode.
        graph: one graph; of nodes with one seed.
        target: class to explain; the predicted one by default.
        among: edges to leave out in turn, all by default; the others get 0.
    """
    with torch.no_grad():
        logits = network.forward_head(network.forward_features(graph), graph)
        chosen = torch.tensor([int(logits.argmax(1)[0]) if target is None else target])
        whole = _scores(logits, chosen)
        low, high = graph.edges.sort(0).values
        ties, number = torch.unique(low * len(graph.nodes) + high, return_inverse=True)
        fall = whole.new_zeros(len(ties))
        for tie in (number if among is None else number[among]).unique().tolist():
            part = _without(graph, number == tie)
            rest = _scores(network.forward_head(network.forward_features(part), part), chosen)
            fall[tie] = (whole - rest)[0]
        fall = fall.relu()
        peak = fall.max().clamp(min=torch.finfo(fall.dtype).tiny) if len(fall) else 1.0
    return (fall / peak)[number]


def _without(graph: GraphBatch, left_out: Tensor) -> GraphBatch:
    kept, features = ~left_out, graph.edge_features
    return replace(
        graph,
        edges=graph.edges[:, kept],
        edge_features=None if features is None else features[kept],
    )


def _scores(logits: Float[Tensor, "n classes"], targets: Tensor | None) -> Float[Tensor, " n"]:
    """The logit to explain of each output."""
    chosen = logits.argmax(1) if targets is None else targets.to(logits.device)
    return logits.gather(1, chosen[:, None])[:, 0]


def _to_peak(heat: Float[Tensor, " N"], batch: GraphBatch) -> Float[Tensor, " N"]:
    """Scaled to a peak of 1 in each graph."""
    peaks = segment_repeat(segment_max(heat, batch.pointers), batch.pointers)
    return heat / peaks.clamp(min=torch.finfo(heat.dtype).tiny)
