"""Sums, means, maxima and softmax over sorted segments, and sums over neighbours.

Everything is deterministic, forward and backward: a segment is summed in the order of its rows,
by one thread, on every device; no gradient is scattered, for each is a sum over the same edges in
the order of their other end. Sums over neighbours keep no message of an edge in memory.

Axes: E edges or rows, N nodes or segments, H heads, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from striate.ops.graph_adjacency import Adjacency

_CHUNK = 1 << 21
"""Values that are gathered at a time where only their products are kept: 8 MB."""


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


def _applied(function: type[torch.autograd.Function], *inputs: Any) -> Tensor:
    found: Tensor = function.apply(*inputs)
    return found


def _flat(x: Tensor) -> Tensor:
    """Rows of channels, however many axes the channels have."""
    return x.flatten(1) if x.ndim > 1 else x[:, None]


class _NeighbourSum(torch.autograd.Function):
    """Sum over the edges into each node of weight times the source's row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor | None, adjacency: Adjacency) -> Tensor:
        ctx.adjacency = adjacency
        needs_x = weights is not None and ctx.needs_input_grad[1]
        ctx.save_for_backward(x if needs_x else None, weights)
        return _bags(x, adjacency.sources, adjacency.pointers, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weights = ctx.saved_tensors
        of_x = of_weights = None
        if ctx.needs_input_grad[0]:
            edges = ctx.adjacency.by_source
            permuted = None if weights is None else weights[edges.order]
            of_x = _bags(gradient, edges.targets, edges.pointers, permuted)
        if weights is not None and ctx.needs_input_grad[1]:
            of_weights = edge_products(gradient, x, ctx.adjacency)
        return of_x, of_weights, None


def neighbour_sum(
    x: Float[Tensor, "N C"], adjacency: Adjacency, weights: Float[Tensor, " E"] | None = None
) -> Float[Tensor, "N C"]:
    """For each node the sum over its neighbours' features; 0 where there are none.

    Args:
        x: features of each node.
        adjacency: who is whose neighbour.
        weights: a factor for each edge; 1 by default.
    """
    return _applied(_NeighbourSum, x, weights, adjacency)


class _ScaledSum(torch.autograd.Function):
    """A sum over neighbours and the node itself, each node scaled before and after."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        own: Tensor,
        adjacency: Adjacency,
        weights: Tensor | None,
    ) -> Tensor:
        ctx.adjacency = adjacency
        ctx.save_for_backward(scale, own, weights)
        scaled = x * scale
        summed = _bags(scaled, adjacency.sources, adjacency.pointers, weights)
        return summed.addcmul_(scaled, own).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scale, own, weights = ctx.saved_tensors
        edges = ctx.adjacency.by_source
        permuted = None if weights is None else weights[edges.order]
        scaled = gradient * scale
        summed = _bags(scaled, edges.targets, edges.pointers, permuted)
        return summed.addcmul_(scaled, own).mul_(scale), None, None, None, None


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
        x: features of each node.
        scale: of each node.
        own: factor of the node itself.
        adjacency: who is whose neighbour.
        weights: a factor for each edge; 1 by default.
    """
    return _applied(_ScaledSum, x, scale, own, adjacency, weights)


class _NeighbourMean(torch.autograd.Function):
    """Mean over the sources of the edges into each node."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, adjacency: Adjacency) -> Tensor:
        ctx.adjacency = adjacency
        # A bag's own mean takes twice as long.
        summed = _bags(x, adjacency.sources, adjacency.pointers)
        return summed.mul_(adjacency.shares.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        edges = ctx.adjacency.by_source
        shared = gradient * ctx.adjacency.shares.to(gradient.dtype)
        return _bags(shared, edges.targets, edges.pointers), None


def neighbour_mean(x: Float[Tensor, "N C"], adjacency: Adjacency) -> Float[Tensor, "N C"]:
    """For each node the mean over its neighbours' features; 0 where there are none."""
    return _applied(_NeighbourMean, x, adjacency)


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
        x: features of each node.
        edge_rows: of each edge.
        adjacency: who is whose neighbour.
    """
    return _applied(_RectifiedSum, x, edge_rows, adjacency)


class _Attend(torch.autograd.Function):
    """Sum over neighbours with a weight for each edge and head."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, adjacency: Adjacency) -> Tensor:
        ctx.adjacency = adjacency
        ctx.save_for_backward(x, weights)
        heads = range(x.shape[1])
        parts = [
            _bags(x[:, h], adjacency.sources, adjacency.pointers, weights[:, h]) for h in heads
        ]
        return torch.stack(parts, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weights = ctx.saved_tensors
        of_x = of_weights = None
        if ctx.needs_input_grad[0]:
            edges = ctx.adjacency.by_source
            permuted = weights[edges.order]
            parts = [
                _bags(gradient[:, h], edges.targets, edges.pointers, permuted[:, h])
                for h in range(x.shape[1])
            ]
            of_x = torch.stack(parts, 1)
        if ctx.needs_input_grad[1]:
            of_weights = edge_products(gradient, x, ctx.adjacency)
        return of_x, of_weights, None


def attend(
    x: Float[Tensor, "N H C"], weights: Float[Tensor, "E H"], adjacency: Adjacency
) -> Float[Tensor, "N H C"]:
    """For each node and head the sum over neighbours, each times its edge's weight."""
    return _applied(_Attend, x, weights, adjacency)


def edge_products(
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


class _Gather(torch.autograd.Function):
    """Rows of nodes laid out along edges."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, adjacency: Adjacency, at_source: bool) -> Tensor:
        ctx.adjacency, ctx.at_source = adjacency, at_source
        return x.index_select(0, adjacency.sources if at_source else adjacency.targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        edges: Adjacency = ctx.adjacency
        flat = _flat(gradient)
        if ctx.at_source:
            summed = _bags(flat, edges.by_source.order, edges.by_source.pointers)
        else:
            summed = _bags(flat, edges.positions, edges.pointers)
        return summed.view(-1, *gradient.shape[1:]), None, None


def at_sources(x: Float[Tensor, "N ..."], adjacency: Adjacency) -> Float[Tensor, "E ..."]:
    """What the source of each edge has."""
    return _applied(_Gather, x, adjacency, True)


def at_targets(x: Float[Tensor, "N ..."], adjacency: Adjacency) -> Float[Tensor, "E ..."]:
    """What the target of each edge has."""
    return _applied(_Gather, x, adjacency, False)


class _SegmentSum(torch.autograd.Function):
    """Sum of the rows of each segment."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pointers: Tensor) -> Tensor:
        ctx.save_for_backward(pointers)
        rows = torch.arange(len(x), device=x.device)
        return _bags(_flat(x), rows, pointers).view(-1, *x.shape[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (pointers,) = ctx.saved_tensors
        return gradient.repeat_interleave(pointers.diff(), 0), None


def segment_sum(
    x: Float[Tensor, "E ..."], pointers: Int64[Tensor, " N_and_one"]
) -> Float[Tensor, "N ..."]:
    """The sum of the rows of each segment; 0 where it has none.

    Args:
        x: rows, segment after segment.
        pointers: where each segment begins, and the number of rows.
    """
    return _applied(_SegmentSum, x, pointers)


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


class _Repeat(torch.autograd.Function):
    """Each segment's row for every one of its members; its gradient is their sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pointers: Tensor) -> Tensor:
        ctx.save_for_backward(pointers)
        return x.repeat_interleave(pointers.diff(), 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (pointers,) = ctx.saved_tensors
        rows = torch.arange(len(gradient), device=gradient.device)
        summed = _bags(_flat(gradient), rows, pointers)
        return summed.view(-1, *gradient.shape[1:]), None


def segment_repeat(
    x: Float[Tensor, "N ..."], pointers: Int64[Tensor, " N_and_one"]
) -> Float[Tensor, "E ..."]:
    """Each segment's row for every one of its members."""
    return _applied(_Repeat, x, pointers)
