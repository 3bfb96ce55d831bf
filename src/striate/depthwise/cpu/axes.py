"""The axes of a convolution on the CPU: which outputs read by the same taps, and where these read.

Before it is read, the input is copied with its padding, and cut along each axis into as many phases as
the stride has positions: place i of phase p is position i * stride + p of the padded input. What a tap
reads for neighbouring outputs are then neighbouring places of one phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Final, TypeAlias

from striate.depthwise.problem import Problem
from striate.geometry import Window

NAMES: Final = ("depth", "height", "width")


@dataclass(frozen=True, slots=True)
class Read:
    """What one tap reads along one axis: from output i on, place i + offset of a phase."""

    tap: int
    phase: int
    offset: int


@dataclass(frozen=True, slots=True)
class AxisPass:
    """The outputs start, start + step, ... of one axis, which read by the same taps."""

    start: int
    step: int
    count: int
    reads: tuple[Read, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its input, cut into phases, and its passes."""

    size: int
    out: int
    taps: int
    stride: int
    low: int
    passes: tuple[AxisPass, ...]

    @property
    def count(self) -> int:
        """Outputs of the longest pass."""
        return max(part.count for part in self.passes)

    @property
    def places(self) -> int:
        """Places of a phase that the passes reach."""
        reads = [read.offset for part in self.passes for read in part.reads]
        return self.count + max(reads, default=0)

    def slabs(self, max_slabs: int) -> list[Axis]:
        """The axis in at most so many runs of outputs, each with the input that it reads."""
        length = -(-self.count // max_slabs)
        return [
            replace(
                self,
                low=self.low - first * self.stride,
                passes=tuple(
                    replace(
                        part,
                        start=part.start + first * part.step,
                        count=max(0, min(length, part.count - first)),
                    )
                    for part in self.passes
                ),
            )
            for first in range(0, self.count, length)
        ]


Axes: TypeAlias = tuple[Axis, Axis, Axis]


def axes_of(problem: Problem, *, backward: bool = False) -> Axes:
    """Depth, height and width of a convolution, or of the gradient of its input.

    Axes of one position come before those of a problem in 1-D or 2-D.
    """
    axis_of = _backward_axis if backward else _forward_axis
    unit = _forward_axis(Window(kernel_size=1), 1, 1)
    own = map(axis_of, problem.windows, problem.space, problem.out_space)
    depth, height, width = (unit,) * (3 - problem.rank) + tuple(own)
    return depth, height, width


def place_of(axes: Sequence[Axis], places: Sequence[int], reads: Sequence[Read]) -> int:
    """Places from an output's own to the one that a tap reads, in the phases laid one after another."""
    phase = place = 0
    for axis, size, read in zip(axes, places, reads, strict=True):
        phase = phase * axis.stride + read.phase
        place = place * size + read.offset
    return phase * prod(places) + place


def by_axis(values: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Numbers of each axis, by a prefix and the name of the axis."""
    return {
        prefix + name: value
        for prefix, numbers in values.items()
        for name, value in zip(NAMES, numbers, strict=True)
    }


def _forward_axis(window: Window, size: int, out: int) -> Axis:
    reads = []
    for tap in range(window.kernel_size):
        offset, phase = divmod(tap * window.dilation, window.stride)
        reads.append(Read(tap, phase, offset))
    whole = AxisPass(0, 1, out, tuple(reads))
    return Axis(size, out, window.kernel_size, window.stride, window.low, (whole,))


def _backward_axis(window: Window, size: int, out: int) -> Axis:
    """Input i was read by tap t for output (i + low - t dilation) / stride, where that is whole."""
    stride = window.stride
    reads = []
    for remainder in range(min(stride, size)):
        distances = (
            (t, divmod(remainder + window.low - t * window.dilation, stride))
            for t in range(window.kernel_size)
        )
        reads.append([Read(t, 0, whole) for t, (whole, rest) in distances if rest == 0])
    low = max(0, -min((read.offset for part in reads for read in part), default=0))
    passes = tuple(
        AxisPass(
            start=remainder,
            step=stride,
            count=-(-(size - remainder) // stride),
            reads=tuple(replace(read, offset=read.offset + low) for read in part),
        )
        for remainder, part in enumerate(reads)
    )
    return Axis(out, size, window.kernel_size, 1, low, passes)
