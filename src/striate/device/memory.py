"""What the C library does with memory that was freed."""

from __future__ import annotations

import ctypes
import os
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Numbers of mallopt(3), from glibc's malloc.h."""


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep freed blocks for the next allocation; false where it is not glibc.

    By default glibc maps each large block anew and gives it back when freed, so every activation
    of every layer is paid for in page faults: half the time of CPU inference. It costs resident
    memory up to the highest use so far.
    """
    glibc = _glibc()
    if glibc is None:
        return False
    kept = [glibc.mallopt(_M_MMAP_THRESHOLD, 1 << 30), glibc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)]
    return all(kept)


def share_freed_memory() -> bool:
    """Let every thread take memory from what any of them has freed; whether the system's malloc can.

    By default glibc gives each thread a heap of its own, up to eight for each core, and each keeps
    the most that it was ever used for. To be called before threads are started.
    """
    glibc = _glibc()
    return glibc is not None and bool(glibc.mallopt(_M_ARENA_MAX, 1))


def give_back_freed_memory() -> None:
    """Give the system the memory that was freed and kept; it takes up to tenths of a second."""
    glibc = _glibc()
    if glibc is not None:
        glibc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, where it is glibc."""
    if os.name != "posix":
        return None
    found = ctypes.CDLL(None)
    return found if hasattr(found, "gnu_get_libc_version") else None
