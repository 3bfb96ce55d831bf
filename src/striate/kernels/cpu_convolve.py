"""The depthwise convolution and its input's gradient on the CPU in machine code: their plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from striate.geometry import Window
from striate.kernels.cpu_threads import run_on_threads
from striate.kernels.problem import Problem

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
    from striate.kernels import numba_convolve

    x = x.contiguous(memory_format=problem.memory_format)
    shape = problem.x_shape if backward else problem.y_shape
    y = torch.empty(shape, dtype=x.dtype, memory_format=problem.memory_format)
    threads = torch.get_num_threads()
    plan = plan_of(problem, backward, threads)
    weight = weight.to(x.dtype).contiguous()
    bias = None if bias is None else bias.to(x.dtype).contiguous()
    weights = torch.zeros(plan.weights)
    ticket = np.zeros(1, np.int64)
    jobs = plan.jobs.copy()
    jobs["x"], jobs["y"], jobs["kernel"] = x.data_ptr(), y.data_ptr(), weight.data_ptr()
    jobs["bias"] = 0 if bias is None else bias.data_ptr()
    jobs["weights"], jobs["ticket"] = weights.data_ptr(), ticket.ctypes.data
    numba_convolve.arrange.ctypes(jobs.ctypes.data)
    run_on_threads(numba_convolve.work, jobs.ctypes.data, min(plan.tasks, threads))
    return y


@dataclass(frozen=True)
class Plan:
    """Jobs that lack the addresses of tensors.

    Attributes:
        jobs: one for each pass over each slab.
        offsets: bytes from an output's place to what each tap reads; the jobs point to them.
        order: the tap of each, as an index into the flat kernel; likewise.
        weights: floats of the weights and biases as the jobs read them.
        slabs: parts of an item that are computed one after the other.
        tasks: pieces of work.
    """

    jobs: NDArray[Any]
    offsets: NDArray[np.int64]
    order: NDArray[np.int64]
    weights: int
    slabs: int
    tasks: int


@lru_cache(maxsize=1024)
def plan_of(problem: Problem, backward: bool, threads: int) -> Plan:
    """How a convolution, or the gradient of its input, is cut into jobs."""
    from striate.kernels import numba_pack

    axis_of = _backward_axis if backward else _forward_axis
    unit = _forward_axis(Window(kernel_size=1), 1, 1)
    axes = (unit,) * (3 - problem.rank) + tuple(
        map(axis_of, problem.windows, problem.space, problem.out_space)
    )
    lanes = numba_pack.LANES if problem.channels_last else 1
    blocks = -(-problem.channels // lanes)
    slabs = _slabs(axes, lanes, problem.batch * blocks, threads)
    # The first slab is no shorter than the others.
    places = [axis.places for axis in slabs[0]]
    stride = [axis.stride for axis in axes]
    x_floats = prod(stride) * prod(places) * lanes + numba_pack.LANES
    parts = 1
    if problem.channels_last:
        tasks = problem.batch * blocks * len(slabs)
        parts = max(1, min(blocks, tasks // (2 * threads), MOST_BYTES // (4 * x_floats)))
    groups = -(-blocks // parts)
    offsets, order, firsts = _taps(axes, stride, places)
    held, places_of_taps = np.array(offsets, np.int64) * (4 * lanes), np.array(order, np.int64)
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
        "passes": len(firsts),
        "kernel_taps": prod(problem.kernel_size),
        "all_taps": len(order),
        "order": places_of_taps.ctypes.data,
        "pitch": 4 * lanes * (len(order) + 1),
    }
    common |= _by_axis("", [axis.size for axis in axes])
    common |= _by_axis("out_", [axis.out for axis in axes])
    common |= _by_axis("s_", stride) | _by_axis("q_", places)
    jobs = np.zeros(len(slabs) * len(firsts), numba_pack.JOB)
    rows = iter(jobs)
    for slab in slabs:
        starts = zip(firsts, [*firsts[1:], len(order)], strict=True)
        for (first, end), passes in zip(starts, _passes(slab), strict=True):
            own = {
                "first_tap": first,
                "taps": end - first,
                "offsets": held.ctypes.data + 8 * first,
            }
            own |= _by_axis("low_", [axis.low for axis in slab])
            own |= _by_axis("count_", [part.count for part in passes])
            own |= _by_axis("start_", [part.start for part in passes])
            own |= _by_axis("step_", [part.step for part in passes])
            job = next(rows)
            for name, value in (common | own).items():
                job[name] = value
    weights = blocks * (len(order) + 1) * lanes
    return Plan(jobs, held, places_of_taps, weights, len(slabs), common["tasks"])


def _passes(axes: tuple[Axis, ...]) -> Iterator[tuple[AxisPass, ...]]:
    return product(*(axis.passes for axis in axes))


def _taps(
    axes: tuple[Axis, ...], stride: list[int], places: list[int]
) -> tuple[list[int], list[int], list[int]]:
    """Of the taps, pass by pass: vectors from an output's place to what each reads; its index in the
    flat kernel; and the first of each pass.
    """
    offsets: list[int] = []
    order: list[int] = []
    firsts = []
    for passes in _passes(axes):
        firsts.append(len(order))
        for z, y, x in product(*(part.reads for part in passes)):
            phase = (z.phase * stride[1] + y.phase) * stride[2] + x.phase
            row = (phase * places[0] + z.offset) * places[1] + y.offset
            offsets.append(row * places[2] + x.offset)
            order.append((z.tap * axes[1].taps + y.tap) * axes[2].taps + x.tap)
    return offsets, order, firsts


def _slabs(
    axes: tuple[Axis, ...], lanes: int, vectors: int, threads: int
) -> list[tuple[Axis, ...]]:
    """The axes, cut along the outermost that is long where threads or memory ask for it."""
    cut = 0 if axes[0].count > 1 else 1
    if axes[cut].count == 1:
        return [axes]
    size = 4 * lanes * prod(axis.stride * axis.places for axis in axes)
    most = max(-(-2 * threads // vectors), -(-size // MOST_BYTES))
    return [(*axes[:cut], slab, *axes[cut + 1 :]) for slab in axes[cut].slabs(most)]


def _by_axis(prefix: str, values: list[int]) -> dict[str, int]:
    return {prefix + name: value for name, value in zip(AXES, values, strict=True)}
