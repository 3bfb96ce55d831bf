"""What holds for every network of graphs whose layers pass messages; fixed features have tests of their own."""

import hashlib
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from striate.errors import ArgumentError, UnknownNameError, WeightsError
from striate.models import MODELS, create_model, describe
from striate.ops.graph_adjacency import sort_by_target
from striate.ops.graph_batch import GraphBatch

NAMES = [
    name
    for name, variant in MODELS.items()
    if not variant.ranks and hasattr(variant.config, "edge_channels")
]
each_network = pytest.mark.parametrize("name", NAMES)
PARAMETERS = {
    # By hand: nodes to width, convolutions, norms of 2 x width, head of 2 x width (mean and max).
    "gcn": 2 * 128 + 4 * (128 * 128 + 128 + 256) + 256 * 2 + 2,
    "sage": 2 * 128 + 4 * (2 * 128 * 128 + 128 + 256) + 256 * 2 + 2,
    "gin": 2 * 128 + 4 * (1 + 2 * 128 * 256 + 256 + 128 + 512 + 256) + 256 * 2 + 2,
    "gat": 2 * 128 + 4 * (128 * 128 + 2 * 128 + 128 + 256) + 256 * 2 + 2,
}


def batch(edge_channels=3, seed=0, sizes=(5, 1, 0, 4, 6)) -> GraphBatch:
    """Graphs of some nodes each; one of a single node, one without any, isolated nodes."""
    draw = torch.Generator().manual_seed(seed)
    pairs, start = [], 0
    for size in sizes:
        if size > 1:
            pairs.append(torch.randint(size - 1, (2, 2 * size), generator=draw) + start)
        start += size
    edges, _ = sort_by_target(torch.cat(pairs, 1) if pairs else torch.empty(2, 0).long())
    return GraphBatch(
        nodes=torch.randn(start, 6, generator=draw),
        edges=edges,
        graph_of_node=torch.repeat_interleave(torch.tensor(sizes)),
        num_graphs=len(sizes),
        edge_features=torch.randn(edges.shape[1], edge_channels, generator=draw),
    )


def build(name, **options):
    edge_channels = 3 if MODELS.get(name).config.takes_edges else 0
    given = {"in_channels": 6, "num_classes": 3, "edge_channels": edge_channels}
    return create_model(name, **{**given, **options})


@each_network
def test_a_step_of_training_reaches_every_parameter(name):
    torch.manual_seed(0)
    network, labels = build(name), torch.tensor([0, 1, 2, 0, 1])
    loss = F.cross_entropy(network(batch()), labels)
    loss.backward()
    slope = 0.0
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        slope += parameter.grad.square().sum()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 0.01 * loss / slope * parameter.grad
        assert F.cross_entropy(network(batch()), labels) < loss


@each_network
def test_saved_weights_give_equal_outputs(name, tmp_path):
    network = build(name).eval()
    path = tmp_path / "model.safetensors"
    save_file(network.state_dict(), path)
    again = create_model(name, weights=path, **asdict(network.config)).eval()
    assert again.config == network.config
    assert torch.equal(network(batch()), again(batch()))
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        build(name, weights=path, width=network.config.width * 2)


@each_network
def test_a_new_head_is_the_only_change(name):
    network = build(name).eval()
    features = network.forward_features(batch())
    network.reset_classifier(7)
    assert torch.equal(network.forward_features(batch()), features)
    assert network(batch()).shape == (5, 7)
    assert network.config.num_classes == network.classifier.out_features == 7
    assert network.pool(features, batch()).shape == (5, network.num_features)


@each_network
def test_the_order_of_nodes_does_not_matter(name):
    network, graphs = build(name).eval(), batch(sizes=(7,))
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    edges, taken = sort_by_target(order.argsort()[graphs.edges])
    shuffled = GraphBatch(
        nodes=graphs.nodes[order],
        edges=edges,
        graph_of_node=graphs.graph_of_node,
        num_graphs=1,
        edge_features=graphs.edge_features[taken],
    )
    torch.testing.assert_close(network(shuffled), network(graphs), rtol=0, atol=1e-5)


@each_network
@pytest.mark.parametrize("level", ["graph", "node"])
def test_parts_of_a_batch_give_the_whole(name, level):
    network, graphs = build(name, level=level).eval(), batch()
    if level == "node":
        graphs = GraphBatch(**{**vars_of(graphs), "seeds": torch.tensor([9, 0, 5, 3])})
    parts = torch.cat([network(part) for part in graphs.tensor_split(3)])
    assert len(network(graphs)) == len(graphs)
    torch.testing.assert_close(parts, network(graphs), rtol=0, atol=1e-5)


def vars_of(graphs):
    return {name: getattr(graphs, name) for name in GraphBatch.__dataclass_fields__}


@each_network
def test_fault_56_isolated_nodes_and_empty_graphs_have_defined_results(name):
    for training in (True, False):
        for sizes in ((5, 1, 0, 4), (0,), (1,), (0, 0), (1, 1)):
            network = build(name).train(training)
            out = network(batch(sizes=sizes))
            assert out.shape == (len(sizes), 3) and out.isfinite().all()
            out.sum().backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    network = build(name).eval()
    # A graph without nodes pools to 0: its logits are those of the head's bias.
    assert torch.equal(network(batch(sizes=(3, 0)))[1], network.classifier.bias)


@pytest.mark.parametrize("readout", ["sum", "mean", "max", "attention", "sum+attention"])
@pytest.mark.parametrize("options", [{}, {"jumping": True, "virtual_node": True, "norm": False}])
def test_readouts_and_options_train(readout, options):
    network = build("gin_small", readout=readout, residual=not options, **options)
    network(batch()).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def trained(name):
    torch.manual_seed(0)
    network, graphs, labels = build(name, dropout=0.1), batch(), torch.tensor([0, 1, 2, 0, 1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(network(graphs), labels).backward()
        optimizer.step()
    state = network.state_dict().values()
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in state)).hexdigest()


@each_network
def test_ten_runs_give_one_hash(name):
    assert len({trained(name) for _ in range(10)}) == 1


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_those_counted_by_hand(name):
    (row,) = describe(name)
    assert (row.family, row.parameters, row.input_size) == (name, PARAMETERS[name], None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels": 0}, "in_channels=0"),
        ({"edge_channels": -1}, "edge_channels=-1"),
        ({"level": "edge"}, "choose graph or node"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"rank": 3}, "a graph has no spatial axes"),
    ],
)
def test_bad_arguments_give_one_line(options, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        create_model("gin", **{"in_channels": 6, **options})
    assert "\n" not in str(caught.value)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'readout'"):
        create_model("gin", readut="sum")
    with pytest.raises(UnknownNameError, match="'max'"):
        create_model("gin", readout="maxx")
    with pytest.raises(ArgumentError, match="has no use for features of edges"):
        create_model("gcn", edge_channels=3)
    with pytest.raises(ArgumentError, match="choose one of mean, sum, max"):
        create_model("sage", aggregation="median")
    with pytest.raises(ArgumentError, match="must divide width=128"):
        create_model("gat", heads=3)
    with pytest.raises(ArgumentError, match="build it with in_channels=6"):
        build("gin", in_channels=5)(batch())
    with pytest.raises(ArgumentError, match="build it with edge_channels=2"):
        build("gin")(batch(edge_channels=2))
