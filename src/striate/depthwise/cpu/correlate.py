"""The gradient of a depthwise weight on the CPU in machine code: its plan."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from striate.depthwise.cpu.threads import run_on_threads
from striate.depthwise.problem import Problem

MOST_BYTES: Final = 8 << 20
"""Memory of a thread, beyond which fewer channels are copied together."""

MANY_TASKS: Final = 32
"""Tasks to aim at, for up to as many threads; more would only add partial sums."""

BAND: Final = 64
"""Vectors of the gradient that all taps pass over before the next: they stay in the first cache."""


def weight_gradient(
    grad: Float[Tensor, "n c *out"], x: Float[Tensor, "n c *space"], problem: Problem
) -> Float[Tensor, "c 1 *kernel"]:
    """The sum over items and positions of the input times the gradient, for each tap."""
    from striate.depthwise.cpu import numba_correlate, numba_pack

    x = x.contiguous(memory_format=problem.memory_format)
    grad = grad.contiguous(memory_format=problem.memory_format)
    threads = torch.get_num_threads()
    plan, sizes, offsets = _plan(problem, threads)
    gradient = torch.empty(problem.weight_shape, dtype=x.dtype)
    sums = torch.zeros(sizes["tasks"] * sizes["parts"] * len(offsets) * numba_pack.LANES)
    ticket = np.zeros(1, np.int64)
    addresses = [x.data_ptr(), grad.data_ptr(), gradient.data_ptr(), 0, sums.data_ptr()]
    job = numba_pack.addressed(plan, [*addresses, ticket.ctypes.data])
    run_on_threads(numba_correlate.work, job.ctypes.data, min(sizes["tasks"], threads))
    numba_correlate.finish.ctypes(job.ctypes.data)
    return gradient


@lru_cache(maxsize=1024)
def _plan(problem: Problem, threads: int) -> tuple[NDArray[Any], dict[str, int], NDArray[np.int64]]:
    """A job that lacks the addresses of tensors, its numbers, and the offsets that it points to."""
    from striate.depthwise.cpu import numba_pack

    sizes = _sizes(problem, threads)
    offsets = np.array(_offsets(problem, sizes), np.int64)
    job = np.zeros(1, numba_pack.JOB)
    for name, value in sizes.items():
        job[name] = value
    job["offsets"] = offsets.ctypes.data
    return job, sizes, offsets


def _sizes(problem: Problem, threads: int) -> dict[str, int]:
    """The numbers of a job, with axes of size one put before those of the problem.

    Copying decides how long a job takes, and whole pixels are copied several times as fast as 16
    channels of each: so a task takes as many channels as leave two tasks for each thread. What is
    added to what does not depend on it.
    """
    missing = 3 - problem.rank
    names = ("depth", "height", "width")
    space = (1,) * missing + problem.space
    out = (1,) * missing + problem.out_space
    stride = (1,) * missing + problem.stride
    low = (0,) * missing + tuple(window.low for window in problem.windows)
    extents = (1,) * missing + tuple(window.extent for window in problem.windows)
    # Positions that the windows reach, in one of `stride` phases.
    phase = [o - 1 + -(-e // s) for o, s, e in zip(out, stride, extents, strict=True)]
    lanes = 16 if problem.channels_last else 1
    pitch = phase[2] if lanes == 1 else out[2]
    g_plane = ((out[1] - 1) * pitch + out[2]) * lanes
    g_plane += -g_plane % 16
    blocks = -(-problem.channels // lanes)
    items_per_task = -(-problem.batch // max(1, min(problem.batch, MANY_TASKS // blocks)))
    runs = -(-problem.batch // items_per_task)
    # The last vector of a plane may reach past the end of the input.
    x_floats, g_floats = prod(stride) * prod(phase) * lanes + 16, out[0] * g_plane
    parts = 1
    if problem.channels_last:
        most = min(
            blocks, blocks * runs // (2 * threads), MOST_BYTES // (4 * (x_floats + g_floats))
        )
        parts = max(1, most)
    groups = -(-blocks // parts)
    named: dict[str, int] = {}
    for prefix, values in (
        ("", space),
        ("out_", out),
        ("s_", stride),
        ("low_", low),
        ("q_", phase),
    ):
        named |= {prefix + name: value for name, value in zip(names, values, strict=True)}
    return named | {
        "size": problem.dtype.itemsize,
        "lanes": lanes,
        "items": problem.batch,
        "channels": problem.channels,
        "taps": prod(problem.kernel_size),
        "groups": groups,
        "parts": parts,
        "items_per_task": items_per_task,
        "tasks": groups * runs,
        "band": BAND if lanes == 1 else -(-BAND // out[2]),
        "g_plane": g_plane,
        "x_floats": x_floats,
        "g_floats": g_floats,
    }


def _offsets(problem: Problem, sizes: dict[str, int]) -> list[int]:
    """Bytes from an output's place in the first phase to what each tap reads."""
    missing = 3 - problem.rank
    windows = (None,) * missing + problem.windows
    axes = [
        [(t * w.dilation % w.stride, t * w.dilation // w.stride) for t in range(w.kernel_size)]
        if w else [(0, 0)]
        for w in windows
    ]  # fmt: skip
    plane = sizes["q_depth"] * sizes["q_height"] * sizes["q_width"]
    offsets = []
    for (pz, z), (py, y), (px, x) in product(*axes):
        phase = (pz * sizes["s_height"] + py) * sizes["s_width"] + px
        row = z * sizes["q_height"] + y
        offsets.append(4 * sizes["lanes"] * (phase * plane + row * sizes["q_width"] + x))
    return offsets
