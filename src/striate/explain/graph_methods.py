"""The methods of explanation for the nodes of a graph: those of grids, with nodes for places.

Axes: N nodes, f features of a node.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from striate.explain.graph_saliency import (
    GraphExplainable,
    NodeExplainable,
    node_saliency,
    seed_saliency,
)
from striate.explain.integrated_gradients import NUM_STEPS
from striate.ops.graph_batch import GraphBatch
from striate.registry import Registry


class GraphMethod(Protocol):
    """One way to explain a graph: how much each node speaks for an output, not below 0."""

    def __call__(
        self, network: GraphExplainable, graph: GraphBatch, target: int
    ) -> Float[Tensor, " N"]:
        """Heat of the nodes of one graph."""


GRAPH_METHODS: Registry[GraphMethod] = Registry("explanation method for graphs")


def explain_nodes(
    network: GraphExplainable, graph: GraphBatch, target: int, method: str = "gradcam"
) -> Float[Tensor, " N"]:
    """How much each node of one graph speaks for an output: 0 (not at all) to 1 (most).

    Args:
        network: of graphs or nodes, in evaluation mode.
        graph: one graph; of nodes with one seed.
        target: number of the output.
        method: a name of `GRAPH_METHODS`.

    Raises:
        UnknownNameError: no such method.
    """
    with torch.inference_mode(False), torch.no_grad():
        heat = GRAPH_METHODS.get(method)(network, graph, target)
    return heat / heat.max().clamp(min=torch.finfo(heat.dtype).tiny) if len(heat) else heat


def node_attributions(
    network: GraphExplainable, graph: GraphBatch, target: int, *, num_steps: int = NUM_STEPS
) -> Float[Tensor, "N f"]:
    """Integrated gradients of every node feature, with their signs.

    They sum to the logit minus that of a graph of the same edges whose features are all zero:
    in normalized features the training mean. See `striate.explain.integrated_gradients`.
    """
    points, weights = np.polynomial.legendre.leggauss(num_steps)  # on -1 to 1
    total = torch.zeros_like(graph.nodes)
    for point, weight in zip(points.tolist(), weights.tolist(), strict=True):
        part = graph.nodes * ((point + 1) / 2)
        total += weight / 2 * _gradients(network, replace(graph, nodes=part), target)
    return total * graph.nodes


def _gradcam(network: GraphExplainable, graph: GraphBatch, target: int) -> Float[Tensor, " N"]:
    """See `node_saliency`; of a network of nodes `seed_saliency`."""
    if graph.seeds is None:
        return node_saliency(network, graph, torch.tensor([target]))
    return seed_saliency(cast(NodeExplainable, network), graph, target)


def _saliency(network: GraphExplainable, graph: GraphBatch, target: int) -> Float[Tensor, " N"]:
    """Gradient times features, summed over the features."""
    return (_gradients(network, graph, target) * graph.nodes).sum(1).relu()


def _integrated(network: GraphExplainable, graph: GraphBatch, target: int) -> Float[Tensor, " N"]:
    """Attributions summed over the features."""
    return node_attributions(network, graph, target).sum(1).relu()


def _occlusion(network: GraphExplainable, graph: GraphBatch, target: int) -> Float[Tensor, " N"]:
    """How far the logit falls when a node's features are blanked, its edges left as they are."""
    whole = _logit(network, graph, target)
    falls = []
    for node in range(len(graph.nodes)):
        blanked = graph.nodes.clone()
        blanked[node] = 0
        falls.append(whole - _logit(network, replace(graph, nodes=blanked), target))
    return torch.stack(falls).relu() if falls else graph.nodes.new_zeros(0)


def _logit(network: GraphExplainable, graph: GraphBatch, target: int) -> Float[Tensor, ""]:
    return network.forward_head(network.forward_features(graph), graph)[0, target]


def _gradients(network: GraphExplainable, graph: GraphBatch, target: int) -> Float[Tensor, "N f"]:
    """Of the logit with respect to the features of the nodes."""
    with torch.enable_grad():
        leaf = graph.nodes.clone().detach().requires_grad_()
        score = _logit(network, replace(graph, nodes=leaf), target)
        (gradients,) = torch.autograd.grad(score, leaf)
    return gradients


GRAPH_METHODS.add("gradcam", _gradcam)
GRAPH_METHODS.add("integrated-gradients", _integrated)
GRAPH_METHODS.add("occlusion", _occlusion)
GRAPH_METHODS.add("saliency", _saliency)
