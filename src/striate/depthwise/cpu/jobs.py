"""A call of machine code: its numbers, the addresses of its tensors, and torch's threads to run it on.

A second pool of threads would compete with torch's own, which spins for milliseconds after each
of its operators; so the work is handed to the OpenMP runtime that torch has loaded.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LANES: Final = 16
"""Floats in a vector: one register of AVX-512, two of AVX2, four of NEON."""

ADDRESSES: Final = ("x", "y", "kernel", "bias", "scratch", "ticket")
"""What a call adds to its plan: where the input, the output or its gradient, the kernel or its
gradient and the bias (or 0) lie; room for weights laid out or partial sums; the next task's number."""

JOB: Final = np.dtype(
    [
        (name, np.int64)
        for name in (
            *ADDRESSES,
            # The address of the tap offsets, and sizes; `size` is the bytes of an element.
            "offsets",
            "size", "lanes", "items", "channels", "taps", "depth", "height", "width",
            "out_depth", "out_height", "out_width", "s_depth", "s_height", "s_width",
            "low_depth", "low_height", "low_width", "q_depth", "q_height", "q_width",
            # Work: tasks, groups of channels, vectors of a group, floats of a vector's input.
            "tasks", "groups", "parts", "x_floats",
            # The gradient of the weight: items of a task; rows or vectors of a band.
            "items_per_task", "band", "g_plane", "g_floats",
            # The convolution: the address of the order of the taps, passes, slabs, taps of the kernel
            # and of all passes, bytes of a block of weights and of a row of sums; of a pass its first
            # tap, its segments (address and count), and its outputs: how many, from which on, how far
            # apart.
            "order", "passes", "slabs", "kernel_taps", "all_taps", "pitch", "row_bytes",
            "first_tap", "segments", "segment_count",
            "count_depth", "count_height", "count_width",
            "start_depth", "start_height", "start_width",
            "step_depth", "step_height", "step_width",
        )
    ]
)  # fmt: skip
"""One job. Positions along the axes of the input, of the other tensor (`out_`), strides (`s_`),
padding (`low_`), and positions of one phase of the padded input (`q_`)."""


def jobs_of(rows: Sequence[Mapping[str, int]]) -> NDArray[Any]:
    """Jobs that lack the addresses of a call's tensors; what a row does not name is 0."""
    return np.array([tuple(row.get(name, 0) for name in JOB.names or ()) for row in rows], JOB)


def addressed(jobs: NDArray[Any], tensors: Sequence[Tensor | None]) -> NDArray[np.int64]:
    """The jobs of a plan with the addresses of a call's tensors, in the order of `ADDRESSES`.

    A row behind them begins with the number of the next task.
    """
    rows = np.zeros((len(jobs) + 1, len(JOB.names or ())), np.int64)
    rows[:-1] = jobs.view(np.int64).reshape(len(jobs), -1)
    addresses = [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
    rows[:-1, : len(ADDRESSES)] = [*addresses, rows[-1:].ctypes.data]
    return rows


def share_channels(blocks: int, max_parts: int) -> tuple[int, int]:
    """The groups of blocks of channels that are copied together, and the blocks of each.

    Args:
        blocks: Vectors of channels.
        max_parts: Blocks of a group, at most; less than one counts as one.
    """
    groups = -(-blocks // max(1, min(blocks, max_parts)))
    return groups, -(-blocks // groups)


def run_on_threads(work: Any, job: int, threads: int) -> None:
    """Run `work(job)` once on each of so many threads."""
    parallel = _openmp_parallel()
    if parallel is not None:
        parallel(work.address, job, threads, 0)
    elif threads == 1:
        work.ctypes(job)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work.ctypes, [job] * threads))


@cache
def _openmp_parallel() -> Callable[[int, int, int, int], None] | None:
    """`GOMP_parallel` of the runtime that torch is linked with; None where it has another."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        parallel = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError):
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    run: Callable[[int, int, int, int], None] = parallel
    return run
