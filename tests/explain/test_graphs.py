"""Which nodes and edges of a graph matter, and drawings of it."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch

from striate.data.readers.molecule import molecule_reading
from striate.errors import ArgumentError
from striate.explain.graph_picture import bond_importance, draw_graph, draw_molecule, layout
from striate.explain.graph_saliency import edge_saliency, node_saliency
from striate.kinds import feed_of
from striate.models import create_graph_model
from striate.ops.graph_batch import GraphBatch

EMPTY = np.empty((2, 0), np.int64)
SVG = "{http://www.w3.org/2000/svg}"


class SumOfNodes(torch.nn.Module):
    """Two logits: the sum over nodes and edges of two features, and its negative."""

    def forward_features(self, batch):
        x = batch.nodes
        return x + torch.zeros_like(x).index_add(0, batch.edges[1], x[batch.edges[0]])

    def forward_head(self, features, batch):
        sums = torch.zeros(batch.num_graphs, 2).index_add(0, batch.graph_of_node, features)
        return torch.stack([sums.sum(1), -sums.sum(1)], 1)


def chain(*values):
    count = len(values)
    forth = torch.stack([torch.arange(count - 1), torch.arange(1, count)])
    edges = torch.cat([forth, forth.flip(0)], 1)
    edges = edges[:, torch.argsort(edges[1], stable=True)]
    return GraphBatch(
        nodes=torch.tensor([[v, 0.0] for v in values]),
        edges=edges,
        graph_of_node=torch.zeros(count, dtype=torch.int64),
        num_graphs=1,
    )


def test_nodes_speak_by_their_share_of_the_logit():
    graph = chain(1.0, 0.0, 0.0, 3.0)
    # Features after one sum over neighbours: 1, 1, 3, 3; all gradients are 1.
    heat = node_saliency(SumOfNodes(), graph)
    assert torch.allclose(heat, torch.tensor([1 / 3, 1 / 3, 1, 1]))
    assert torch.equal(node_saliency(SumOfNodes(), graph, torch.tensor([1])), torch.zeros(4))


def test_an_edge_matters_as_far_as_the_logit_falls_without_it():
    graph = chain(1.0, 0.0, 0.0, 3.0)
    # Without an edge its two ends' values are missing from each other's sums: 1, 0 and 3.
    heat = edge_saliency(SumOfNodes(), graph)
    of_pair = {
        tuple(sorted(p)): v for p, v in zip(graph.edges.T.tolist(), heat.tolist(), strict=True)
    }
    assert of_pair == pytest.approx({(0, 1): 1 / 3, (1, 2): 0.0, (2, 3): 1.0})
    assert edge_saliency(SumOfNodes(), chain(1.0)).shape == (0,)


def test_edges_among_those_asked_for_are_left_out():
    graph = chain(1.0, 0.0, 0.0, 3.0, 2.0)
    among = ((graph.edges == 0).any(0)) | ((graph.edges == 2).any(0) & (graph.edges == 3).any(0))
    heat = edge_saliency(SumOfNodes(), graph, 0, among)
    assert torch.equal(heat[among].unique(), torch.tensor([1 / 3, 1.0]))
    assert not heat[~among].any() and int(among.sum()) == 4
    assert not edge_saliency(SumOfNodes(), graph, 0, torch.zeros_like(among)).any()


def test_each_graph_of_a_batch_is_explained_by_itself():
    readings = [molecule_reading(s) for s in ("CCO", "c1ccccc1Cl", "[He]")]
    feed = feed_of("graph").fitted(readings, {})
    torch.manual_seed(0)
    network = create_graph_model(
        "gin_small", in_channels=feed.input_shape[0], edge_channels=feed.edge_channels
    ).eval()
    targets = torch.tensor([1, 0, 1])
    together = node_saliency(network, feed.inputs(readings), targets)
    alone = [
        node_saliency(network, feed.inputs([r]), targets[i : i + 1]) for i, r in enumerate(readings)
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-4)
    assert all(p.grad is None for p in network.parameters())
    edges = edge_saliency(network, feed.inputs(readings[1:2]))
    assert edges.shape == (14,) and edges.max() == 1


def shapes(svg, name):
    return ET.fromstring(svg).findall(f".//{SVG}{name}")


def test_a_molecule_is_drawn_with_its_important_atoms_coloured():
    svg = draw_molecule("CCO", np.array([0.0, 0.0, 1.0]))
    assert ET.fromstring(svg).tag == f"{SVG}svg"
    assert "FEF257" in svg.upper()  # the colour of 1
    assert "FEF257" not in draw_molecule("CCO", np.zeros(3)).upper()
    with pytest.raises(ArgumentError, match="2 values for 3 atoms"):
        draw_molecule("CCO", np.zeros(2))
    with pytest.raises(ArgumentError, match="does not parse"):
        draw_molecule("C1CC(", np.zeros(3))


def test_bonds_take_the_importance_of_their_edges():
    edges = molecule_reading("CCO").edges
    of_bonds = bond_importance("CCO", edges, np.array([0.1, 0.1, 0.7, 0.7]))
    assert of_bonds.tolist() == [0.1, 0.7]
    assert draw_molecule("CCO", np.zeros(3), of_bonds) != draw_molecule("CCO", np.zeros(3))


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
