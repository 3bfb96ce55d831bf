"""Machine code on the threads of torch itself.

A second pool of threads would compete with torch's own, which spins for milliseconds after each
of its operators; so the work is handed to the OpenMP runtime that torch has loaded.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch


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
