from __future__ import annotations

import ctypes
import platform

import pytest

from striate.device import give_back_freed_memory, keep_freed_memory, share_freed_memory


@pytest.fixture(autouse=True)
def forget():
    keep_freed_memory.cache_clear()
    yield
    keep_freed_memory.cache_clear()


class Library:
    """A C library that notes what it is told."""

    def __init__(self, *, glibc: bool) -> None:
        self.told: list[tuple[int, int]] = []
        if glibc:
            self.gnu_get_libc_version = lambda: b"2.36"
            self.mallopt = lambda number, value: self.told.append((number, value)) or 1
            self.malloc_trim = lambda pad: self.told.append(("trim", pad)) or 1


@pytest.mark.parametrize("glibc", [True, False])
def test_freed_memory_is_kept_where_the_library_can(monkeypatch, glibc: bool) -> None:
    library = Library(glibc=glibc)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert keep_freed_memory() is glibc
    # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h.
    assert library.told == ([(-3, 1 << 30), (-1, 2**31 - 1)] if glibc else [])


@pytest.mark.parametrize("glibc", [True, False])
def test_threads_share_one_heap_where_the_library_can(monkeypatch, glibc: bool) -> None:
    library = Library(glibc=glibc)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert share_freed_memory() is glibc
    give_back_freed_memory()
    assert library.told == ([(-8, 1), ("trim", 0)] if glibc else [])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_glibc_accepts_the_thresholds() -> None:
    assert keep_freed_memory()
