"""Sums over segments and neighbours, against loops, and their gradients against differences."""

import itertools

import pytest
import torch

from striate.ops.graph_adjacency import Adjacency, sort_by_target
from striate.ops.graph_reduce import (
    at_sources,
    at_targets,
    neighbour_max,
    neighbour_mean,
    neighbour_sum,
    rectified_sum,
    scaled_sum,
    segment_max,
    segment_mean,
    segment_repeat,
    segment_softmax,
    segment_sum,
)

POINTERS = torch.tensor([0, 3, 3, 4, 9])
SEGMENTS = {
    segment_sum: lambda rows: rows.sum(0),
    segment_mean: lambda rows: rows.mean(0) if len(rows) else rows.sum(0),
    segment_max: lambda rows: rows.amax(0) if len(rows) else rows.sum(0),
}


def numbers(*shape: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=draw, dtype=torch.float64, requires_grad=True)


def graph(num_nodes: int = 7, num_edges: int = 20) -> Adjacency:
    """With nodes that no edge goes to, parallel edges and loops; the last node is isolated."""
    draw = torch.Generator().manual_seed(num_edges)
    edges = torch.randint(num_nodes - 1, (2, num_edges), generator=draw)
    edges, _ = sort_by_target(edges)
    return Adjacency(sources=edges[0], targets=edges[1], num_nodes=num_nodes)


@pytest.mark.parametrize("shape", [(9,), (9, 3), (9, 2, 3)])
@pytest.mark.parametrize("reduce", SEGMENTS)
def test_segments_are_reduced_row_by_row(reduce, shape):
    x = numbers(*shape)
    parts = [x[a:b] for a, b in itertools.pairwise(POINTERS)]
    expected = torch.stack([SEGMENTS[reduce](part) for part in parts])
    torch.testing.assert_close(reduce(x, POINTERS), expected, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: reduce(x, POINTERS), x)


def test_softmax_is_that_of_each_segment():
    x = numbers(9, 2)
    parts = [x[a:b].softmax(0) for a, b in itertools.pairwise(POINTERS)]
    torch.testing.assert_close(segment_softmax(x, POINTERS), torch.cat(parts), rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: segment_softmax(x, POINTERS), x)


def test_repeating_is_the_gradient_of_a_sum():
    x = numbers(4, 2)
    assert torch.equal(segment_repeat(x, POINTERS), x.repeat_interleave(POINTERS.diff(), 0))
    assert torch.autograd.gradcheck(lambda x: segment_repeat(x, POINTERS), x)


def test_equal_maxima_share_the_gradient():
    x = torch.ones(9, 1, requires_grad=True)
    segment_max(x, POINTERS).sum().backward()
    assert torch.allclose(x.grad[:, 0], torch.tensor([1 / 3] * 3 + [1.0] + [1 / 5] * 5))


def dense(adjacency: Adjacency, weights: torch.Tensor) -> torch.Tensor:
    """(targets, sources) the matrix that a sum over neighbours is a product with."""
    shape = (adjacency.num_nodes, adjacency.num_nodes)
    index = (adjacency.targets, adjacency.sources)
    return torch.zeros(shape, dtype=weights.dtype).index_put(index, weights, accumulate=True)


def test_neighbours_are_summed_as_by_a_matrix():
    edges, x, weights = graph(), numbers(7, 3), numbers(20)
    ones = torch.ones(20, dtype=torch.float64)
    torch.testing.assert_close(neighbour_sum(x, edges), dense(edges, ones) @ x)
    torch.testing.assert_close(neighbour_sum(x, edges, weights), dense(edges, weights) @ x)
    mean = dense(edges, ones) @ x / dense(edges, ones).sum(1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(neighbour_mean(x, edges), mean)
    assert torch.autograd.gradcheck(lambda x, w: neighbour_sum(x, edges, w), (x, weights))
    assert torch.autograd.gradcheck(lambda x: neighbour_mean(x, edges), x)


def test_neighbours_and_edges_are_rectified_before_they_are_summed():
    edges, x, rows = graph(), numbers(7, 3), numbers(20, 3)
    messages = (x[edges.sources] + rows).relu()
    expected = torch.zeros_like(x).index_add(0, edges.targets, messages)
    torch.testing.assert_close(rectified_sum(x, rows, edges), expected, rtol=0, atol=1e-12)
    assert 0 < (messages == 0).sum() < messages.numel()
    assert torch.autograd.gradcheck(lambda x, r: rectified_sum(x, r, edges), (x, rows))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_scaled_sum_is_its_parts(weighted):
    edges, x, scale, own = graph(), numbers(7, 3), numbers(7, 1), numbers(7, 1)
    weights = numbers(20).detach() if weighted else None
    scale, own = scale.detach(), own.detach()
    expected = scale * (neighbour_sum(scale * x, edges, weights) + own * scale * x)
    torch.testing.assert_close(scaled_sum(x, scale, own, edges, weights), expected)
    assert torch.autograd.gradcheck(lambda x: scaled_sum(x, scale, own, edges, weights), x)


def test_the_greatest_neighbour():
    edges, x = graph(), numbers(7, 3)
    for node in range(7):
        rows = x[edges.sources[edges.targets == node]]
        expected = rows.amax(0) if len(rows) else torch.zeros(3, dtype=torch.float64)
        assert torch.equal(neighbour_max(x, edges)[node], expected)
    assert torch.autograd.gradcheck(lambda x: neighbour_max(x, edges), x)


def test_heads_attend_with_weights_of_their_own():
    edges, x, weights = graph(), numbers(7, 2, 3), numbers(20, 2)
    matrices = [dense(edges, weights[:, head]) for head in range(2)]
    expected = torch.stack([m @ x[:, head] for head, m in enumerate(matrices)], 1)
    torch.testing.assert_close(neighbour_sum(x, edges, weights), expected)
    assert torch.autograd.gradcheck(lambda x, w: neighbour_sum(x, edges, w), (x, weights))


@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 3)])
def test_ends_of_edges(shape):
    edges, x = graph(), numbers(*shape)
    assert torch.equal(at_sources(x, edges), x[edges.sources])
    assert torch.equal(at_targets(x, edges), x[edges.targets])
    assert torch.autograd.gradcheck(lambda x: at_sources(x, edges), x)
    assert torch.autograd.gradcheck(lambda x: at_targets(x, edges), x)


def test_products_in_chunks_are_those_at_once(monkeypatch):
    edges, x, weights = graph(), numbers(7, 3), numbers(20)
    (whole,) = torch.autograd.grad(neighbour_sum(x, edges, weights).square().sum(), weights)
    monkeypatch.setattr("striate.ops.graph_reduce._CHUNK", 7)
    (parts,) = torch.autograd.grad(neighbour_sum(x, edges, weights).square().sum(), weights)
    assert torch.equal(whole, parts)


def test_a_graph_without_edges_and_one_without_nodes():
    for nodes in (3, 0):
        empty = torch.empty(0, dtype=torch.int64)
        edges = Adjacency(sources=empty, targets=empty, num_nodes=nodes)
        x = torch.ones(nodes, 2, requires_grad=True)
        for reduce in (neighbour_sum, neighbour_mean, neighbour_max):
            out = reduce(x, edges)
            assert torch.equal(out, torch.zeros(nodes, 2))
            out.sum().backward()
            assert torch.equal(x.grad, torch.zeros(nodes, 2))
