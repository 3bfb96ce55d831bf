"""Integer arithmetic of sliding windows: sizes, paddings, receptive fields, costs. No torch.

Everything here is about one axis, or about a tuple of axes that do not mix. A position is an
index into the unpadded input; the padding lies at negative positions and past the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, prod
from typing import Any, Final, TypeAlias

from striate.errors import ArgumentError, UnknownNameError

AxisPadding: TypeAlias = str | int | tuple[int, int]
"""One axis: a name of PADDING_NAMES, a number for both ends, or (low, high)."""

Padding: TypeAlias = str | int | Sequence[AxisPadding]
"""All axes: a name or number for every axis, or one AxisPadding for each."""

Number: TypeAlias = int | Fraction
"""Exact; whole unless something was upsampled."""

PADDING_NAMES: Final = ("same", "same_lower", "valid", "causal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A window that slides along one axis.

    Attributes:
        kernel_size: Number of taps.
        stride: Input positions from one output to the next.
        dilation: Input positions from one tap to the next.
        low: Positions of padding before the input.
        high: Positions of padding after the input.

    Raises:
        ArgumentError: An attribute is out of range.
    """

    kernel_size: int
    stride: int = 1
    dilation: int = 1
    low: int = 0
    high: int = 0

    def __post_init__(self) -> None:
        _require_positive("kernel_size", self.kernel_size)
        _require_positive("stride", self.stride)
        _require_positive("dilation", self.dilation)
        if self.low < 0 or self.high < 0:
            raise ArgumentError(
                f"padding=({self.low}, {self.high})",
                why="padding adds positions and cannot be negative",
                fix="crop the input instead",
            )

    @property
    def extent(self) -> int:
        """Number of positions from the first tap to the last, both counted."""
        return (self.kernel_size - 1) * self.dilation + 1

    def output_size(self, size: int, ceil_mode: bool = False) -> int:
        """Number of places the window takes on an input of `size` positions.

        Args:
            size: Positions of the input.
            ceil_mode: Whether a last window that runs over the end counts too, if it starts inside
                the input or its low padding (torch's pooling rule).

        Raises:
            ArgumentError: Not one window fits.
        """
        span = size + self.low + self.high - self.extent
        if span < 0:
            raise ArgumentError(
                f"an axis of {size} is too small",
                why=f"a window of kernel_size={self.kernel_size}, dilation={self.dilation} spans "
                f"{self.extent} and the padding is ({self.low}, {self.high})",
                fix=f"the least size is {self.min_input_size()}",
            )
        if not ceil_mode:
            return span // self.stride + 1
        count = -(-span // self.stride) + 1
        return count - 1 if (count - 1) * self.stride >= size + self.low else count

    def transposed_output_size(self, size: int, output_padding: int = 0) -> int:
        """Output positions of the transposed convolution on an input of `size` positions.

        Args:
            size: Positions of the input.
            output_padding: Positions that are added at the end, to choose among the sizes that a
                convolution with this window would map to `size`.

        Raises:
            ArgumentError: Nothing is left, or `output_padding` chooses nothing.
        """
        if not 0 <= output_padding < max(self.stride, self.dilation):
            raise ArgumentError(
                f"output_padding={output_padding}",
                why=f"it must be at least 0 and smaller than stride={self.stride} or "
                f"dilation={self.dilation}",
            )
        out = (size - 1) * self.stride + self.extent - self.low - self.high + output_padding
        if out < 1:
            raise ArgumentError(
                f"padding=({self.low}, {self.high})",
                why=f"a transposed convolution of {size} positions makes {out + self.low + self.high}"
                " and the padding takes all of them",
            )
        return out

    def min_input_size(self, output_size: int = 1) -> int:
        """The smallest size that gives `output_size` places (without ceil mode)."""
        span = (output_size - 1) * self.stride + self.extent
        return max(span - self.low - self.high, 1)


def plan_windows(
    space: Sequence[int],
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
) -> tuple[Window, ...]:
    """One window for each axis, with every padding turned into numbers.

    Args:
        space: Input positions of each axis; `same` depends on them.
        kernel_size: Number of taps, for all axes or for each.
        stride: Input positions from one output to the next, for all axes or for each.
        padding: `same` (the output has ceil(size / stride) positions; an odd total puts the
            larger half at the end), `same_lower` (at the start), `valid` (none), `causal` (all
            before the input), a number, or for each axis a number, a name or (low, high).
        dilation: Input positions from one tap to the next, for all axes or for each.

    Raises:
        ArgumentError: A value is out of range, or there is not one for each axis.

    >>> plan_windows((224, 224), 3, stride=2, padding="same")[0]
    Window(kernel_size=3, stride=2, dilation=1, low=0, high=1)
    """
    rank = len(space)
    kernels = per_axis("kernel_size", kernel_size, rank)
    strides = per_axis("stride", stride, rank)
    dilations = per_axis("dilation", dilation, rank)
    paddings = _padding_per_axis(padding, rank)
    return tuple(
        _plan_axis(size, k, s, p, d)
        for size, k, s, p, d in zip(space, kernels, strides, paddings, dilations, strict=True)
    )


def same_padding(
    size: int, kernel_size: int, stride: int = 1, dilation: int = 1, *, lower: bool = False
) -> tuple[int, int]:
    """Padding (low, high) of one axis that gives ceil(size / stride) outputs (TensorFlow's rule).

    Args:
        size: Positions of the input.
        kernel_size: Number of taps.
        stride: Input positions from one output to the next.
        dilation: Input positions from one tap to the next.
        lower: Whether an odd total puts the larger half at the start instead of the end.

    >>> same_padding(224, 3, stride=2), same_padding(5, 3), same_padding(5, 4, lower=True)
    ((0, 1), (1, 1), (2, 1))
    """
    _require_positive("stride", stride)
    extent = (kernel_size - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    half = total // 2
    return (total - half, half) if lower else (half, total - half)


def symmetric_padding(kernel_size: int, dilation: int = 1) -> int:
    """Padding at each end of one axis that centres a window on every position (stride 1: same size).

    Args:
        kernel_size: Number of taps.
        dilation: Input positions from one tap to the next.

    Raises:
        ArgumentError: The kernel is even, so that it has no middle.

    >>> symmetric_padding(3), symmetric_padding(3, dilation=2)
    (1, 2)
    """
    if kernel_size % 2 == 0:
        raise ArgumentError(f"kernel_size={kernel_size}", why="symmetric padding needs an odd one")
    return dilation * (kernel_size // 2)


def causal_padding(kernel_size: int, dilation: int = 1) -> tuple[int, int]:
    """Padding (low, high) of one axis after which no output sees a later position.

    Args:
        kernel_size: Number of taps.
        dilation: Input positions from one tap to the next.

    >>> causal_padding(3, dilation=2)
    (4, 0)
    """
    return dilation * (kernel_size - 1), 0


def output_size(
    size: int,
    kernel_size: int,
    stride: int = 1,
    padding: AxisPadding = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Outputs along one axis of a convolution or a pooling; see `Window.output_size`.

    `padding` is `same`, `same_lower`, `valid`, `causal`, a number for both ends, or (low, high).

    >>> output_size(224, 7, stride=2, padding=3), output_size(224, 3, 2, "same")
    (112, 112)
    """
    return _plan_axis(size, kernel_size, stride, padding, dilation).output_size(size, ceil_mode)


def transposed_output_size(
    size: int,
    kernel_size: int,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    output_padding: int = 0,
) -> int:
    """Outputs along one axis of a transposed convolution; see `Window.transposed_output_size`.

    `padding` is the number of outputs that are taken off at both ends, or (low, high).

    >>> transposed_output_size(112, 2, stride=2)
    224
    """
    window = _plan_axis(size, kernel_size, stride, padding, dilation)
    return window.transposed_output_size(size, output_padding)


def per_axis(name: str, value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """`value` for each of `rank` axes; one number stands for all.

    Raises:
        ArgumentError: There is not one value for each axis.
    """
    if isinstance(value, Sequence):
        if len(value) != rank:
            raise ArgumentError(
                f"{name}={tuple(value)}", why=f"it has {len(value)} values for {rank} spatial axes"
            )
        return tuple(value)
    return (value,) * rank


def check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    """Raise unless `groups` divides both numbers of channels.

    Raises:
        ArgumentError: It does not, or is less than 1.
    """
    _require_positive("groups", groups)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ArgumentError(f"groups={groups}", why=f"it does not divide {name}={channels}")


@dataclass(frozen=True, slots=True)
class Field:
    """What one position of a feature map sees of the input, along one axis.

    Position i sees the input positions `start + i * jump` to `start + i * jump + size - 1`.
    After upsampling the numbers may be fractions; the field is then the tightest such interval
    that holds what each position sees, and `size` rounded down the most that any of them sees.

    Attributes:
        size: Number of input positions that are seen, gaps of dilation included.
        jump: Input positions from the field of one output to that of the next.
        start: First position that output 0 sees; negative in the padding.
    """

    size: Number = 1
    jump: Number = 1
    start: Number = 0

    def then(self, window: Window) -> Field:
        """The field after a convolution or pooling with this window."""
        return Field(
            self.size + (window.extent - 1) * self.jump,
            self.jump * window.stride,
            self.start - window.low * self.jump,
        )

    def then_transposed(self, window: Window) -> Field:
        """The field after a transposed convolution; upsampling by s has kernel_size s, stride s.

        Output o takes from the inputs i with o + low - extent < i * stride <= o + low.
        """
        jump = Fraction(self.jump) / window.stride
        reach = (window.extent - 1) * jump
        return Field(self.size + reach, jump, self.start + window.low * jump - reach)

    def union(self, other: Field) -> Field | None:
        """The field of a sum or a concatenation; None where the jumps differ.

        Maps whose jumps differ are not aligned, so that no single interval follows both.
        """
        if self.jump != other.jump:
            return None
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return Field(end - start, self.jump, start)

    def positions(self, index: int, size: int) -> range:
        """Input positions that output `index` sees of an input of `size` positions, padding left out."""
        first = self.start + index * self.jump
        last = floor(first + self.size - 1)
        return range(max(ceil(first), 0), min(last + 1, size))

    def border(self, size: int, output_size: int) -> tuple[int, int]:
        """Outputs at the start and at the end whose field reaches into the padding.

        Args:
            size: Input positions.
            output_size: Positions of the feature map.
        """
        last = self.start + self.size - 1 + (output_size - 1) * self.jump
        low = floor((-1 - self.start) / Fraction(self.jump)) + 1
        high = floor((last - size) / Fraction(self.jump)) + 1
        return min(max(low, 0), output_size), min(max(high, 0), output_size)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a layer holds and computes for one item.

    Attributes:
        parameters: Number of weights and biases that are learned.
        multiply_adds: Number of products that are summed; adding a bias is not counted.
    """

    parameters: int
    multiply_adds: int


def convolution_cost(
    in_channels: int,
    out_channels: int,
    kernel_size: Sequence[int],
    out_space: Sequence[int],
    groups: int = 1,
    bias: bool = True,
) -> Cost:
    """Parameters and multiply-adds of a convolution.

    Padding is counted as if it were input, as every common counter does.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Number of taps along each axis.
        out_space: Output positions along each axis.
        groups: Number of parts that the channels are split into; they do not mix.
        bias: Whether each output channel has a bias.

    Raises:
        ArgumentError: `groups` does not divide the channels.
    """
    check_groups(in_channels, out_channels, groups)
    weights = out_channels * (in_channels // groups) * prod(kernel_size)
    return Cost(weights + (out_channels if bias else 0), weights * prod(out_space))


def dense_cost(in_features: int, out_features: int, bias: bool = True) -> Cost:
    """Parameters and multiply-adds of a dense layer.

    The dense layer that stands for a convolution has channels times positions as features.

    >>> dense_cost(224 * 224 * 3, 1000, bias=False).parameters
    150528000
    """
    weights = in_features * out_features
    return Cost(weights + (out_features if bias else 0), weights)


def _plan_axis(
    size: int, kernel_size: int, stride: int, padding: AxisPadding, dilation: int
) -> Window:
    window = Window(kernel_size=kernel_size, stride=stride, dilation=dilation)
    if isinstance(padding, tuple):
        low, high = padding
    elif isinstance(padding, int):
        low = high = padding
    elif padding == "valid":
        low = high = 0
    elif padding == "causal":
        low, high = causal_padding(kernel_size, dilation)
    elif padding in PADDING_NAMES:
        lower = padding == "same_lower"
        low, high = same_padding(size, kernel_size, stride, dilation, lower=lower)
    else:
        raise UnknownNameError("padding", padding, PADDING_NAMES)
    return replace(window, low=low, high=high)


def _padding_per_axis(padding: Padding, rank: int) -> tuple[AxisPadding, ...]:
    if isinstance(padding, str) or not isinstance(padding, Sequence):
        return (padding,) * rank
    if len(padding) != rank:
        raise ArgumentError(
            f"padding={padding!r}",
            why=f"it has {len(padding)} values for {rank} spatial axes",
            fix="give one number, one name, or one of (number, name, (low, high)) for each axis",
        )
    for axis in padding:
        if not isinstance(axis, (str, int)) and len(axis) != 2:
            raise ArgumentError(f"padding={padding!r}", why=f"{axis!r} is not a pair (low, high)")
    return tuple(axis if isinstance(axis, (str, int)) else (axis[0], axis[1]) for axis in padding)


def _require_positive(name: str, value: Any) -> None:
    # Sizes of a network that is being compiled are numbers that are not known yet.
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentError(f"{name}={value!r}", why="it must be a whole number")
    if value < 1:
        raise ArgumentError(f"{name}={value}", why="it must be at least 1")
