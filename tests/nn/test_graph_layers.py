"""Graph convolutions: equal to PyTorch Geometric's from the same weights, and always the same."""

import hashlib

import pytest
import torch
from torch import nn
from torch_geometric import nn as theirs

from striate.nn.graph_layers import AttentionConv, GraphConv, IsomorphismConv, SageConv
from striate.ops.graph_adjacency import Adjacency, sort_by_target
from striate.ops.graph_reduce import neighbour_sum

TOLERANCE = {"rtol": 0, "atol": 1e-5}
NODES, EDGES, EDGE_CHANNELS = 34, 150, 5


@pytest.fixture(scope="module")
def edges():
    """Random ones, without parallels, some of them loops; the last four nodes are isolated."""
    draw = torch.Generator().manual_seed(0)
    pairs = torch.randint(NODES - 4, (2, EDGES), generator=draw)
    pairs = torch.cat([pairs, torch.tensor([[3, 7], [3, 7]])], 1).unique(dim=1)
    return sort_by_target(pairs)[0]


@pytest.fixture(scope="module")
def adjacency(edges):
    return Adjacency(sources=edges[0], targets=edges[1], num_nodes=NODES)


def compare(ours, their, channels=8):
    """Outputs, and gradients of the nodes and of every parameter."""
    torch.manual_seed(1)
    x = torch.randn(NODES, channels)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = ours(a), their(b)
    torch.testing.assert_close(out, expected, **TOLERANCE)
    weight = torch.randn_like(out) / NODES
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(a.grad, b.grad, **TOLERANCE)


def share(ours: nn.Parameter, their: nn.Parameter) -> None:
    with torch.no_grad():
        ours.copy_(their.view_as(ours))


def equal_gradients(*pairs):
    for ours, their in pairs:
        torch.testing.assert_close(ours.grad, their.grad.view_as(ours), **TOLERANCE)


@pytest.mark.parametrize("width", [4, 8, 16])
def test_gcn_equals_theirs(edges, adjacency, width):
    torch.manual_seed(0)
    their, ours = theirs.GCNConv(8, width), GraphConv(8, width)
    share(ours.linear.weight, their.lin.weight)
    compare(lambda x: ours(x, adjacency), lambda x: their(x, edges))
    equal_gradients((ours.linear.weight, their.lin.weight), (ours.bias, their.bias))


@pytest.mark.parametrize("width", [4, 16])
@pytest.mark.parametrize("aggregation", ["mean", "sum", "max"])
def test_sage_equals_theirs(edges, adjacency, width, aggregation):
    torch.manual_seed(0)
    their = theirs.SAGEConv(8, width, aggr=aggregation)
    ours = SageConv(8, width, aggregation)
    ours.of_neighbours.load_state_dict(their.lin_l.state_dict())
    ours.of_self.load_state_dict(their.lin_r.state_dict())
    compare(lambda x: ours(x, adjacency), lambda x: their(x, edges))
    equal_gradients(
        (ours.of_neighbours.weight, their.lin_l.weight), (ours.of_self.weight, their.lin_r.weight)
    )


@pytest.mark.parametrize("edge_channels", [0, EDGE_CHANNELS])
def test_gin_equals_theirs(edges, adjacency, edge_channels):
    torch.manual_seed(0)
    perceptron = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 6))
    features = torch.randn(edges.shape[1], EDGE_CHANNELS)
    ours = IsomorphismConv(perceptron, 8, edge_channels)
    ours.eps.data.fill_(0.1)
    if edge_channels:
        their = theirs.GINEConv(perceptron, eps=0.1, train_eps=True, edge_dim=edge_channels)
        ours.of_edges.load_state_dict(their.lin.state_dict())
        compare(lambda x: ours(x, adjacency, features), lambda x: their(x, edges, features))
        equal_gradients((ours.of_edges.weight, their.lin.weight), (ours.eps, their.eps))
    else:
        their = theirs.GINConv(perceptron, eps=0.1, train_eps=True)
        compare(lambda x: ours(x, adjacency), lambda x: their(x, edges))
        equal_gradients((ours.eps, their.eps))


@pytest.mark.parametrize("edge_channels", [0, EDGE_CHANNELS])
def test_gat_equals_theirs(edges, adjacency, edge_channels):
    torch.manual_seed(0)
    their = theirs.GATConv(8, 4, heads=3, edge_dim=edge_channels or None)
    ours = AttentionConv(8, 4, heads=3, edge_channels=edge_channels)
    pairs = [
        (ours.of_sources.weight, their.lin.weight),
        (ours.source_attention, their.att_src),
        (ours.target_attention, their.att_dst),
    ]
    if edge_channels:
        pairs += [
            (ours.of_edges.weight, their.lin_edge.weight),
            (ours.edge_attention, their.att_edge),
        ]
    for pair in pairs:
        share(*pair)
    features = torch.randn(edges.shape[1], edge_channels) if edge_channels else None
    compare(lambda x: ours(x, adjacency, features), lambda x: their(x, edges, features))
    equal_gradients(*pairs)


@pytest.mark.parametrize("edge_channels", [0, EDGE_CHANNELS])
def test_dynamic_attention_equals_theirs(edges, adjacency, edge_channels):
    torch.manual_seed(0)
    their = theirs.GATv2Conv(8, 4, heads=3, edge_dim=edge_channels or None)
    ours = AttentionConv(8, 4, heads=3, edge_channels=edge_channels, dynamic=True)
    pairs = [
        (ours.of_sources.weight, their.lin_l.weight),
        (ours.of_sources.bias, their.lin_l.bias),
        (ours.of_targets.weight, their.lin_r.weight),
        (ours.of_targets.bias, their.lin_r.bias),
        (ours.source_attention, their.att),
    ]
    if edge_channels:
        pairs.append((ours.of_edges.weight, their.lin_edge.weight))
    for pair in pairs:
        share(*pair)
    features = torch.randn(edges.shape[1], edge_channels) if edge_channels else None
    compare(lambda x: ours(x, adjacency, features), lambda x: their(x, edges, features))
    equal_gradients(*pairs)


def test_attention_leaves_out_neighbours_only_while_training(adjacency):
    torch.manual_seed(0)
    layer, x = AttentionConv(8, 4, dropout=0.5), torch.randn(NODES, 8)
    assert not torch.equal(layer(x, adjacency), layer(x, adjacency))
    layer.eval()
    assert torch.equal(layer(x, adjacency), layer(x, adjacency))


LAYERS = {
    "gcn": lambda: GraphConv(8, 8),
    "sage": lambda: SageConv(8, 8),
    "sage-max": lambda: SageConv(8, 8, "max"),
    "gin": lambda: IsomorphismConv(nn.Linear(8, 8), 8),
    "gine": lambda: IsomorphismConv(nn.Linear(8, 8), 8, EDGE_CHANNELS),
    "gat": lambda: AttentionConv(8, 4, heads=2, edge_channels=EDGE_CHANNELS),
    "gatv2": lambda: AttentionConv(8, 4, heads=2, edge_channels=EDGE_CHANNELS, dynamic=True),
}


def trained(name: str) -> str:
    """A hash of outputs, gradients and weights over some steps of training."""
    torch.manual_seed(0)
    pairs, _ = sort_by_target(torch.randint(300, (2, 4000)))
    adjacency = Adjacency(sources=pairs[0], targets=pairs[1], num_nodes=300)
    x, features = torch.randn(300, 8), torch.randn(4000, EDGE_CHANNELS)
    layer = LAYERS[name]()
    extra = (features,) if name in ("gine", "gat", "gatv2") else ()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.01)
    digest = hashlib.sha256()
    for _ in range(4):
        out = layer(x, adjacency, *extra)
        optimizer.zero_grad()
        out.square().mean().backward()
        optimizer.step()
        for tensor in (out, *(p.grad for p in layer.parameters()), *layer.parameters()):
            digest.update(tensor.detach().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("name", LAYERS)
def test_ten_runs_give_one_hash(name):
    assert len({trained(name) for _ in range(10)}) == 1


def test_sums_over_neighbours_do_not_depend_on_threads():
    torch.manual_seed(0)
    pairs, _ = sort_by_target(torch.randint(300, (2, 40000)))
    adjacency = Adjacency(sources=pairs[0], targets=pairs[1], num_nodes=300)
    x, weights = torch.randn(300, 64, requires_grad=True), torch.rand(40000)
    before, found = torch.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            out = neighbour_sum(x, adjacency, weights)
            (gradient,) = torch.autograd.grad(out.square().sum(), x)
            found.add(
                hashlib.sha256(
                    out.detach().numpy().tobytes() + gradient.numpy().tobytes()
                ).hexdigest()
            )
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1
