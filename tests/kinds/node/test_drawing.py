"""Pictures of one node among its neighbours: what is drawn, and what edges are worth."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch

from striate.data.layouts.node_source import NodeGraph, NodeSource
from striate.errors import ArgumentError
from striate.kinds.node import drawing as node_pictures
from striate.kinds.node.drawing import node_picture
from striate.kinds.node.inputs import NodeInputs, node_feed
from striate.models import create_graph_model
from striate.ops.graph_batch import GraphBatch
from striate.run.predictor import NodePredictor

SVG = "{http://www.w3.org/2000/svg}"


def graph_of(count, pairs, name="gcn_small"):
    """A predictor, inputs and the nodes of a graph whose edges go both ways."""
    pairs = np.array(pairs, np.int64).T
    source = NodeSource(
        name="test",
        graph=NodeGraph.of(
            np.random.default_rng(0).normal(size=(4, count)),
            np.concatenate([pairs, pairs[::-1]], 1),
        ),
        names=[f"n{node}" for node in range(count)],
        labels=["ab"[node % 2] for node in range(count)],
    )
    items = source.listing.items
    inputs = NodeInputs(source, node_feed(source, items))
    torch.manual_seed(0)
    network = create_graph_model(name, in_channels=4, level="node").eval()
    predictor = NodePredictor(
        network=network, feed=inputs.feed, calibration=None, device=torch.device("cpu")
    )
    return predictor, inputs, items


def shapes(picture, name):
    return ET.fromstring(picture.image).findall(f".//{SVG}{name}")


def texts(picture):
    return [text.text for text in shapes(picture, "text")]


CHAIN = [(node, node + 1) for node in range(19)]


def test_what_the_convolutions_reach_is_drawn():
    predictor, inputs, items = graph_of(20, CHAIN)
    picture = node_picture(predictor, inputs, items[10], 0, "saliency")
    assert texts(picture) == [f"n{n}" for n in range(7, 14)] + ["7 nodes within 3 steps"]
    assert len(shapes(picture, "line")) == 6
    (ring,) = [c for c in shapes(picture, "circle") if c.get("stroke") == "black"]
    (bold,) = [text for text in shapes(picture, "text") if text.get("font-weight") == "bold"]
    assert bold.text == "n10" and abs(float(bold.get("y")) - float(ring.get("cy"))) < 4


@pytest.mark.parametrize("name", ["gcn_small", "gat_small"])
def test_an_edge_is_worth_what_the_whole_graph_loses_without_it(name, monkeypatch):
    draw = np.random.default_rng(1)
    pairs = sorted({tuple(sorted(draw.choice(40, 2, replace=False).tolist())) for _ in range(55)})
    predictor, inputs, items = graph_of(40, pairs, name)
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

    monkeypatch.setattr(node_pictures, "draw_graph", draw_graph)
    node_picture(predictor, inputs, items[5], 1, "gradcam")
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
            return float(predictor.network(batch)[0, 1])

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
    predictor, inputs, items = graph_of(300, spokes)
    picture = node_picture(predictor, inputs, items[0], 0, "saliency")
    caption = "the 100 most important of 299 nodes within 3 steps"
    assert texts(picture) == ["n0", caption]
    assert len(shapes(picture, "circle")) == 101
    assert len(shapes(picture, "line")) == 99  # a tree, all of it joined


def test_occlusion_that_would_take_too_long_is_refused_and_edges_left_grey(monkeypatch):
    predictor, inputs, items = graph_of(20, CHAIN)
    monkeypatch.setattr(node_pictures, "MAX_WORK", 100)
    with pytest.raises(ArgumentError, match="--method occlusion of node 'n10': it sees 9 nodes"):
        node_picture(predictor, inputs, items[10], 0, "occlusion")
    picture = node_picture(predictor, inputs, items[10], 0, "gradcam")
    assert texts(picture)[-1].endswith("; edges are not explained")
    assert {line.get("stroke") for line in shapes(picture, "line")} == {"#bbbbbb"}


def test_a_node_alone_and_long_names():
    predictor, inputs, items = graph_of(20, CHAIN[:10])
    picture = node_picture(predictor, inputs, items[19], 0, "occlusion")
    assert texts(picture) == ["n19", "1 node within 3 steps"]
    assert not shapes(picture, "line")
    assert node_pictures._short("a\nvery long name indeed") == "a\\nvery long na…"
