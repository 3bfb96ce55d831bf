"""How a logit changes with the values it is computed from, and two methods made of that.

The gradient methods are the same for grids and graphs: both hand in the values to attribute to (an
input, or the features of a graph's nodes) and the logit as a function of them, a `Score`.

- saliency: the gradient times the input, what each value adds to the logit to first order.
  Source: Shrikumar, Greenside, Shcherbina, Kundaje, "Not Just a Black Box: Learning Important
  Features Through Propagating Activation Differences", 2016; the gradient alone is the saliency of
  Simonyan, Vedaldi, Zisserman, 2014. For a piecewise linear network without biases the products sum
  to the logit.
- integrated gradients: what each value adds to the logit on the way from a blank input.
  Source: Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017. By their
  axiom of completeness the attributions sum to the logit of the input minus that of the baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ArgumentError
from striate.explain.method import EXPLANATIONS, GraphExplainable, GridExplainable, Method
from striate.ops.graph_batch import GraphBatch

Score: TypeAlias = Callable[[Tensor], Tensor]
"""The logits to explain, one for each item, as a function of some values."""

NUM_STEPS = 64
"""Number of gradients on the way from a blank input."""


def grid_score(network: GridExplainable, targets: Int[Tensor, " n"]) -> Score:
    """Return each input's target logit as a function of the inputs."""
    return lambda inputs: target_logits(
        network.forward_head(network.forward_features(inputs)), targets
    )


def graph_score(network: GraphExplainable, graph: GraphBatch, target: int) -> Score:
    """Return the target's logit as a function of the features of one graph's nodes."""

    def score(nodes: Tensor) -> Tensor:
        part = replace(graph, nodes=nodes)
        return network.forward_head(network.forward_features(part), part)[0, target]

    return score


def target_logits(logits: Float[Tensor, "n k"], targets: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Pick the logit of each item's target."""
    return logits.gather(1, targets[:, None])[:, 0]


def gradients(score: Score, values: Tensor) -> Tensor:
    """Differentiate each score with respect to its own item's values.

    Raises:
        ArgumentError: The score does not follow the values smoothly.
    """
    with torch.enable_grad():
        # A copy, since a tensor made in inference mode never gets a gradient.
        leaf = values.clone().detach().requires_grad_()
        # Items do not mix in evaluation mode, so one sum gives the gradient of each.
        total = score(leaf).sum()
        found = torch.autograd.grad(total, leaf, allow_unused=True) if total.requires_grad else ()
    if not found or found[0] is None:
        raise ArgumentError(
            "this network has no gradient with respect to its input",
            fix="explain it by gradcam or occlusion",
        )
    return found[0]


def without_spikes(heat: Float[Tensor, " n *space"]) -> Float[Tensor, " n *space"]:
    """Lower the highest 1 % of each map's values to the next below.

    Attributions of single samples have a few values far above all others, which would leave
    everything else dark on a scale up to the highest.
    """
    flat = heat.flatten(1)
    limit = flat.kthvalue(ceil(0.99 * flat.shape[1]), dim=1, keepdim=True).values
    return torch.where(limit > 0, torch.minimum(flat, limit), flat).view_as(heat)


def gradient_times_input(score: Score, values: Tensor) -> Tensor:
    """Return the contribution of each value, with its sign; zero is the training mean."""
    return gradients(score, values) * values


def integrated_gradients(score: Score, values: Tensor, *, num_steps: int = NUM_STEPS) -> Tensor:
    """Return the attribution of each value, with its sign.

    The baseline is zero: in normalized values the mean of the training items. The integral is
    taken by Gauss' and Legendre's rule, whose points lie densest at both ends: near the baseline
    gradients are steepest, and with as many even steps the sum is off by up to 35 % where it is
    off by up to 7 % so (EfficientNet-Lite0 on three photographs).

    Args:
        score: The logits to explain.
        values: Normalized values, such as inputs or the features of nodes.
        num_steps: Number of points on the straight line from the baseline to the values.
    """
    points, weights = np.polynomial.legendre.leggauss(num_steps)  # on -1 to 1
    total = torch.zeros_like(values)
    for point, weight in zip(points.tolist(), weights.tolist(), strict=True):
        total += weight / 2 * gradients(score, values * ((point + 1) / 2))
    return total * values


def _method(attributions: Callable[[Score, Tensor], Tensor]) -> Method:
    """Attributions summed over channels or features, without negative part and, of grids, spikes."""

    def grid(
        network: GridExplainable, inputs: Float[Tensor, "n c *space"], targets: Int[Tensor, " n"]
    ) -> Float[Tensor, " n *space"]:
        return without_spikes(attributions(grid_score(network, targets), inputs).sum(1).relu())

    def graph(network: GraphExplainable, graph: GraphBatch, target: int) -> Float[Tensor, " N"]:
        return attributions(graph_score(network, graph, target), graph.nodes).sum(1).relu()

    return Method(grid=grid, graph=graph)


EXPLANATIONS.add("integrated-gradients", _method(integrated_gradients))
EXPLANATIONS.add("saliency", _method(gradient_times_input))
