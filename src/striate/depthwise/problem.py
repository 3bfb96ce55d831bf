"""A depthwise convolution as numbers: everything a kernel plans by, and nothing it computes with."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final, Literal, TypeAlias

import torch

from striate.geometry import Window

Operator: TypeAlias = Literal["forward", "input_gradient", "weight_gradient"]

OPERATORS: Final[tuple[Operator, ...]] = ("forward", "input_gradient", "weight_gradient")

MEMORY_FORMATS: Final = {2: torch.channels_last, 3: torch.channels_last_3d}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One depthwise convolution; y[n, c, o] = sum over taps t of x[n, c, o s + t d - low] w[c, t].

    Attributes:
        batch: items.
        channels: channels, of the input and of the output.
        space: input positions along each axis.
        windows: the window that slides along each axis, padding included.
        dtype: type of the input, the weight and the output; sums are kept in float32.
        device_type: "cpu", "cuda", ...
        channels_last: channels are innermost in memory (2-D and 3-D only).
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
        """Taps along each axis."""
        return tuple(window.kernel_size for window in self.windows)

    @property
    def stride(self) -> tuple[int, ...]:
        """Steps between outputs along each axis."""
        return tuple(window.stride for window in self.windows)

    @property
    def dilation(self) -> tuple[int, ...]:
        """Distance between taps along each axis."""
        return tuple(window.dilation for window in self.windows)

    @property
    def out_space(self) -> tuple[int, ...]:
        """Output positions along each axis.

        Raises:
            ArgumentError: the kernel does not fit the padded input.
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
        """Every axis has the same padding at both ends."""
        return all(window.low == window.high for window in self.windows)

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of input and output."""
        return MEMORY_FORMATS[self.rank] if self.channels_last else torch.contiguous_format

    @property
    def multiply_adds(self) -> int:
        """Products summed, in each of the three operators."""
        return prod(self.y_shape) * prod(self.kernel_size)
