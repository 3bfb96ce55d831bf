"""The gradient of a depthwise weight on the CPU in machine code: its plan."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from striate.depthwise.cpu import numba_correlate
from striate.depthwise.cpu.axes import axes_of, by_axis, place_of
from striate.depthwise.cpu.jobs import LANES, addressed, jobs_of, run_on_threads, share_channels
from striate.depthwise.problem import Input, Output, Problem, Weight

MAX_BYTES: Final = 8 << 20
"""Memory of a thread, beyond which fewer channels are copied together."""

MANY_TASKS: Final = 32
"""Tasks to aim at, for up to as many threads; more would only add partial sums."""

BAND: Final = 64
"""Vectors of the gradient that all taps pass over before the next: they stay in the first cache."""


def weight_gradient(grad: Output, x: Input, problem: Problem) -> Weight:
    """The sum over items and positions of the input times the gradient, for each tap."""
    x = x.contiguous(memory_format=problem.memory_format)
    grad = grad.contiguous(memory_format=problem.memory_format)
    threads = torch.get_num_threads()
    plan, offsets = _plan(problem, threads)
    tasks = int(plan["tasks"][0])
    gradient = torch.empty(problem.weight_shape, dtype=x.dtype)
    sums = torch.zeros(tasks * int(plan["parts"][0]) * len(offsets) * LANES)
    job = addressed(plan, [x, grad, gradient, None, sums])
    run_on_threads(numba_correlate.work, job.ctypes.data, min(tasks, threads))
    numba_correlate.finish.ctypes(job.ctypes.data)
    return gradient


@lru_cache(maxsize=1024)
def _plan(problem: Problem, threads: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """A job that lacks the addresses of tensors, and the offsets of the taps that it points to.

    Copying decides how long a job takes, and whole pixels are copied several times as fast as 16
    channels of each: so a task takes as many channels as leave two tasks for each thread. What is
    added to what does not depend on it.
    """
    axes = axes_of(problem)
    out = [axis.out for axis in axes]
    stride = [axis.stride for axis in axes]
    places = [axis.places for axis in axes]
    lanes = LANES if problem.channels_last else 1
    pitch = places[2] if lanes == 1 else out[2]
    g_plane = ((out[1] - 1) * pitch + out[2]) * lanes
    g_plane += -g_plane % LANES
    blocks = -(-problem.channels // lanes)
    items_per_task = -(-problem.batch // max(1, min(problem.batch, MANY_TASKS // blocks)))
    runs = -(-problem.batch // items_per_task)
    # The last vector of a plane may reach past the end of the input.
    x_floats, g_floats = prod(stride) * prod(places) * lanes + LANES, out[0] * g_plane
    max_parts = 1
    if problem.channels_last:
        max_parts = min(blocks * runs // (2 * threads), MAX_BYTES // (4 * (x_floats + g_floats)))
    groups, parts = share_channels(blocks, max_parts)
    reads = product(*(axis.passes[0].reads for axis in axes))
    offsets = np.array([4 * lanes * place_of(axes, places, read) for read in reads], np.int64)
    job = {
        "offsets": offsets.ctypes.data,
        "size": problem.dtype.itemsize,
        "lanes": lanes,
        "items": problem.batch,
        "channels": problem.channels,
        "taps": len(offsets),
        "groups": groups,
        "parts": parts,
        "items_per_task": items_per_task,
        "tasks": groups * runs,
        "band": BAND if lanes == 1 else -(-BAND // out[2]),
        "g_plane": g_plane,
        "x_floats": x_floats,
        "g_floats": g_floats,
        **by_axis(
            {
                "": [axis.size for axis in axes],
                "out_": out,
                "s_": stride,
                "low_": [axis.low for axis in axes],
                "q_": places,
            }
        ),
    }
    return jobs_of([job]), offsets
