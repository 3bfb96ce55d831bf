"""Where tensors are computed, and in which precision."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

from striate.errors import DeviceError, UnknownNameError

DEVICES = ("auto", "cpu", "cuda")


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
