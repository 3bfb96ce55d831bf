"""The depthwise convolution and its input's gradient on the CPU in machine code: their plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, product
from math import prod
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from striate.depthwise.cpu.threads import run_on_threads
from striate.depthwise.problem import Problem
from striate.geometry import Window

MOST_BYTES: Final = 4 << 20
"""Memory of a thread for its copy of the input, beyond which less is copied at a time."""

AXES: Final = ("depth", "height", "width")


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

    def slabs(self, most: int) -> list[Axis]:
        """The axis in at most so many runs of outputs, each with the input that it reads."""
        length = -(-self.count // most)
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


def forward(
    x: Float[Tensor, "n c *space"],
    weight: Float[Tensor, "c 1 *kernel"],
    bias: Float[Tensor, " c"] | None,
    problem: Problem,
) -> Float[Tensor, "n c *out"]:
    """The convolution."""
    return _convolve(x, weight, bias, problem, backward=False)


def input_gradient(
    grad: Float[Tensor, "n c *out"], weight: Float[Tensor, "c 1 *kernel"], problem: Problem
) -> Float[Tensor, "n c *space"]:
    """The convolution of the output's gradient with the taps that read each input."""
    return _convolve(grad, weight, None, problem, backward=True)


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


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, problem: Problem, *, backward: bool
) -> Tensor:
    from striate.depthwise.cpu import numba_convolve, numba_pack

    x = x.contiguous(memory_format=problem.memory_format)
    shape = problem.x_shape if backward else problem.y_shape
    y = torch.empty(shape, dtype=x.dtype, memory_format=problem.memory_format)
    threads = torch.get_num_threads()
    plan = plan_of(problem, backward, threads)
    weight = weight.to(x.dtype).contiguous()
    bias = None if bias is None else bias.to(x.dtype).contiguous()
    weights = torch.zeros(plan.weights)
    ticket = np.zeros(1, np.int64)
    tensors = [x, y, weight, bias, weights]
    addresses = [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
    jobs = numba_pack.addressed(plan.jobs, [*addresses, ticket.ctypes.data])
    numba_convolve.arrange.ctypes(jobs.ctypes.data)
    run_on_threads(numba_convolve.work, jobs.ctypes.data, min(plan.tasks, threads))
    return y


@dataclass(frozen=True)
class Plan:
    """Jobs that lack the addresses of tensors.

    Attributes:
        jobs: one for each pass over each slab.
        taps: the tables that the jobs point to.
        weights: floats of the weights and biases as the jobs read them.
        tasks: pieces of work.
    """

    jobs: NDArray[Any]
    taps: TapTables
    weights: int
    tasks: int


@dataclass(frozen=True)
class TapTables:
    """The taps of every pass, put together in runs, and runs of one length in segments.

    Attributes:
        offsets: bytes from an output's place to what the first tap of each run reads.
        order: the tap that comes in each place, as an index into the flat kernel.
        segments: taps of a run and runs, for each segment.
        passes: the first tap, run and segment of each pass, and of the end.
    """

    offsets: NDArray[np.int64]
    order: NDArray[np.int64]
    segments: NDArray[np.int64]
    passes: list[tuple[int, int, int]]


@lru_cache(maxsize=1024)
def plan_of(problem: Problem, backward: bool, threads: int) -> Plan:
    """How a convolution, or the gradient of its input, is cut into jobs."""
    from striate.depthwise.cpu import numba_convolve, numba_pack

    axis_of = _backward_axis if backward else _forward_axis
    unit = _forward_axis(Window(kernel_size=1), 1, 1)
    axes = (unit,) * (3 - problem.rank) + tuple(
        map(axis_of, problem.windows, problem.space, problem.out_space)
    )
    lanes = numba_pack.LANES if problem.channels_last else 1
    blocks = -(-problem.channels // lanes)
    slabs = _slabs(axes, lanes, problem.batch, blocks, threads)
    # The first slab is no shorter than the others.
    places = [axis.places for axis in slabs[0]]
    stride = [axis.stride for axis in axes]
    tile = numba_convolve.WIDEST_TILE
    # A tile reads past the end.
    x_floats = prod(stride) * prod(places) * lanes + tile * numba_pack.LANES
    parts = 1
    if problem.channels_last:
        tasks = problem.batch * blocks * len(slabs)
        parts = max(1, min(blocks, tasks // (2 * threads), MOST_BYTES // (4 * x_floats)))
    groups = -(-blocks // parts)
    parts = -(-blocks // groups)
    longest = numba_convolve.LONGEST_RUN if problem.channels_last else 1
    taps = _tap_tables(axes, stride, places, lanes, longest)
    weights = lanes * len(taps.order) + numba_pack.LANES
    common = {
        "size": problem.dtype.itemsize,
        "lanes": lanes,
        "items": problem.batch,
        "channels": problem.channels,
        "groups": groups,
        "parts": parts,
        "x_floats": x_floats,
        "slabs": len(slabs),
        "tasks": problem.batch * groups * len(slabs),
        "passes": len(taps.passes) - 1,
        "kernel_taps": prod(problem.kernel_size),
        "all_taps": len(taps.order),
        "order": taps.order.ctypes.data,
        "pitch": 4 * weights,
        "row_bytes": numba_pack.LINE * (-(-axes[2].out * lanes // numba_pack.LANES) + tile),
    }
    common |= _by_axis("", [axis.size for axis in axes])
    common |= _by_axis("out_", [axis.out for axis in axes])
    common |= _by_axis("s_", stride) | _by_axis("q_", places)
    jobs = np.zeros(len(slabs) * common["passes"], numba_pack.JOB)
    rows = iter(jobs)
    for slab in slabs:
        for (first, end), passes in zip(pairwise(taps.passes), _passes(slab), strict=True):
            own = {
                "first_tap": first[0],
                "offsets": taps.offsets[first[1] :].ctypes.data,
                "segments": taps.segments[first[2] :].ctypes.data,
                "segment_count": end[2] - first[2],
            }
            own |= _by_axis("low_", [axis.low for axis in slab])
            own |= _by_axis("count_", [part.count for part in passes])
            own |= _by_axis("start_", [part.start for part in passes])
            own |= _by_axis("step_", [part.step for part in passes])
            job = next(rows)
            for name, value in (common | own).items():
                job[name] = value
    return Plan(jobs, taps, blocks * weights, common["tasks"])


def _passes(axes: tuple[Axis, ...]) -> Iterator[tuple[AxisPass, ...]]:
    return product(*(axis.passes for axis in axes))


def _tap_tables(
    axes: tuple[Axis, ...], stride: list[int], places: list[int], lanes: int, longest: int
) -> TapTables:
    offsets: list[int] = []
    order: list[int] = []
    segments: list[tuple[int, int]] = []
    firsts = [(0, 0, 0)]
    for in_depth, in_height, in_width in _passes(axes):
        runs = _runs(in_width.reads, longest)
        for z in in_depth.reads:
            for length in sorted({len(run) for run in runs}):
                before = len(offsets)
                own = [run for run in runs if len(run) == length]
                for y, run in product(in_height.reads, own):
                    phase = (z.phase * stride[1] + y.phase) * stride[2] + run[0].phase
                    row = (phase * places[0] + z.offset) * places[1] + y.offset
                    offsets.append(4 * lanes * (row * places[2] + run[0].offset))
                    order += [(z.tap * axes[1].taps + y.tap) * axes[2].taps + x.tap for x in run]
                segments.append((length, len(offsets) - before))
        if len(segments) == firsts[-1][2]:  # outputs that no tap reaches have a bias all the same
            segments.append((1, 0))
        firsts.append((len(order), len(offsets), len(segments)))
    return TapTables(
        offsets=np.array(offsets, np.int64),
        order=np.array(order, np.int64),
        segments=np.array(segments, np.int64),
        passes=firsts,
    )


def _runs(reads: tuple[Read, ...], longest: int) -> list[list[Read]]:
    """The taps that read neighbouring places of one phase together, at most so many at once."""
    runs: list[list[Read]] = []
    for read in sorted(reads, key=lambda read: (read.phase, read.offset)):
        last = runs[-1][-1] if runs else None
        if last is not None and (last.phase, last.offset + 1) == (read.phase, read.offset):
            runs[-1].append(read)
        else:
            runs.append([read])
    return [part for run in runs for part in _in_parts(run, longest)]


def _in_parts(run: list[Read], longest: int) -> list[list[Read]]:
    """As few parts as possible, as equal as can be."""
    parts = -(-len(run) // longest)
    ends = [len(run) * i // parts for i in range(parts + 1)]
    return [run[first:end] for first, end in pairwise(ends)]


def _slabs(
    axes: tuple[Axis, ...], lanes: int, batch: int, blocks: int, threads: int
) -> list[tuple[Axis, ...]]:
    """The axes, cut along the outermost that is long where threads or memory ask for it.

    Whole pixels are copied fastest, so a slab is short enough for all its channels to be copied
    together, but not so short that much of the input is copied for two slabs.
    """
    cut = 0 if axes[0].count > 1 else 1
    axis = axes[cut]
    if axis.count == 1:
        return [axes]
    size = 4 * lanes * prod(axis.stride * axis.places for axis in axes)
    shared = axis.places - axis.count
    for_whole_pixels = -(-size * blocks // MOST_BYTES) if lanes > 1 else 1
    most = max(
        -(-2 * threads // (batch * blocks)),
        -(-size // MOST_BYTES),
        min(for_whole_pixels, axis.count // max(1, 4 * shared)),
    )
    return [(*axes[:cut], slab, *axes[cut + 1 :]) for slab in axis.slabs(most)]


def _by_axis(prefix: str, values: list[int]) -> dict[str, int]:
    return {prefix + name: value for name, value in zip(AXES, values, strict=True)}
