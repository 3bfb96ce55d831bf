"""The depthwise convolution and its input's gradient on the CPU in machine code: their plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product
from math import prod
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.depthwise.cpu import numba_convolve
from striate.depthwise.cpu.axes import Axes, AxisPass, Read, axes_of, by_axis, place_of
from striate.depthwise.cpu.jobs import LANES, addressed, jobs_of, run_on_threads, share_channels
from striate.depthwise.problem import Bias, Input, Output, Problem, Weight

MAX_BYTES: Final = 4 << 20
"""Memory of a thread for its copy of the input, beyond which less is copied at a time."""


def forward(x: Input, weight: Weight, bias: Bias | None, problem: Problem) -> Output:
    """The convolution."""
    return _convolve(x, weight, bias, problem, backward=False)


def input_gradient(grad: Output, weight: Weight, problem: Problem) -> Input:
    """The convolution of the output's gradient with the taps that read each input."""
    return _convolve(grad, weight, None, problem, backward=True)


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, problem: Problem, *, backward: bool
) -> Tensor:
    x = x.contiguous(memory_format=problem.memory_format)
    shape = problem.x_shape if backward else problem.y_shape
    y = torch.empty(shape, dtype=x.dtype, memory_format=problem.memory_format)
    threads = torch.get_num_threads()
    plan = plan_of(problem, backward, threads)
    weight = weight.to(x.dtype).contiguous()
    bias = None if bias is None else bias.to(x.dtype).contiguous()
    weights = torch.zeros(plan.weights)
    jobs = addressed(plan.jobs, [x, y, weight, bias, weights])
    numba_convolve.arrange.ctypes(jobs.ctypes.data)
    run_on_threads(numba_convolve.work, jobs.ctypes.data, min(plan.tasks, threads))
    return y


@dataclass(frozen=True)
class TapTables:
    """The taps of every pass, put together in runs, and runs of one length in segments.

    Attributes:
        offsets: Bytes from an output's place to what the first tap of each run reads.
        order: The tap that comes in each place, as an index into the flat kernel.
        segments: Taps of a run and number of runs, for each segment.
        passes: The first tap, run and segment of each pass, and of the end.
    """

    offsets: NDArray[np.int64]
    order: NDArray[np.int64]
    segments: NDArray[np.int64]
    passes: list[tuple[int, int, int]]


@dataclass(frozen=True)
class Plan:
    """Jobs that lack the addresses of tensors.

    Attributes:
        jobs: One for each pass over each slab.
        taps: The tables that the jobs point to.
        weights: Floats of the weights and biases as the jobs read them.
        tasks: Pieces of work.
    """

    jobs: NDArray[Any]
    taps: TapTables
    weights: int
    tasks: int


@lru_cache(maxsize=1024)
def plan_of(problem: Problem, backward: bool, threads: int) -> Plan:
    """How a convolution, or the gradient of its input, is cut into jobs."""
    axes = axes_of(problem, backward=backward)
    lanes = LANES if problem.channels_last else 1
    blocks = -(-problem.channels // lanes)
    slabs = _slabs(axes, lanes, problem.batch, blocks, threads)
    # The first slab is no shorter than the others.
    places = [axis.places for axis in slabs[0]]
    stride = [axis.stride for axis in axes]
    tile = numba_convolve.WIDEST_TILE
    # A tile reads past the end.
    x_floats = prod(stride) * prod(places) * lanes + tile * LANES
    max_parts = 1
    if problem.channels_last:
        tasks = problem.batch * blocks * len(slabs)
        max_parts = min(tasks // (2 * threads), MAX_BYTES // (4 * x_floats))
    groups, parts = share_channels(blocks, max_parts)
    longest = numba_convolve.LONGEST_RUN if problem.channels_last else 1
    taps = _tap_tables(axes, places, lanes, longest)
    weights = lanes * len(taps.order) + LANES
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
        "row_bytes": 4 * LANES * (-(-axes[2].out * lanes // LANES) + tile),
        **by_axis(
            {
                "": [axis.size for axis in axes],
                "out_": [axis.out for axis in axes],
                "s_": stride,
                "q_": places,
            }
        ),
    }
    rows = [
        common
        | {
            "first_tap": first[0],
            "offsets": taps.offsets[first[1] :].ctypes.data,
            "segments": taps.segments[first[2] :].ctypes.data,
            "segment_count": end[2] - first[2],
        }
        | by_axis(
            {
                "low_": [axis.low for axis in slab],
                "count_": [part.count for part in passes],
                "start_": [part.start for part in passes],
                "step_": [part.step for part in passes],
            }
        )
        for slab in slabs
        for (first, end), passes in zip(pairwise(taps.passes), _passes(slab), strict=True)
    ]
    return Plan(jobs_of(rows), taps, blocks * weights, common["tasks"])


def _passes(axes: Axes) -> Iterator[tuple[AxisPass, ...]]:
    return product(*(axis.passes for axis in axes))


def _tap_tables(axes: Axes, places: list[int], lanes: int, longest: int) -> TapTables:
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
                    offsets.append(4 * lanes * place_of(axes, places, (z, y, run[0])))
                    order += [(z.tap * axes[1].taps + y.tap) * axes[2].taps + x.tap for x in run]
                segments.append((length, len(offsets) - before))
        if len(segments) == firsts[-1][2]:  # outputs that no tap reaches have a bias all the same
            segments.append((1, 0))
        firsts.append((len(order), len(offsets), len(segments)))
    tables = [np.array(table, np.int64) for table in (offsets, order, segments)]
    return TapTables(tables[0], tables[1], tables[2], firsts)


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


def _slabs(axes: Axes, lanes: int, batch: int, blocks: int, threads: int) -> list[Axes]:
    """The axes, cut along the outermost that is long where threads or memory ask for it.

    Whole pixels are copied fastest, so a slab is short enough for all its channels to be copied
    together, but not so short that much of the input is copied for two slabs.
    """
    depth, height, width = axes
    axis = depth if depth.count > 1 else height
    if axis.count == 1:
        return [axes]
    size = 4 * lanes * prod(axis.stride * axis.places for axis in axes)
    shared = axis.places - axis.count
    for_whole_pixels = -(-size * blocks // MAX_BYTES) if lanes > 1 else 1
    max_slabs = max(
        -(-2 * threads // (batch * blocks)),
        -(-size // MAX_BYTES),
        min(for_whole_pixels, axis.count // max(1, 4 * shared)),
    )
    if axis is depth:
        return [(slab, height, width) for slab in axis.slabs(max_slabs)]
    return [(depth, slab, width) for slab in axis.slabs(max_slabs)]
