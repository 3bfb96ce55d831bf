"""A depthwise convolution as numbers: everything a kernel plans by, and nothing it computes with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ArgumentError
from striate.geometry import Padding, Window, plan_windows

Operator: TypeAlias = Literal["forward", "input_gradient", "weight_gradient"]

OPERATORS: Final[tuple[Operator, ...]] = ("forward", "input_gradient", "weight_gradient")

Input: TypeAlias = Float[Tensor, "n c *space"]
Weight: TypeAlias = Float[Tensor, "c 1 *kernel"]
Bias: TypeAlias = Float[Tensor, " c"]
Output: TypeAlias = Float[Tensor, "n c *out"]

MEMORY_FORMATS: Final = {2: torch.channels_last, 3: torch.channels_last_3d}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One depthwise convolution; y[n, c, o] = sum over taps t of x[n, c, o s + t d - low] w[c, t].

    Attributes:
        batch: Number of items.
        channels: Number of channels, the same in the input and the output.
        space: Input positions along each axis.
        windows: The window that slides along each axis, padding included.
        dtype: Type of the input, the weight and the output. Sums are kept in float32.
        device_type: Where the tensors are, as torch names it: "cpu", "cuda", ...
        channels_last: Whether channels are innermost in memory (2-D and 3-D only).
    """

    batch: int
    channels: int
    space: tuple[int, ...]
    windows: tuple[Window, ...]
    dtype: torch.dtype = torch.float32
    device_type: str = "cpu"
    channels_last: bool = False

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.space)

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Number of taps along each axis."""
        return tuple(window.kernel_size for window in self.windows)

    @property
    def stride(self) -> tuple[int, ...]:
        """Input positions from one output to the next along each axis."""
        return tuple(window.stride for window in self.windows)

    @property
    def dilation(self) -> tuple[int, ...]:
        """Input positions from one tap to the next along each axis."""
        return tuple(window.dilation for window in self.windows)

    @property
    def out_space(self) -> tuple[int, ...]:
        """Output positions along each axis.

        Raises:
            ArgumentError: The kernel does not fit the padded input.
        """
        pairs = zip(self.space, self.windows, strict=True)
        return tuple(window.output_size(size) for size, window in pairs)

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Shape of the input."""
        return (self.batch, self.channels, *self.space)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight: (channels, 1, *kernel)."""
        return (self.channels, 1, *self.kernel_size)

    @property
    def padded_space(self) -> tuple[int, ...]:
        """Positions along each axis of the padded input."""
        pairs = zip(self.space, self.windows, strict=True)
        return tuple(size + window.low + window.high for size, window in pairs)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return (self.batch, self.channels, *self.out_space)

    @property
    def inside(self) -> tuple[slice, ...]:
        """The index that takes the input out of the padded input."""
        pairs = zip(self.space, self.windows, strict=True)
        axes = (slice(window.low, window.low + size) for size, window in pairs)
        return (slice(None), slice(None), *axes)

    @property
    def pads(self) -> list[int]:
        """The padding as `F.pad` wants it: the last axis first."""
        return [end for window in reversed(self.windows) for end in (window.low, window.high)]

    @property
    def pads_alike(self) -> bool:
        """Whether every axis has the same padding at both ends."""
        return all(window.low == window.high for window in self.windows)

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory layout of the input and the output."""
        return MEMORY_FORMATS[self.rank] if self.channels_last else torch.contiguous_format


def problem_of(
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: int | Sequence[int],
    padding: Padding,
    dilation: int | Sequence[int],
    dtype: torch.dtype,
    device_type: str,
    channels_last: bool,
) -> Problem:
    """The problem of a call, checked.

    Args:
        x_shape: Shape of the input: items, channels and 1 to 3 spatial axes.
        weight_shape: Shape of the weight: (channels, 1, *kernel).
        stride: Positions from one output to the next, for all axes or for each.
        padding: See `striate.geometry.plan_windows`.
        dilation: Distance between taps, for all axes or for each.
        dtype: Type of the tensors.
        device_type: Where the tensors are, as torch names it.
        channels_last: Whether channels are innermost in memory.

    Raises:
        ArgumentError: The shapes do not fit each other, or no window fits.
    """
    rank = len(x_shape) - 2
    if rank not in (1, 2, 3):
        raise ArgumentError(
            f"an input of shape {tuple(x_shape)}",
            why="it must be (items, channels, 1 to 3 spatial axes)",
        )
    if len(weight_shape) != len(x_shape) or tuple(weight_shape[:2]) != (x_shape[1], 1):
        raise ArgumentError(
            f"a weight of shape {tuple(weight_shape)} for an input of shape {tuple(x_shape)}",
            why=f"a depthwise weight is (channels={x_shape[1]}, 1, {rank} kernel sizes)",
        )
    space = tuple(x_shape[2:])
    windows = plan_windows(
        space, weight_shape[2:], stride=stride, padding=padding, dilation=dilation
    )
    for size, window in zip(space, windows, strict=True):
        window.output_size(size)
    return Problem(
        batch=x_shape[0],
        channels=x_shape[1],
        space=space,
        windows=windows,
        dtype=dtype,
        device_type=device_type,
        channels_last=channels_last,
    )


def is_channels_last(x: Tensor) -> bool:
    """Whether channels are innermost in memory."""
    memory_format = MEMORY_FORMATS.get(x.ndim - 2)
    return memory_format is not None and x.is_contiguous(memory_format=memory_format)
