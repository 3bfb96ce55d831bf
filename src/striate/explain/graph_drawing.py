"""Graphs as SVG drawings, their nodes and edges coloured by evidence."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray

from striate.errors import ArgumentError
from striate.explain.drawing import document, element, hex_colours

SIZE: Final = 480
"""Side of a drawing, in pixels."""

MAX_MOVED: Final = 500
"""Nodes of a larger graph stay on a circle."""

_MARGIN: Final = 24
_LINE: Final = 16
_NODE_GREY: Final = 0xF4
_EDGE_GREY: Final = 0xBB


def draw_graph(
    edges: Int64[np.ndarray, "2 edges"],
    nodes: Float[np.ndarray, " nodes"],
    edge_importance: Float[np.ndarray, " edges"] | None = None,
    *,
    names: tuple[str, ...] = (),
    marked: int | None = None,
    caption: str = "",
    size: int = SIZE,
) -> str:
    """Draw a graph as an SVG of circles and lines, coloured by importance.

    Args:
        edges: Source and target of each edge.
        nodes: Importance of each node, 0 to 1.
        edge_importance: Importance of each edge, 0 to 1; by default 0.
        names: Names written beside the nodes, where they are not empty; by default none.
        marked: Number of a node that gets a ring around it and its name in bold.
        caption: A line written below the drawing.
        size: Side of the drawing, in pixels.

    Raises:
        ArgumentError: The numbers of values or names do not fit the graph.
    """
    if edge_importance is None:
        edge_importance = np.zeros(edges.shape[1])
    check_count(edge_importance, edges.shape[1], "edge")
    if names and len(names) != len(nodes):
        raise ArgumentError(f"{len(names)} names for {len(nodes)} nodes", fix="give one each")
    places = _MARGIN + layout(edges, len(nodes)) * (size - 2 * _MARGIN)
    fills = hex_colours(nodes, ground=_NODE_GREY)
    lines = hex_colours(edge_importance, ground=_EDGE_GREY)
    radius = float(np.clip(size / (6 * np.sqrt(max(len(nodes), 1))), 2, 10))
    parts = []
    for number in np.argsort(edge_importance, kind="stable"):
        (x1, y1), (x2, y2) = places[edges[:, number]]
        ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
        width = 1 + 2 * float(edge_importance[number])
        parts.append(element("line", **ends, stroke=lines[number], stroke_width=width))
    if marked is not None:
        ring = {"r": radius + 4, "fill": "white", "stroke": "black", "stroke_width": 2}
        parts.append(element("circle", cx=places[marked][0], cy=places[marked][1], **ring))
    for (x, y), fill in zip(places, fills, strict=True):
        parts.append(element("circle", cx=x, cy=y, r=radius, fill=fill, stroke="#888888"))
    for number, name in enumerate(names):
        parts.append(_name(name, places[number], radius, size, bold=number == marked))
    if caption:
        parts.append(element("text", escape(caption), x=_MARGIN, y=size + 6, font_size=11))
    return document(size, size + (_LINE if caption else 0), *parts)


def _name(name: str, place: NDArray[np.float64], radius: float, size: int, *, bold: bool) -> str:
    """Write a node's name beside it, on the side where there is more room."""
    if not name:
        return ""
    left = place[0] > 0.75 * size
    x = place[0] + (-1 if left else 1) * (radius + (6 if bold else 2))
    halo = {"stroke": "white", "stroke_width": 3, "paint_order": "stroke"}
    style = {"text_anchor": "end" if left else None, "font_weight": "bold" if bold else None}
    return element("text", escape(name), x=x, y=place[1] + 3, font_size=10, **halo, **style)


def layout(edges: Int64[np.ndarray, "2 edges"], count: int) -> Float[np.ndarray, "nodes 2"]:
    """Give each node a place in the unit square: edges pull, and all nodes push each other away.

    Fruchterman and Reingold, "Graph Drawing by Force-directed Placement", 1991, from a circle, so
    that one graph has one drawing.
    """
    import networkx

    angles = 2 * np.pi * np.arange(count) / max(count, 1)
    # Not quite round: on a circle the forces of a regular graph would balance where it starts.
    places = np.stack([np.cos(angles), np.sin(angles)], 1) * (1 + 0.1 * np.cos(3 * angles))[:, None]
    if 1 < count <= MAX_MOVED:
        graph = networkx.empty_graph(count)
        graph.add_edges_from(edges.T.tolist())
        moved = networkx.spring_layout(graph, pos=dict(enumerate(places)), iterations=150, seed=0)
        places = np.stack([moved[node] for node in range(count)])
    low, high = places.min(0, initial=np.inf), places.max(0, initial=-np.inf)
    return (places - low) / np.maximum(high - low, 1e-9) if count > 1 else np.full((count, 2), 0.5)


def check_count(values: NDArray[np.floating], count: int, what: str) -> None:
    """Raise an ArgumentError unless there are as many values as things."""
    if len(values) != count:
        raise ArgumentError(f"{len(values)} values for {count} {what}s", fix="give one each")
