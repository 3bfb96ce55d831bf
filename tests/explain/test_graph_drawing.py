"""Drawings of graphs."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from striate.errors import ArgumentError
from striate.explain.graph_drawing import draw_graph, layout

EMPTY = np.empty((2, 0), np.int64)
SVG = "{http://www.w3.org/2000/svg}"


def shapes(svg, name):
    return ET.fromstring(svg).findall(f".//{SVG}{name}")


def test_a_graph_is_drawn_with_names_escaped():
    edges = np.array([[0, 1], [1, 2]])
    svg = draw_graph(edges, np.array([0, 0.5, 1]), np.array([0.0, 1.0]), names=("a", "<b>", "c"))
    assert len(shapes(svg, "circle")) == 3 and len(shapes(svg, "line")) == 2
    assert [text.text for text in shapes(svg, "text")] == ["a", "<b>", "c"]
    assert [line.get("stroke") for line in shapes(svg, "line")] == ["#bbbbbb", "#fef257"]
    with pytest.raises(ArgumentError, match="1 names for 3 nodes"):
        draw_graph(edges, np.zeros(3), names=("a",))


def test_a_node_is_marked_and_the_drawing_captioned():
    edges = np.array([[0, 1], [1, 2]])
    plain = draw_graph(edges, np.array([0, 0.5, 1]))
    svg = draw_graph(
        edges, np.array([0, 0.5, 1]), names=("", "b", ""), marked=1, caption="2 of <3>", size=300
    )
    circles = shapes(svg, "circle")
    (ring,) = [circle for circle in circles if circle.get("stroke") == "black"]
    others = [circle for circle in circles if circle is not ring]
    assert [circle.get("fill") for circle in others] == [
        circle.get("fill") for circle in shapes(plain, "circle")
    ]
    of_node = others[1]
    assert [ring.get("cx"), ring.get("cy")] == [of_node.get("cx"), of_node.get("cy")]
    assert float(ring.get("r")) > float(of_node.get("r"))
    name, caption = shapes(svg, "text")
    assert (name.text, name.get("font-weight")) == ("b", "bold")
    assert caption.text == "2 of <3>" and 300 < float(caption.get("y")) < 316
    assert ET.fromstring(svg).get("height") == "316"
    assert ET.fromstring(plain).get("height") == "480"


def test_what_matters_more_is_less_pale():
    fills = [c.get("fill") for c in shapes(draw_graph(EMPTY, np.array([0, 0.1, 1])), "circle")]
    assert fills[0] == "#f4f4f4" and fills[2] == "#fef257"
    assert all(int(fills[1][k : k + 2], 16) > 0xB0 for k in (1, 3, 5))


def test_neighbours_lie_closer_than_strangers_and_always_in_one_place():
    # Two rings of six, joined by one edge.
    ring = [(i, (i + 1) % 6) for i in range(6)]
    edges = np.array([*ring, *((a + 6, b + 6) for a, b in ring), (0, 6)]).T
    places = layout(edges, 12)
    assert np.array_equal(places, layout(edges, 12))
    assert places.min() >= 0 and places.max() <= 1
    near = np.linalg.norm(places[edges[0]] - places[edges[1]], axis=1).mean()
    far = np.linalg.norm(places[:6, None] - places[None, 6:], axis=2).mean()
    assert near < far / 2
    assert layout(np.empty((2, 0), np.int64), 1).tolist() == [[0.5, 0.5]]
    assert layout(np.empty((2, 0), np.int64), 0).shape == (0, 2)
