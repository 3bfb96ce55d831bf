"""One node of a large graph with what speaks for its answer marked around it."""

from __future__ import annotations

from typing import Final, cast

import numpy as np
import torch
from jaxtyping import Float, Int64

from striate.data.source import Item
from striate.errors import ArgumentError, one_line
from striate.explain.graph_methods import explain_nodes
from striate.explain.graph_neighbourhood import most_important, steps_to
from striate.explain.graph_picture import draw_graph
from striate.explain.graph_saliency import edge_saliency
from striate.kinds.node.inputs import NodeInputs
from striate.models.graph_network import GraphNetwork
from striate.ops.graph_batch import GraphBatch
from striate.report import Picture
from striate.run.predictor import NodePredictor

MAX_NODES: Final = 100
"""Of a larger neighbourhood the most important nodes are drawn."""

MAX_NAMES: Final = 40
"""Among more nodes only the one explained is named."""

MAX_WORK: Final = 20_000_000
"""Nodes and edges that all passes of one occlusion may go through: some seconds of a processor."""

_LETTERS: Final = 16


def node_picture(
    predictor: NodePredictor, inputs: NodeInputs, item: Item, target: int, method: str
) -> Picture:
    """A node among those that reach it in as many steps as the network has convolutions.

    Args:
        predictor: of nodes.
        inputs: of the graph.
        item: the node.
        target: number of the output.
        method: a name of `striate.explain.graph_methods.GRAPH_METHODS`, for the nodes; an edge is
            always explained by leaving it out.

    Raises:
        UnknownNameError: no such method.
        ArgumentError: occlusion where so many nodes are seen that it would take too long.
    """
    network = cast(GraphNetwork, predictor.network)
    hops = network.config.depth
    part, places = inputs.around(item, hops)
    if method == "occlusion" and not _affordable(part, len(places)):
        raise ArgumentError(
            f"--method occlusion of node {item.id!r}",
            why=f"it sees {len(places)} nodes, and each takes a pass over them all",
            fix="use gradcam, integrated-gradients or saliency",
        )
    edges = part.edges.numpy()
    seed = int(np.flatnonzero(places == inputs.source.position[item.id])[0])
    steps, onward = steps_to(edges, seed, len(places))
    near = np.where(steps <= hops, steps, -1)
    part = part.to(predictor.device)
    heat = explain_nodes(network, part, target, method).cpu().numpy().astype(np.float64)
    kept = most_important(heat, near, onward, count=MAX_NODES)
    place = np.full(len(places), -1)
    place[kept] = np.arange(len(kept))
    ties = _ties(place[edges])
    tried = _affordable(part, len(ties))
    ids = list(inputs.source.position)
    names = [ids[node] for node in places[kept]]
    named = len(kept) <= MAX_NAMES
    drawing = draw_graph(
        place[edges[:, ties]],
        heat[kept],
        _of_ties(network, part, target, ties) if tried else None,
        names=tuple(_short(n) if named or n == item.id else "" for n in names),
        marked=int(place[seed]),
        caption=_caption(len(kept), int((near >= 0).sum()), hops, tried=tried),
    )
    return Picture(image=drawing)


def _of_ties(
    network: GraphNetwork, part: GraphBatch, target: int, ties: Int64[np.ndarray, " ties"]
) -> Float[np.ndarray, " ties"]:
    """How far the logit falls without each of some edges, the furthest fall 1."""
    among = torch.zeros(part.edges.shape[1], dtype=torch.bool)
    among[torch.from_numpy(ties)] = True
    falls = edge_saliency(network, part, target, among.to(part.device))
    return np.asarray(falls.cpu().numpy().astype(np.float64)[ties])


def _ties(ends: Int64[np.ndarray, "2 edges"]) -> Int64[np.ndarray, " ties"]:
    """Positions of the edges between two nodes that are drawn, one where two go both ways.

    Args:
        ends: numbers of the nodes that are drawn, -1 for others.
    """
    low, high = np.sort(ends, 0)
    drawn = np.flatnonzero((low >= 0) & (low < high))
    _, first = np.unique(np.stack([low, high])[:, drawn], axis=1, return_index=True)
    return np.asarray(drawn[np.sort(first)])


def _affordable(part: GraphBatch, passes: int) -> bool:
    return passes * (len(part.nodes) + part.edges.shape[1]) <= MAX_WORK


def _short(name: str) -> str:
    shown = one_line(name)
    return shown if len(shown) <= _LETTERS else shown[: _LETTERS - 1] + "…"


def _caption(num_drawn: int, num_near: int, hops: int, *, tried: bool) -> str:
    cut = "" if num_drawn == num_near else f"the {num_drawn} most important of "
    within = f"{num_near} node{'s' * (num_near > 1)} within {hops} step{'s' * (hops > 1)}"
    return cut + within + ("" if tried else "; edges are not explained")
