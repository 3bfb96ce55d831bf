"""Depthwise convolutions forward and backward, beside torch's own."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from striate.bench.benchmark import BENCHMARKS, Benchmark, Found, Table
from striate.bench.turns import Contender, timed_in_turns
from striate.errors import OptionError
from striate.ops.depthwise_convolution import depthwise

SHAPES: Final = {
    "1-D": ((4, 256, 1024), 7),
    "2-D": ((4, 96, 56, 56), 7),
    "3-D": ((2, 48, 14, 14, 14), 7),
}
"""Shape of the input and taps along each axis, by the number of axes."""

TORCH: Final = "torch"
"""Name by which torch's own convolution is one of the kernels."""


class Kernels(Benchmark):
    """One shape for each rank."""

    name = "kernels"
    description = "depthwise convolution with its gradients, against torch's"
    takes = "a rank (1-D, 2-D, 3-D), by default each"

    def measure(self, subject: str | None, *, rounds: int) -> Found:
        """Time both of each shape, in float32 with channels last where there are two axes or more."""
        if subject is not None and subject not in SHAPES:
            raise OptionError("subject", subject, fix=f"choose {', '.join(SHAPES)}")
        names = SHAPES if subject is None else [subject]
        return Found(tables=[_table(name, rounds) for name in names])


def _table(name: str, rounds: int) -> Table:
    shape, size = SHAPES[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    if len(shape) > 3:
        order = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
        x = x.contiguous(memory_format=order)
    weight = torch.randn(shape[1], 1, *[size] * (len(shape) - 2), generator=generator)
    x.requires_grad_()
    weight.requires_grad_()

    def both(implementation: str | None) -> Tensor:
        y = depthwise(x, weight, implementation=implementation)
        torch.autograd.grad(y.sum(), (x, weight))
        return y.detach()

    ours, theirs = both(None), both(TORCH)
    apart = float((ours - theirs).abs().max() / theirs.abs().max())
    contenders = [
        Contender(name="Striate", run=lambda: both(None)),
        Contender(name="torch", run=lambda: both(TORCH)),
    ]
    return Table(
        title=f"{name} depthwise convolution, input {' x '.join(map(str, shape))}, {size} taps along "
        "each axis, forward and backward",
        unit="calls",
        timings=timed_in_turns(contenders, rounds=rounds),
        remarks=[f"largest difference {apart:.1e} of the largest output"],
    )


BENCHMARKS.add(Kernels.name, Kernels())
