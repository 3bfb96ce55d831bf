"""The methods for graphs are those for grids; the axioms hold; edges and company do not matter."""

from dataclasses import replace

import pytest
import torch

from striate.data.readers.molecule import molecule_reading
from striate.explain import EXPLANATIONS, explain_graph
from striate.explain.gradient import graph_score, integrated_gradients
from striate.explain.method import Unsupported
from striate.explain.occlusion import edge_occlusion
from striate.kinds.graph.inputs import GraphInputs
from striate.models import create_model
from striate.ops.graph_batch import GraphBatch

GRAPH_METHODS = [n for n, m in EXPLANATIONS.items() if not isinstance(m.graph, Unsupported)]
every_method = pytest.mark.parametrize("method", GRAPH_METHODS)


def explain_nodes(*args):
    return explain_graph(*args).heat


def ring(count, features, seed=0):
    draw = torch.Generator().manual_seed(seed)
    ahead = torch.stack([torch.arange(count), (torch.arange(count) + 1) % count])
    edges = torch.cat([ahead, ahead.flip(0)], 1)
    return GraphBatch(
        nodes=torch.randn(count, features, generator=draw),
        edges=edges[:, torch.argsort(edges[1], stable=True)],
        graph_of_node=torch.zeros(count, dtype=torch.int64),
        num_graphs=1,
    )


class SumOfFirst(torch.nn.Module):
    """Two logits: the sum of the nodes' first feature, and its negative."""

    def forward_features(self, batch):
        return batch.nodes

    def forward_head(self, features, batch):
        total = features[:, 0].sum()
        return torch.stack([total, -total])[None]


@pytest.mark.parametrize("method", [m for m in GRAPH_METHODS if m != "gradcam"])
def test_of_a_sum_each_node_is_as_hot_as_its_part(method):
    graph = ring(6, 3)
    for target, parts in ((0, graph.nodes[:, 0]), (1, -graph.nodes[:, 0])):
        expected = parts.relu() / parts.max()
        torch.testing.assert_close(explain_nodes(SumOfFirst(), graph, target, method), expected)


@every_method
@pytest.mark.parametrize("name", ["gin", "gat"])
def test_every_network_is_explained_and_left_as_it_was(method, name):
    torch.manual_seed(0)
    network = create_model(name, in_channels=4, num_classes=2).eval()
    graph = ring(8, 4)
    given = graph.nodes.clone()
    heats = [explain_nodes(network, graph, target, method) for target in (0, 1)]
    for heat in heats:
        assert heat.shape == (8,) and heat.min() >= 0 and heat.isfinite().all()
        assert heat.max() == 1 or not heat.any()
    assert not torch.equal(*heats)
    assert torch.equal(graph.nodes, given)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_attributions_sum_to_the_logits_difference():
    torch.manual_seed(0)
    network = create_model("gin", in_channels=4, num_classes=2).eval()
    for seed in range(2):
        graph = ring(9, 4, seed)
        blank = GraphBatch(**{**vars_of(graph), "nodes": torch.zeros_like(graph.nodes)})
        with torch.no_grad():
            difference = (network(graph) - network(blank))[0, 1]
            total = integrated_gradients(graph_score(network, graph, 1), graph.nodes).sum()
        assert total == pytest.approx(float(difference), rel=0.02, abs=0.002)


def vars_of(graph):
    return {name: getattr(graph, name) for name in graph.__dataclass_fields__}


@every_method
def test_works_inside_inference_mode_and_on_one_node(method):
    network = create_model("gcn", in_channels=4, num_classes=2).eval()
    graph = ring(3, 4)
    with torch.inference_mode():
        assert explain_nodes(network, graph, 0, method).shape == (3,)
    lone = GraphBatch(
        nodes=torch.ones(1, 4),
        edges=torch.empty(2, 0, dtype=torch.int64),
        graph_of_node=torch.zeros(1, dtype=torch.int64),
        num_graphs=1,
    )
    assert explain_nodes(network, lone, 0, method).shape == (1,)


class Passed(torch.nn.Module):
    """Of nodes, one logit and its negative: what comes over the edges of one convolution."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Linear(3, 3, bias=False)
        torch.nn.init.eye_(self.stem.weight)

    def forward_features(self, batch):
        x = self.stem(batch.nodes)
        return torch.zeros_like(x).index_add(0, batch.edges[1], x[batch.edges[0]])

    def forward_head(self, features, batch):
        logit = features[batch.seeds, 0]
        return torch.stack([logit, -logit], 1)


@every_method
def test_of_one_node_its_neighbours_are_as_hot_as_what_they_pass_on(method):
    graph = replace(ring(6, 3), seeds=torch.tensor([2]))
    expected = torch.zeros(6)
    expected[[1, 3]] = graph.nodes[[1, 3], 0]
    for target, parts in ((0, expected), (1, -expected)):
        heat = explain_nodes(Passed(), graph, target, method)
        torch.testing.assert_close(heat, parts.relu() / parts.max().clamp(min=1e-9))


@every_method
@pytest.mark.parametrize("name", ["gcn_small", "gin_small", "gat_small", "sage_small"])
def test_nodes_out_of_reach_are_cold(method, name):
    torch.manual_seed(0)
    network = create_model(name, in_channels=4, num_classes=2, level="node").eval()
    depth = network.config.depth
    graph = replace(ring(24, 4), seeds=torch.tensor([10]))
    heat = torch.stack([explain_nodes(network, graph, target, method) for target in (0, 1)])
    apart = (torch.arange(24) - 10).abs()
    reached = torch.minimum(apart, 24 - apart) <= depth
    assert not heat[:, ~reached].any()
    assert (heat[:, reached] > 0).any(0).sum() > depth
    assert not network.stem._forward_hooks


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


def test_grad_cam_gives_nodes_their_share_of_the_logit():
    graph = chain(1.0, 0.0, 0.0, 3.0)
    # Features after one sum over neighbours: 1, 1, 3, 3; all gradients are 1.
    heat = explain_nodes(SumOfNodes(), graph, 0)
    assert torch.allclose(heat, torch.tensor([1 / 3, 1 / 3, 1, 1]))
    assert torch.equal(explain_nodes(SumOfNodes(), graph, 1), torch.zeros(4))


def test_an_edge_matters_as_far_as_the_logit_falls_without_it():
    graph = chain(1.0, 0.0, 0.0, 3.0)
    # Without an edge its two ends' values are missing from each other's sums: 1, 0 and 3.
    heat = edge_occlusion(SumOfNodes(), graph, 0)
    of_pair = {
        tuple(sorted(p)): v for p, v in zip(graph.edges.T.tolist(), heat.tolist(), strict=True)
    }
    assert of_pair == pytest.approx({(0, 1): 1 / 3, (1, 2): 0.0, (2, 3): 1.0})
    assert edge_occlusion(SumOfNodes(), chain(1.0), 0).shape == (0,)


def test_the_requested_edges_are_left_out():
    graph = chain(1.0, 0.0, 0.0, 3.0, 2.0)
    among = ((graph.edges == 0).any(0)) | ((graph.edges == 2).any(0) & (graph.edges == 3).any(0))
    heat = edge_occlusion(SumOfNodes(), graph, 0, among.nonzero()[:, 0])
    assert torch.equal(heat[among].unique(), torch.tensor([1 / 3, 1.0]))
    assert not heat[~among].any() and int(among.sum()) == 4
    assert not edge_occlusion(SumOfNodes(), graph, 0, torch.zeros(0, dtype=torch.int64)).any()


def test_edges_with_features_are_left_out_with_them():
    reading = molecule_reading("c1ccccc1Cl")
    feed = GraphInputs.fitted([reading], {})
    torch.manual_seed(0)
    network = create_model(
        "gin_small", in_channels=feed.input_shape[0], edge_channels=feed.edge_channels
    ).eval()
    edges = edge_occlusion(network, feed.inputs([reading]), 0)
    assert edges.shape == (14,) and edges.max() == 1
    assert all(p.grad is None for p in network.parameters())
