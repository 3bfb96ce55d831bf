"""Pictures of one node among its neighbours: what is drawn, and what edges are worth."""

import xml.etree.ElementTree as ET

import networkx as nx
import numpy as np
import pytest
import torch

from striate.data.layouts.graphs import NodeSource, whole_graph
from striate.errors import ArgumentError
from striate.kinds.node import drawing
from striate.kinds.node.drawing import most_important, steps_to
from striate.kinds.node.inputs import NodeInputs
from striate.models import create_model
from striate.ops.graph_batch import GraphBatch

SVG = "{http://www.w3.org/2000/svg}"


def graph_of(count, pairs, name="gcn_small"):
    """A network, inputs and the nodes of a graph whose edges go both ways."""
    pairs = np.array(pairs, np.int64).T
    source = NodeSource(
        name="test",
        graph=whole_graph(
            np.random.default_rng(0).normal(size=(4, count)),
            np.concatenate([pairs, pairs[::-1]], 1),
        ),
        names=[f"n{node}" for node in range(count)],
        labels=["ab"[node % 2] for node in range(count)],
    )
    items = source.listing.items
    inputs = NodeInputs.fitted(map(source.read, items), {})
    torch.manual_seed(0)
    network = create_model(name, in_channels=4, level="node").eval()
    return network, inputs, [source.read(item) for item in items]


def node_picture(network, inputs, reading, target, method):
    name = reading.graph.node_names[reading.node]
    cpu = torch.device("cpu")
    return drawing.picture(network, inputs, reading, target, method, device=cpu, item=name)


def shapes(picture, name):
    return ET.fromstring(picture.image).findall(f".//{SVG}{name}")


def texts(picture):
    return [text.text for text in shapes(picture, "text")]


CHAIN = [(node, node + 1) for node in range(19)]


def test_what_the_convolutions_reach_is_drawn():
    network, inputs, items = graph_of(20, CHAIN)
    picture = node_picture(network, inputs, items[10], 0, "saliency")
    assert texts(picture) == [f"n{n}" for n in range(7, 14)] + ["7 nodes within 3 steps"]
    assert len(shapes(picture, "line")) == 6
    (ring,) = [c for c in shapes(picture, "circle") if c.get("stroke") == "black"]
    (bold,) = [text for text in shapes(picture, "text") if text.get("font-weight") == "bold"]
    assert bold.text == "n10" and abs(float(bold.get("y")) - float(ring.get("cy"))) < 4


@pytest.mark.parametrize("name", ["gcn_small", "gat_small"])
def test_an_edge_is_worth_what_the_whole_graph_loses_without_it(name, monkeypatch):
    draw = np.random.default_rng(1)
    pairs = sorted({tuple(sorted(draw.choice(40, 2, replace=False).tolist())) for _ in range(55)})
    network, inputs, items = graph_of(40, pairs, name)
    drawn = {}

    def draw_graph(edges, nodes, edge_importance, *, names, **_):
        ends = zip(*edges.tolist(), strict=True)
        drawn.update(
            {
                tuple(sorted(int(names[n][1:]) for n in pair)): value
                for pair, value in zip(ends, edge_importance.tolist(), strict=True)
            }
        )
        return "<svg></svg>"

    monkeypatch.setattr(drawing, "draw_graph", draw_graph)
    node_picture(network, inputs, items[5], 1, "gradcam")
    whole = inputs.inputs([items[5]])

    def logit(edges):
        batch = GraphBatch(
            nodes=whole.nodes,
            edges=edges,
            graph_of_node=whole.graph_of_node,
            num_graphs=1,
            seeds=whole.seeds,
        )
        with torch.no_grad():
            return float(network(batch)[0, 1])

    falls = {}
    for pair in drawn:
        same = torch.tensor([tuple(sorted(ends)) == pair for ends in whole.edges.T.tolist()])
        assert int(same.sum()) == 2
        falls[pair] = max(0.0, logit(whole.edges) - logit(whole.edges[:, ~same]))
    assert 5 < len(drawn) < len(pairs)
    assert max(falls.values()) > 0 and sum(value > 0 for value in drawn.values()) > 2
    peak = max(falls.values())
    assert drawn == pytest.approx({p: fall / peak for p, fall in falls.items()}, abs=1e-4)


def test_of_many_nodes_the_most_important_are_drawn_and_joined():
    spokes = [(0, node) for node in range(1, 200)] + [(node, node + 200) for node in range(1, 100)]
    network, inputs, items = graph_of(300, spokes)
    picture = node_picture(network, inputs, items[0], 0, "saliency")
    caption = "the 100 most important of 299 nodes within 3 steps"
    assert texts(picture) == ["n0", caption]
    assert len(shapes(picture, "circle")) == 101
    assert len(shapes(picture, "line")) == 99  # a tree, all of it joined


def test_occlusion_that_would_take_too_long_is_refused_and_edges_left_grey(monkeypatch):
    network, inputs, items = graph_of(20, CHAIN)
    monkeypatch.setattr(drawing, "MAX_WORK", 100)
    with pytest.raises(ArgumentError, match="`method='occlusion'`: node 'n10' sees 9 nodes"):
        node_picture(network, inputs, items[10], 0, "occlusion")
    picture = node_picture(network, inputs, items[10], 0, "gradcam")
    assert texts(picture)[-1].endswith("; edges are not explained")
    assert {line.get("stroke") for line in shapes(picture, "line")} == {"#bbbbbb"}


def test_a_node_alone_and_long_names():
    network, inputs, items = graph_of(20, CHAIN[:10])
    picture = node_picture(network, inputs, items[19], 0, "occlusion")
    assert texts(picture) == ["n19", "1 node within 3 steps"]
    assert not shapes(picture, "line")
    assert drawing._short("a\nvery long name indeed") == "a\\nvery long na…"


@pytest.mark.parametrize("seed", range(3))
def test_steps_are_those_of_shortest_ways(seed):
    graph = nx.gnp_random_graph(60, 0.03, seed=seed, directed=True)
    edges = np.array(graph.edges, np.int64).T
    steps, onward = steps_to(edges, 7, 60)
    expected = dict(nx.single_target_shortest_path_length(graph, 7))
    assert steps.tolist() == [expected.get(node, -1) for node in range(60)]
    for node in range(60):
        if steps[node] > 0:
            assert graph.has_edge(node, onward[node])
            assert steps[onward[node]] == steps[node] - 1
        else:
            assert onward[node] == -1
    assert steps.max() > 2 and steps.min() == -1


def test_of_a_graph_without_edges_the_node_is_alone():
    steps, onward = steps_to(np.empty((2, 0), np.int64), 1, 3)
    assert steps.tolist() == [-1, 0, -1]
    assert most_important(np.ones(3), steps, onward, count=5).tolist() == [1]


def test_the_most_important_are_kept_with_their_ways():
    # 0 <- 1 <- 2 <- 3, and 4, 5 and 6 beside 0; 6 is too far to be kept.
    steps = np.array([0, 1, 2, 3, 1, 1, -1])
    onward = np.array([-1, 0, 1, 2, 0, 0, 0])
    importance = np.array([0.0, 0.0, 0.0, 1.0, 0.5, 0.5, 2.0])
    kept = {n: most_important(importance, steps, onward, count=n).tolist() for n in range(1, 8)}
    assert kept[1] == [0]
    assert kept[2] == [0, 4]  # no room for the way of 3
    assert kept[3] == [0, 4, 5]
    assert kept[4] == [0, 1, 2, 3]
    assert kept[5] == [0, 1, 2, 3, 4]
    assert kept[7] == [0, 1, 2, 3, 4, 5]
    near = most_important(np.zeros(7), steps, onward, count=3).tolist()
    assert near == [0, 1, 4]  # of equal ones the nearer
