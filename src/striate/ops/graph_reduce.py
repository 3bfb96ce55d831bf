"""Sums, means, maxima and softmax over sorted segments, and sums over neighbours.

Everything is deterministic, forward and backward: a segment is summed in the order of its rows,
by one thread, on every device; no gradient is scattered, for each is a sum over the same edges in
the order of their other end. Sums over neighbours keep no message of an edge in memory.

Axes: E edges or rows, N nodes or segments, H heads, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from striate.ops.graph_adjacency import Adjacency

_CHUNK = 1 << 21
"""Values that are gathered at a time where only their products are kept: 8 MB."""

_Map: TypeAlias = Callable[[Tensor], Tensor]


def _bags(
    x: Float[Tensor, "rows C"],
    rows: Int64[Tensor, " E"],
    pointers: Int64[Tensor, " N_and_one"],
    weights: Float[Tensor, " E"] | None = None,
    mode: int = 0,
) -> Float[Tensor, "N C"]:
    """The sum (mode 0) or maximum (2) of the rows of `x` named in each segment; 0 if none.

    An embedding bag is this very operation, with a kernel that reads each row once.
    """
    if not len(rows):
        return x.new_zeros(len(pointers) - 1, x.shape[1])
    if weights is not None:
        weights = weights.contiguous()
    return torch.embedding_bag(x.contiguous(), rows, pointers, False, mode, False, weights, True)[0]


class _Linear(torch.autograd.Function):
    """A linear map, and its transpose, which carries the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, apply: _Map, transpose: _Map) -> Tensor:
        ctx.transpose = transpose
        return apply(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transpose(gradient), None, None


def _applied(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    found: Tensor = function.apply(*inputs)
    return found


def _linear(x: Tensor, apply: _Map, transpose: _Map) -> Tensor:
    return _applied(_Linear, x, apply, transpose)


def _rows_summed(x: Tensor, rows: Tensor, pointers: Tensor) -> Tensor:
    """The sum of the rows named in each segment, however many axes the channels have."""
    flat = x.flatten(1) if x.ndim > 1 else x[:, None]
    return _bags(flat, rows, pointers).view(-1, *x.shape[1:])


def _weighted(x: Tensor, rows: Tensor, pointers: Tensor, weights: Tensor | None) -> Tensor:
    """The sum of the rows named in each segment, weighted, where there are heads for each of them."""
    if weights is None or weights.ndim == 1:
        return _bags(x, rows, pointers, weights)
    heads = range(x.shape[1])
    return torch.stack([_bags(x[:, h], rows, pointers, weights[:, h]) for h in heads], 1)


def _from_sources(x: Tensor, adjacency: Adjacency, weights: Tensor | None = None) -> Tensor:
    """For each node the sum over the edges into it."""
    return _weighted(x, adjacency.sources, adjacency.pointers, weights)


def _from_targets(x: Tensor, adjacency: Adjacency, weights: Tensor | None = None) -> Tensor:
    """For each node the sum over the edges out of it: the transpose."""
    edges = adjacency.by_source
    permuted = None if weights is None else weights[edges.order]
    return _weighted(x, edges.targets, edges.pointers, permuted)


class _WeightedSum(torch.autograd.Function):
    """Sum over the edges into each node of weight times the source's row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, adjacency: Adjacency) -> Tensor:
        ctx.adjacency = adjacency
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weights)
        return _from_sources(x, adjacency, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weights = ctx.saved_tensors
        of_x = of_weights = None
        if ctx.needs_input_grad[0]:
            of_x = _from_targets(gradient, ctx.adjacency, weights)
        if ctx.needs_input_grad[1]:
            of_weights = _edge_products(gradient, x, ctx.adjacency)
        return of_x, of_weights, None


def neighbour_sum(
    x: Float[Tensor, "N *H C"], adjacency: Adjacency, weights: Float[Tensor, E * H] | None = None
) -> Float[Tensor, "N *H C"]:
    """For each node, and each head, the sum over its neighbours' features; 0 where there are none.

    Args:
        x: Features of each node.
        adjacency: The edges of the graph.
        weights: A factor for each edge, and each head; None is 1.
    """
    if weights is not None:
        return _applied(_WeightedSum, x, weights, adjacency)
    return _linear(
        x, lambda rows: _from_sources(rows, adjacency), lambda rows: _from_targets(rows, adjacency)
    )


def scaled_sum(
    x: Float[Tensor, "N C"],
    scale: Float[Tensor, "N 1"],
    own: Float[Tensor, "N 1"],
    adjacency: Adjacency,
    weights: Float[Tensor, " E"] | None = None,
) -> Float[Tensor, "N C"]:
    """For each node its neighbours' features and its own, both nodes' scales multiplied in.

    The same as `scale * (neighbour_sum(scale * x, adjacency, weights) + own * scale * x)` with fewer
    arrays in memory; gradients flow to `x` alone.

    Args:
        x: Features of each node.
        scale: Factor of each node, before and after the sum.
        own: Factor of the node itself in its sum.
        adjacency: The edges of the graph.
        weights: A factor for each edge; None is 1.
    """

    def scaled(rows: Tensor, summed: Callable[..., Tensor]) -> Tensor:
        before = rows * scale
        return summed(before, adjacency, weights).addcmul_(before, own).mul_(scale)

    return _linear(
        x, lambda rows: scaled(rows, _from_sources), lambda rows: scaled(rows, _from_targets)
    )


def neighbour_mean(x: Float[Tensor, "N C"], adjacency: Adjacency) -> Float[Tensor, "N C"]:
    """For each node the mean over its neighbours' features; 0 where there are none."""
    shares = adjacency.shares.to(x.dtype)
    return _linear(
        x,
        # A bag's own mean takes twice as long.
        lambda rows: _from_sources(rows, adjacency).mul_(shares),
        lambda rows: _from_targets(rows * shares, adjacency),
    )


class _NeighbourMax(torch.autograd.Function):
    """Maximum over the sources of the edges into each node."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, adjacency: Adjacency) -> Tensor:
        out = _bags(x, adjacency.sources, adjacency.pointers, mode=2)
        ctx.adjacency = adjacency
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, out = ctx.saved_tensors
        edges: Adjacency = ctx.adjacency
        chosen = (x[edges.sources] == out[edges.targets]).to(gradient.dtype)
        ties = _bags(chosen, edges.positions, edges.pointers).clamp(min=1)
        chosen *= (gradient / ties)[edges.targets]
        return _bags(chosen, edges.by_source.order, edges.by_source.pointers), None


def neighbour_max(x: Float[Tensor, "N C"], adjacency: Adjacency) -> Float[Tensor, "N C"]:
    """For each node the maximum of each of its neighbours' features; 0 where there are none.

    Neighbours that share a maximum share its gradient.
    """
    return _applied(_NeighbourMax, x, adjacency)


class _RectifiedSum(torch.autograd.Function):
    """Sum over the edges into each node of the positive part of source's row plus edge's row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, edge_rows: Tensor, adjacency: Adjacency) -> Tensor:
        messages = x.index_select(0, adjacency.sources).add_(edge_rows).relu_()
        ctx.adjacency = adjacency
        ctx.save_for_backward(messages)
        return _bags(messages, adjacency.positions, adjacency.pointers)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        (messages,) = ctx.saved_tensors
        edges: Adjacency = ctx.adjacency
        along = gradient.index_select(0, edges.targets)
        # In place: rows of edges are what takes memory, and time to get it.
        torch.ops.aten.threshold_backward(along, messages, 0, grad_input=along)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = _bags(along, edges.by_source.order, edges.by_source.pointers)
        return of_x, along, None


def rectified_sum(
    x: Float[Tensor, "N C"], edge_rows: Float[Tensor, "E C"], adjacency: Adjacency
) -> Float[Tensor, "N C"]:
    """For each node the sum over its edges of relu(neighbour's features + edge's); 0 without any.

    Args:
        x: Features of each node.
        edge_rows: Features of each edge, as many as a node has.
        adjacency: The edges of the graph.
    """
    return _applied(_RectifiedSum, x, edge_rows, adjacency)


def _edge_products(
    at_target: Float[Tensor, "N *H C"], at_source: Float[Tensor, "N *H C"], adjacency: Adjacency
) -> Float[Tensor, "E ..."]:
    """For each edge the dot product, over channels, of a row of its target and one of its source.

    The rows are gathered in chunks, never for all edges at once.
    """
    count = len(adjacency.sources)
    out = at_target.new_empty(count, *at_target.shape[1:-1])
    step = max(1, _CHUNK // max(1, at_target[:1].numel()))
    for start in range(0, count, step):
        part = slice(start, start + step)
        product = at_target[adjacency.targets[part]] * at_source[adjacency.sources[part]]
        torch.sum(product, -1, out=out[part])
    return out


def at_sources(x: Float[Tensor, "N ..."], adjacency: Adjacency) -> Float[Tensor, "E ..."]:
    """The row of each edge's source."""

    def transpose(rows: Tensor) -> Tensor:
        by_source = adjacency.by_source
        return _rows_summed(rows, by_source.order, by_source.pointers)

    return _linear(x, lambda rows: rows.index_select(0, adjacency.sources), transpose)


def at_targets(x: Float[Tensor, "N ..."], adjacency: Adjacency) -> Float[Tensor, "E ..."]:
    """The row of each edge's target."""
    return _linear(
        x,
        lambda rows: rows.index_select(0, adjacency.targets),
        lambda rows: _rows_summed(rows, adjacency.positions, adjacency.pointers),
    )


def _segments_summed(x: Tensor, pointers: Tensor) -> Tensor:
    return _rows_summed(x, torch.arange(len(x), device=x.device), pointers)


def _segments_repeated(x: Tensor, pointers: Tensor) -> Tensor:
    return x.repeat_interleave(pointers.diff(), 0)


def segment_sum(
    x: Float[Tensor, "E ..."], pointers: Int64[Tensor, " N_and_one"]
) -> Float[Tensor, "N ..."]:
    """The sum of the rows of each segment; 0 where it has none.

    Args:
        x: Rows, segment after segment.
        pointers: Where each segment begins, and the number of rows.
    """
    return _linear(
        x,
        lambda rows: _segments_summed(rows, pointers),
        lambda rows: _segments_repeated(rows, pointers),
    )


def segment_repeat(
    x: Float[Tensor, "N ..."], pointers: Int64[Tensor, " N_and_one"]
) -> Float[Tensor, "E ..."]:
    """Each segment's row for every one of its members."""
    return _linear(
        x,
        lambda rows: _segments_repeated(rows, pointers),
        lambda rows: _segments_summed(rows, pointers),
    )


def segment_mean(
    x: Float[Tensor, "E ..."], pointers: Int64[Tensor, " N_and_one"]
) -> Float[Tensor, "N ..."]:
    """The mean of the rows of each segment; 0 where it has none."""
    sizes = pointers.diff().clamp(min=1).to(x.dtype)
    return segment_sum(x, pointers) / sizes.view(-1, *[1] * (x.ndim - 1))


class _SegmentMax(torch.autograd.Function):
    """Maximum of the rows of each segment."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pointers: Tensor) -> Tensor:
        sizes = pointers.diff()
        index = torch.repeat_interleave(sizes).view(-1, *[1] * (x.ndim - 1)).expand_as(x)
        out = x.new_zeros(len(sizes), *x.shape[1:])
        # A maximum has no rounding: any order of the rows gives the same bits.
        out = out.scatter_reduce(0, index, x, "amax", include_self=False)
        ctx.save_for_backward(x, out, pointers)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, out, pointers = ctx.saved_tensors
        sizes = pointers.diff()
        chosen = (x == out.repeat_interleave(sizes, 0)).to(gradient.dtype)
        share = gradient / segment_sum(chosen, pointers).clamp(min=1)
        return chosen.mul_(share.repeat_interleave(sizes, 0)), None


def segment_max(
    x: Float[Tensor, "E ..."], pointers: Int64[Tensor, " N_and_one"]
) -> Float[Tensor, "N ..."]:
    """The maximum of the rows of each segment; 0 where it has none.

    Rows that share a maximum share its gradient.
    """
    return _applied(_SegmentMax, x, pointers)


def segment_softmax(
    x: Float[Tensor, "E ..."], pointers: Int64[Tensor, " N_and_one"]
) -> Float[Tensor, "E ..."]:
    """Softmax over the rows of each segment."""
    sizes = pointers.diff()
    peak = segment_max(x.detach(), pointers).repeat_interleave(sizes, 0)
    exponential = (x - peak).exp()
    total = segment_sum(exponential, pointers)
    return exponential / segment_repeat(total, pointers)
