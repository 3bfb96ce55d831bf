"""Where tensors are computed, and in which precision."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache
from pathlib import Path

import torch

from striate.errors import DeviceError, UnknownNameError

DEVICES = ("auto", "cpu", "cuda")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Numbers of mallopt(3), from glibc's malloc.h."""


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device of that name; `auto` takes a GPU where there is one.

    Raises:
        UnknownNameError: There is no such name.
        DeviceError: `cuda` was requested and there is no GPU.
    """
    name = str(name)  # also of a device of torch's
    if name not in DEVICES and not name.startswith("cuda:"):
        raise UnknownNameError("device", name, DEVICES)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError(
            f"device {name!r} is not there",
            why="torch sees no CUDA GPU",
            fix="use `device='cpu'`, or install a torch build and driver for the GPU",
        )
    return torch.device(name)


@cache
def fast_dtype(device_type: str) -> torch.dtype:
    """bfloat16 where the device computes it in hardware, else float32."""
    if device_type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if cpu_computes(torch.bfloat16) else torch.float32


@cache
def cpu_computes(dtype: torch.dtype) -> bool:
    """Whether the processor has instructions that multiply numbers of this type."""
    needed = {
        torch.bfloat16: {"avx512_bf16", "amx_bf16"},
        torch.float16: {"avx512_fp16", "amx_fp16"},
    }
    return dtype not in needed or bool(needed[dtype] & _cpu_flags())


def cpu_vectors() -> str:
    """The vector instructions that torch uses here, by its own name for them: AVX2, AVX512, ..."""
    return torch.backends.cpu.get_cpu_capability()


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


def processor_name() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def hardware(device: torch.device) -> str:
    """The processor with the number of threads, and the GPU where one computes, for a person."""
    told = f"{processor_name()}, {torch.get_num_threads()} threads"
    if device.type != "cuda":
        return told
    return f"{torch.cuda.get_device_name(device)}; {told}"


def _cpu_flags() -> set[str]:
    """The processor's feature flags; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    flags = (line.split(":", 1)[1] for line in lines if line.startswith(("flags", "Features")))
    return set(next(flags, "").split())
