"""A tensor seen through sliding windows, and padding that may differ at the two ends."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Shaped
from torch import Tensor
from torch.nn import functional

from striate.geometry import Window


def pad(
    x: Shaped[Tensor, "n c *space"], windows: Sequence[Window], value: float = 0.0
) -> Shaped[Tensor, "n c *padded"]:
    """`x` with the padding of `windows` filled with `value`."""
    widths = [width for window in reversed(windows) for width in (window.low, window.high)]
    return functional.pad(x, widths, value=value) if any(widths) else x


def sliding_windows(
    x: Shaped[Tensor, "n c *space"], windows: Sequence[Window], value: float = 0.0
) -> Shaped[Tensor, "n c *space_taps"]:
    """Every window of `x`: a view of (n, c, *output, *taps) where no padding is needed.

    Args:
        x: the tensor.
        windows: one for each spatial axis.
        value: what the padding holds.
    """
    x = pad(x, windows, value)
    for axis, window in enumerate(windows, start=2):
        x = x.unfold(axis, window.extent, window.stride)[..., :: window.dilation]
    return x
