"""Fixed features of graphs, against networkx, PyTorch Geometric and scikit-learn."""

import networkx as nx
import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import laplacian_kernel

from striate.errors import ArgumentError
from striate.models import create_model
from striate.models.graphs.fixed_features import MAX_DEGREE, degree_features, propagated
from striate.nn.kernel_head import KernelHead, standardize
from striate.ops.graph_adjacency import Adjacency, sort_by_target
from striate.ops.graph_batch import GraphBatch
from striate.transfer.kernel_features import kernel_spaces


def graph_of(edges):
    """The edges of a networkx graph both ways, ascending by target."""
    pairs = np.array(edges, np.int64).reshape(-1, 2).T
    return sort_by_target(torch.from_numpy(np.concatenate([pairs, pairs[::-1]], 1)))[0]


def batch_of(graphs, channels=3):
    """Networkx graphs side by side, with random features."""
    draw = torch.Generator().manual_seed(0)
    sizes = [len(graph) for graph in graphs]
    starts = np.cumsum([0, *sizes])
    edges = [graph_of(graph.edges) + start for graph, start in zip(graphs, starts, strict=False)]
    return GraphBatch(
        nodes=torch.randn(sum(sizes), channels, generator=draw),
        edges=torch.cat(edges, 1),
        graph_of_node=torch.repeat_interleave(torch.tensor(sizes)),
        num_graphs=len(graphs),
    )


@pytest.fixture(scope="module")
def karate():
    return nx.karate_club_graph()


def test_degrees_and_those_of_neighbours_are_networkx(karate):
    edges = graph_of(karate.edges)
    found = degree_features(Adjacency(sources=edges[0], targets=edges[1], num_nodes=len(karate)))
    degrees = dict(karate.degree())
    for node in karate:
        one_of, (own, mean, std, highest, lowest) = found[node].split([MAX_DEGREE + 1, 5])
        assert one_of.argmax() == min(degrees[node], MAX_DEGREE) and one_of.sum() == 1
        around = np.log1p([degrees[other] for other in karate[node]])
        expected = [
            np.log1p(degrees[node]),
            around.mean(),
            around.std(),
            around.max(),
            around.min(),
        ]
        np.testing.assert_allclose([own, mean, std, highest, lowest], expected, atol=2e-3)


def test_two_steps_are_those_of_sgc_in_pytorch_geometric(karate):
    geometric = pytest.importorskip("torch_geometric.nn")
    edges = graph_of(karate.edges)
    x = torch.randn(len(karate), 5, generator=torch.Generator().manual_seed(1))
    layer = geometric.SGConv(5, 5, K=2, bias=False)
    with torch.no_grad():
        layer.lin.weight.copy_(torch.eye(5))
        expected = layer(x, edges)
    adjacency = Adjacency(sources=edges[0], targets=edges[1], num_nodes=len(karate))
    torch.testing.assert_close(propagated(propagated(x, adjacency), adjacency), expected)


def test_features_do_not_depend_on_the_company_nor_on_the_order_of_nodes():
    graphs = [nx.cycle_graph(6), nx.star_graph(4), nx.empty_graph(2), nx.empty_graph(0)]
    batch = batch_of(graphs)
    network = create_model("graph_features", in_channels=3).eval()
    together = network.forward_pooled(batch)
    assert together.shape == (4, network.num_features) and together.isfinite().all()
    for part, row in zip(batch.tensor_split(4), together, strict=True):
        torch.testing.assert_close(network.forward_pooled(part)[0], row)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    first = batch.tensor_split(4)[0]
    place = torch.argsort(order)
    mixed = GraphBatch(
        nodes=first.nodes[order],
        edges=sort_by_target(place[first.edges])[0],
        graph_of_node=first.graph_of_node,
        num_graphs=1,
    )
    torch.testing.assert_close(network.forward_pooled(mixed)[0], together[0])


def test_degree_histogram_is_part_of_a_graphs_features(karate):
    network = create_model("graph_features", in_channels=1, depth=1)
    features = network.forward_pooled(batch_of([karate], channels=1))[0]
    histogram = np.array(nx.degree_histogram(karate), float)
    expected = np.append(histogram[:MAX_DEGREE], histogram[MAX_DEGREE:].sum()) / len(karate)
    np.testing.assert_allclose(features[1 : 1 + MAX_DEGREE + 1], expected, atol=1e-6)


def test_features_as_wholes_take_the_place_of_those_of_nodes():
    batch = batch_of([nx.path_graph(2), nx.path_graph(3)])
    network = create_model("graph_features", in_channels=3, whole_channels=4)
    with pytest.raises(ArgumentError, match="0 features as wholes: the network takes 4"):
        network(batch)
    whole = torch.arange(8.0).view(2, 4)
    given = GraphBatch(**{**vars(batch), "whole": whole})
    assert torch.equal(network.forward_pooled(given), whole)
    assert torch.equal(network.forward_pooled(given.tensor_split(2)[1]), whole[1:])


def test_laplacian_kernel_is_that_of_scikit_learn():
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(30, 6, generator=draw) * torch.tensor([1.0, 5, 0.1, 2, 3, 1])
    (space,) = kernel_spaces(features, (0.3,), seed=0, kernel="laplacian")
    coordinates = space.coordinates(features)
    z = standardize(features, space.shift, space.scale).half().double().numpy()
    expected = laplacian_kernel(z, gamma=0.3 / 6)
    np.testing.assert_allclose((coordinates @ coordinates.T).numpy(), expected, atol=2e-3)


def test_a_machine_compares_the_first_features_alone():
    torch.manual_seed(0)
    network = create_model("graph_features", in_channels=1, whole_channels=5, num_compared=3)
    head = KernelHead(3, 4, 2, "laplacian")
    head.landmarks.normal_()
    machine = network.with_landmarks(head)
    whole = torch.randn(2, 5)
    batch = GraphBatch(
        nodes=torch.zeros(2, 1),
        edges=torch.zeros(2, 0, dtype=torch.int64),
        graph_of_node=torch.arange(2),
        num_graphs=2,
        whole=whole,
    )
    similar = np.exp(-np.abs(whole[:, None, :3].numpy() - head.landmarks.float().numpy()).mean(2))
    expected = torch.from_numpy(similar) @ head.linear.weight.T + head.linear.bias
    torch.testing.assert_close(machine(batch), expected, atol=1e-5, rtol=1e-5)
    assert machine.config.kernel == "laplacian" and machine.config.num_landmarks == 4


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"level": "edge"}, {"whole_channels": -1}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ArgumentError):
        create_model("graph_features", **wrong)
