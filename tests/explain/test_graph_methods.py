"""The methods for graphs are those for grids; the axioms hold; edges and company do not matter."""

import pytest
import torch

from striate.explain import METHODS
from striate.explain.graph_methods import GRAPH_METHODS, explain_nodes, node_attributions
from striate.models import create_graph_model
from striate.ops.graph_batch import GraphBatch

every_method = pytest.mark.parametrize("method", GRAPH_METHODS.names())


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


def test_graphs_have_the_methods_of_grids():
    assert sorted(GRAPH_METHODS.names()) == sorted(METHODS.names())


@pytest.mark.parametrize("method", [m for m in GRAPH_METHODS.names() if m != "gradcam"])
def test_of_a_sum_each_node_is_as_hot_as_its_part(method):
    graph = ring(6, 3)
    for target, parts in ((0, graph.nodes[:, 0]), (1, -graph.nodes[:, 0])):
        expected = parts.relu() / parts.max()
        torch.testing.assert_close(explain_nodes(SumOfFirst(), graph, target, method), expected)


@every_method
@pytest.mark.parametrize("name", ["gin", "gat"])
def test_every_network_is_explained_and_left_as_it_was(method, name):
    torch.manual_seed(0)
    network = create_graph_model(name, in_channels=4, num_classes=2).eval()
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
    network = create_graph_model("gin", in_channels=4, num_classes=2).eval()
    for seed in range(2):
        graph = ring(9, 4, seed)
        blank = GraphBatch(**{**vars_of(graph), "nodes": torch.zeros_like(graph.nodes)})
        with torch.no_grad():
            difference = (network(graph) - network(blank))[0, 1]
            total = node_attributions(network, graph, 1).sum()
        assert total == pytest.approx(float(difference), rel=0.02, abs=0.002)


def vars_of(graph):
    return {name: getattr(graph, name) for name in graph.__dataclass_fields__}


@every_method
def test_works_inside_inference_mode_and_on_one_node(method):
    network = create_graph_model("gcn", in_channels=4, num_classes=2).eval()
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
