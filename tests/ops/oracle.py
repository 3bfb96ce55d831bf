"""Convolution by its definition, in any rank: slow, short, and what the fast ways are checked by.

Suffixes: n items, g groups, c input channels of a group, o output channels of a group,
p output positions, k taps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from striate.geometry import Padding, check_groups, plan_windows
from striate.ops.convolution import sliding_windows


def convolve(
    x: Float[Tensor, "n in_channels *space"],
    weight: Float[Tensor, "out_channels group_channels *taps"],
    bias: Float[Tensor, " out_channels"] | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Float[Tensor, "n out_channels *out_space"]:
    """Convolution as one product of all windows with all filters."""
    check_groups(x.shape[1], weight.shape[0], groups)
    rank = x.ndim - 2
    plan = plan_windows(
        x.shape[2:], weight.shape[2:], stride=stride, padding=padding, dilation=dilation
    )
    patches = sliding_windows(x, plan)
    out_space = patches.shape[2 : 2 + rank]
    x_NGCPK = patches.reshape(len(x), groups, -1, out_space.numel(), weight[0, 0].numel())
    w_GOCK = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    y = torch.einsum("ngcpk,gock->ngop", x_NGCPK, w_GOCK)
    y = y.reshape(len(x), weight.shape[0], *out_space)
    return y if bias is None else y + bias.view(-1, *(1,) * rank)


def convolve_transposed(
    x: Float[Tensor, "n in_channels *space"],
    weight: Float[Tensor, "in_channels group_channels *taps"],
    bias: Float[Tensor, " out_channels"] | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int | tuple[int, int]] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    output_padding: int | Sequence[int] = 0,
) -> Float[Tensor, "n out_channels *out_space"]:
    """Transposed convolution: every input position lays a scaled filter onto the output."""
    rank = x.ndim - 2
    space, taps = x.shape[2:], weight.shape[2:]
    plan = plan_windows(space, taps, stride=stride, padding=padding, dilation=dilation)
    extra = (output_padding,) * rank if isinstance(output_padding, int) else output_padding
    sizes = [w.transposed_output_size(n, e) for w, n, e in zip(plan, space, extra, strict=True)]
    canvas_sizes = [n + w.low + w.high for w, n in zip(plan, sizes, strict=True)]
    out_channels = weight.shape[1] * groups
    canvas = x.new_zeros(len(x), out_channels, *canvas_sizes)
    x_NGCP = x.reshape(len(x), groups, x.shape[1] // groups, -1)
    every = slice(None)
    w_TGCO = weight.reshape(groups, x.shape[1] // groups, weight.shape[1], -1).movedim(-1, 0)
    for w_GCO, tap in zip(w_TGCO, product(*map(range, taps)), strict=True):
        y = torch.einsum("ngcp,gco->ngop", x_NGCP, w_GCO)
        places = [
            slice(t * w.dilation, t * w.dilation + (n - 1) * w.stride + 1, w.stride)
            for t, w, n in zip(tap, plan, space, strict=True)
        ]
        canvas[(every, every, *places)] += y.reshape(len(x), out_channels, *space)
    inner = [slice(w.low, w.low + n) for w, n in zip(plan, sizes, strict=True)]
    y = canvas[(every, every, *inner)]
    return y if bias is None else y + bias.view(-1, *(1,) * rank)
