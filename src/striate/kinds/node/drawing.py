"""One node of a large graph, with the evidence for its output marked around it."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int64

from striate.data.source import Reading
from striate.errors import OptionError, one_line
from striate.explain import explain_graph
from striate.explain.graph_drawing import draw_graph
from striate.explain.occlusion import edge_occlusion
from striate.kinds.node.inputs import NodeInputs
from striate.models.graphs.graph_network import GraphNetwork
from striate.ops.graph_batch import GraphBatch
from striate.report import Picture

MAX_NODES: Final = 100
"""Of a larger neighbourhood the most important nodes are drawn."""

MAX_NAMES: Final = 40
"""Among more nodes only the one explained is named."""

MAX_WORK: Final = 20_000_000
"""Nodes and edges that all passes of one occlusion may go through: some seconds of a processor."""

_LETTERS: Final = 16


def picture(
    network: GraphNetwork,
    inputs: NodeInputs,
    reading: Reading,
    target: int,
    method: str,
    *,
    device: torch.device,
    item: str,
    steps: int = 0,
) -> Picture:
    """Draw a node among those that reach it in as many steps as the network has convolutions.

    Args:
        network: A network of nodes, in evaluation mode.
        inputs: What makes the network's inputs of the graph.
        reading: The node, with its graph.
        target: Number of the output to explain.
        method: Name of a method in `EXPLANATIONS`, for the nodes. An edge is always explained by
            leaving it out.
        device: Where the network is.
        item: Name of the node.
        steps: Points of the curves by which the explanation is checked; 0 for no check. Graphs are never checked.

    Raises:
        UnknownNameError: There is no such method.
        ArgumentError: Occlusion was requested and the network sees so many nodes that it would
            take too long.
    """
    hops = network.config.depth
    part, places = inputs.around(reading, hops)
    if method == "occlusion" and not _affordable(part, len(places)):
        raise OptionError(
            "method",
            "occlusion",
            why=f"node {item!r} sees {len(places)} nodes, and each takes a pass over them all",
            fix="use gradcam, integrated-gradients or saliency",
        )
    edges = part.edges.numpy()
    seed = int(np.flatnonzero(places == reading.node)[0])
    distance, onward = steps_to(edges, seed, len(places))
    near = np.where(distance <= hops, distance, -1)
    part = part.to(device)
    explanation = explain_graph(network, part, target, method)
    heat = explanation.heat.cpu().numpy().astype(np.float64)
    kept = most_important(heat, near, onward, count=MAX_NODES)
    place = np.full(len(places), -1)
    place[kept] = np.arange(len(kept))
    ties = _ties(place[edges])
    tried, importance = _affordable(part, len(ties)), None
    if tried:
        falls = edge_occlusion(network, part, target, torch.from_numpy(ties).to(device))
        importance = falls.cpu().numpy().astype(np.float64)[ties]
    ids = () if reading.graph is None else reading.graph.node_names
    names = [ids[node] for node in places[kept]]
    named = len(kept) <= MAX_NAMES
    drawing = draw_graph(
        place[edges[:, ties]],
        heat[kept],
        importance,
        names=tuple(_short(name) if named or name == item else "" for name in names),
        marked=int(place[seed]),
        caption=_caption(len(kept), int((near >= 0).sum()), hops, tried=tried),
    )
    return Picture(image=drawing, found=bool(heat.any()))


def steps_to(
    edges: Int64[np.ndarray, "2 edges"], node: int, count: int
) -> tuple[Int64[np.ndarray, " nodes"], Int64[np.ndarray, " nodes"]]:
    """Return how far each node is from one, along the edges, and the next node on the way.

    Args:
        edges: Source and target of each edge.
        node: The node where the ways end.
        count: Number of nodes.

    Returns:
        The steps of each node, -1 where no way leads to `node`. The node that the first step of a
        shortest way leads to, -1 where there is none, and of `node` itself.

    >>> steps, onward = steps_to(np.array([[0, 1, 3], [1, 2, 0]]), 2, 5)
    >>> steps.tolist(), onward.tolist()
    ([2, 1, 0, 3, -1], [1, 2, -1, 0, -1])
    """
    from scipy.sparse import coo_array  # slow to import
    from scipy.sparse.csgraph import dijkstra

    sources, targets = edges
    backwards = coo_array((np.ones(len(sources)), (targets, sources)), shape=(count, count))
    steps, onward = dijkstra(
        backwards.tocsr(), indices=node, unweighted=True, return_predecessors=True
    )
    return np.where(np.isfinite(steps), steps, -1).astype(np.int64), np.maximum(onward, -1)


def most_important(
    importance: Float[np.ndarray, " nodes"],
    steps: Int64[np.ndarray, " nodes"],
    onward: Int64[np.ndarray, " nodes"],
    *,
    count: int,
) -> Int64[np.ndarray, " kept"]:
    """Return the most important nodes, ascending, each with its way to the node explained.

    Of equally important ones the nearer comes first. One whose way is too long for what room is
    left makes place for the next.

    Args:
        importance: Importance of each node.
        steps: Steps of each node to the node explained; -1 for a node that is not to be kept.
        onward: The next node on the way; see `steps_to`.
        count: Number of nodes there is room for, at least 1.
    """
    kept = set(np.flatnonzero(steps == 0).tolist())
    for node in np.lexsort((steps, -importance)).tolist():
        if len(kept) >= count:
            break
        way = []
        while steps[node] > 0 and node not in kept:
            way.append(node)
            node = int(onward[node])
        if len(kept) + len(way) <= count:
            kept.update(way)
    return np.array(sorted(kept), np.int64)


def _ties(ends: Int64[np.ndarray, "2 edges"]) -> Int64[np.ndarray, " ties"]:
    """Return positions of the edges between two drawn nodes, one where two go both ways.

    Args:
        ends: Numbers of the nodes as drawn, -1 for those that are not.
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
