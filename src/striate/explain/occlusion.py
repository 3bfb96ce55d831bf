"""Occlusion: how much the logit falls when a part of the input is blanked.

Source: Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014. It asks
nothing of the network but its outputs. The part is a patch of a grid, the features of a node (its
edges stay), or an edge. A blank is zero: in normalized inputs the mean of the training items.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from striate.explain.gradient import graph_score, grid_score
from striate.explain.method import EXPLANATIONS, GraphExplainable, GridExplainable, Method, to_peak
from striate.ops.graph_batch import GraphBatch

NUM_WINDOWS = 200
"""About how many places the patch takes, over all axes together."""

_BATCH = 16


def windows(space: tuple[int, ...], num_windows: int = NUM_WINDOWS) -> list[tuple[slice, ...]]:
    """Return the places of the patch: equally many along each axis, each half over the next.

    >>> windows((10,), 4)
    [(slice(0, 4, None),), (slice(2, 6, None),), (slice(4, 8, None),), (slice(6, 10, None),)]
    """
    along = max(1, int(num_windows ** (1 / len(space)) + 1e-9))
    axes = []
    for size in space:
        count = min(along, size)
        patch = min(size, -(-2 * size // (count + 1)))
        # Rounded so that the first patch begins with the axis and the last ends with it.
        starts = [round(k * (size - patch) / max(count - 1, 1)) for k in range(count)]
        axes.append([slice(start, start + patch) for start in dict.fromkeys(starts)])
    return list(product(*axes))


def _grid(
    network: GridExplainable, inputs: Float[Tensor, "n c *space"], targets: Int[Tensor, " n"]
) -> Float[Tensor, " n *space"]:
    """Return the mean fall over the patches that cover a sample, without negative part."""
    pairs = zip(inputs, targets, strict=True)
    return torch.stack([_mean_falls(network, item, target) for item, target in pairs]).relu()


def _mean_falls(
    network: GridExplainable, item: Float[Tensor, " c *space"], target: Int[Tensor, ""]
) -> Float[Tensor, " *space"]:
    places = windows(tuple(item.shape[1:]))
    whole = grid_score(network, target[None])(item[None])[0]
    fallen = torch.zeros(item.shape[1:], device=item.device)
    covered = torch.zeros_like(fallen)
    for start in range(0, len(places), _BATCH):
        some = places[start : start + _BATCH]
        blanked = item.repeat(len(some), *[1] * item.ndim)
        for copy, place in zip(blanked, some, strict=True):
            copy[:, *place] = 0
        falls = whole - grid_score(network, target.expand(len(some)))(blanked)
        for fall, place in zip(falls.float(), some, strict=True):
            fallen[place] += fall
            covered[place] += 1
    return fallen / covered


def _graph(network: GraphExplainable, graph: GraphBatch, target: int) -> Float[Tensor, " N"]:
    """Return the fall when a node's features are blanked, without negative part."""
    score = graph_score(network, graph, target)
    whole = score(graph.nodes)
    falls = graph.nodes.new_zeros(len(graph.nodes))
    for node in range(len(falls)):
        blanked = graph.nodes.clone()
        blanked[node] = 0
        falls[node] = whole - score(blanked)
    return falls.relu()


def edge_occlusion(
    network: GraphExplainable,
    graph: GraphBatch,
    target: int,
    among: Int[Tensor, " some"] | None = None,
) -> Float[Tensor, " E"]:
    """Return how far the logit falls without each edge, from 0 (not at all) to 1 (furthest).

    Both directions of an edge are left out together and get one value.

    Args:
        network: The network to explain, in evaluation mode.
        graph: One graph. Where one of its nodes is classified, that node is its only seed.
        target: Number of the output to explain.
        among: Positions of the edges to leave out in turn, by default all. The others get 0.
    """
    low, high = graph.edges.sort(0).values
    ties, number = torch.unique(low * len(graph.nodes) + high, return_inverse=True)
    fall = graph.nodes.new_zeros(len(ties))
    with torch.no_grad():
        whole = graph_score(network, graph, target)(graph.nodes)
        for tie in (number if among is None else number[among]).unique().tolist():
            rest = _without(graph, number == tie)
            fall[tie] = whole - graph_score(network, rest, target)(graph.nodes)
    return to_peak(fall.relu())[number]


def _without(graph: GraphBatch, left_out: Bool[Tensor, " E"]) -> GraphBatch:
    kept, features = ~left_out, graph.edge_features
    return replace(
        graph,
        edges=graph.edges[:, kept],
        edge_features=None if features is None else features[kept],
    )


EXPLANATIONS.add("occlusion", Method(grid=_grid, graph=_graph))
