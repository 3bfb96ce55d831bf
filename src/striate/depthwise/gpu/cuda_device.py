"""Compiling CUDA C++ with NVRTC, a cache of what was compiled, and launching it on a GPU.

No compiler has to be installed: NVRTC comes with PyTorch's CUDA builds, the driver's functions with the
GPU's driver.
"""

from __future__ import annotations

import ctypes
import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from striate.depthwise.gpu.cuda_plan import Box, Hardware, Launch, Mapped
from striate.errors import StorageError
from striate.files import sealed, unsealed, user_cache_folder, write_atomic

SOURCES: Final = Path(__file__).parent / "cuda"


class CudaError(RuntimeError):
    """A function of the driver or of NVRTC failed."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as it compiles and launches kernels.

    Attributes:
        index: Its number.
        capability: Its compute capability, major and minor.
        hardware: What plans ask of it.
    """

    index: int
    capability: tuple[int, int]
    hardware: Hardware

    def launch(
        self,
        launch: Launch,
        dtype: torch.dtype,
        mapped: tuple[Mapped, Mapped],
        tensors: list[Tensor | None],
    ) -> None:
        """Run a kernel on torch's present stream.

        Raises:
            CudaError: The driver refused it.
        """
        from cuda.bindings import driver

        function = _function(launch.kernel, launch.constants, dtype, self.capability, self.index)
        shared = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        _check(driver.cuFuncSetAttribute(function, shared, launch.shared))
        maps = [
            _tensor_map(tensor.data_ptr(), sizes, box, dtype)
            for (tensor, sizes), box in zip(mapped, launch.boxes, strict=True)
        ]
        plan = launch.plan.pack()
        numbers = (ctypes.c_int * len(plan))(*plan)
        pointers = [ctypes.c_void_p(0 if t is None else t.data_ptr()) for t in tensors]
        places = [m.getPtr() for m in maps] + [ctypes.addressof(v) for v in (*pointers, numbers)]
        arguments = (ctypes.c_void_p * len(places))(*places)
        stream = torch.cuda.current_stream(self.index).cuda_stream
        _check(
            driver.cuLaunchKernel(
                function, *launch.grid, 1, launch.threads, 1, 1, launch.shared, stream,
                ctypes.addressof(arguments), 0,
            )
        )  # fmt: skip


@cache
def of(index: int) -> Gpu:
    """The GPU of this number."""
    from cuda.bindings import driver

    found = torch.cuda.get_device_properties(index)
    optin = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    hardware = Hardware(
        found.multi_processor_count, _check(driver.cuDeviceGetAttribute(optin, index))
    )
    return Gpu(index, (found.major, found.minor), hardware)


def compile_kernel(
    kernel: str,
    constants: tuple[tuple[str, int], ...],
    dtype: torch.dtype,
    capability: tuple[int, int],
) -> bytes:
    """The machine code of a kernel for GPUs of a compute capability.

    Raises:
        CudaError: It does not compile; the message is the compiler's.
    """
    from cuda.bindings import nvrtc

    source = (SOURCES / f"{kernel}.cu").read_bytes()
    names = sorted(path.name for path in SOURCES.glob("*.h"))
    headers = [(SOURCES / name).read_bytes() for name in names]
    options = [f"--gpu-architecture=sm_{capability[0]}{capability[1]}a", "--std=c++17"]
    options += [f"-D{name}={value}" for name, value in constants]
    options += ["-DFLOAT16"] if dtype == torch.float16 else []
    encoded = [option.encode() for option in options]
    program = _check(
        nvrtc.nvrtcCreateProgram(
            source, f"{kernel}.cu".encode(), len(names), headers, [name.encode() for name in names]
        )
    )
    try:
        (failed,) = nvrtc.nvrtcCompileProgram(program, len(encoded), encoded)
        if failed:
            log = bytearray(_check(nvrtc.nvrtcGetProgramLogSize(program)))
            _check(nvrtc.nvrtcGetProgramLog(program, log))
            raise CudaError(f"{kernel}.cu does not compile: {log.decode(errors='replace')}")
        code = bytearray(_check(nvrtc.nvrtcGetCUBINSize(program)))
        _check(nvrtc.nvrtcGetCUBIN(program, code))
        return bytes(code)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


@lru_cache(maxsize=256)
def _function(
    kernel: str,
    constants: tuple[tuple[str, int], ...],
    dtype: torch.dtype,
    capability: tuple[int, int],
    index: int,
) -> Any:
    """The kernel on this GPU, compiled now or by an earlier process."""
    from cuda.bindings import driver

    parts = [repr((kernel, constants, dtype, capability)).encode()]
    parts += [path.read_bytes() for path in sorted(SOURCES.iterdir())]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]
    stored = user_cache_folder() / "cuda" / f"{key}.cubin"
    code = unsealed(stored.read_bytes()) if stored.exists() else None
    if code is None:
        code = compile_kernel(kernel, constants, dtype, capability)
        try:
            stored.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(stored, sealed(code))
        except (OSError, StorageError):
            pass  # a folder that cannot be written costs the compilation, each time
    with torch.cuda.device(index):
        module = _check(driver.cuModuleLoadData(code))
        return _check(driver.cuModuleGetFunction(module, kernel.encode()))


@lru_cache(maxsize=4096)
def _tensor_map(address: int, sizes: Box, box: Box, dtype: torch.dtype) -> Any:
    """How the copy engine finds a box in a tensor {channel, column, row, plane, volume}."""
    from cuda.bindings import driver

    kind = "FLOAT16" if dtype == torch.float16 else "BFLOAT16"
    swizzle = "64B" if box[0] == 32 else "32B"
    strides = [2 * prod(sizes[:axis]) for axis in range(1, len(sizes))]
    return _check(
        driver.cuTensorMapEncodeTiled(
            getattr(driver.CUtensorMapDataType, f"CU_TENSOR_MAP_DATA_TYPE_{kind}"),
            len(sizes),
            address,
            list(map(driver.cuuint64_t, sizes)),
            list(map(driver.cuuint64_t, strides)),
            list(map(driver.cuuint32_t, box)),
            [driver.cuuint32_t(1)] * len(sizes),
            driver.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE,
            getattr(driver.CUtensorMapSwizzle, f"CU_TENSOR_MAP_SWIZZLE_{swizzle}"),
            driver.CUtensorMapL2promotion.CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
            driver.CUtensorMapFloatOOBfill.CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    )


def _check(result: tuple[Any, ...]) -> Any:
    """What a function returned beside its status.

    Raises:
        CudaError: The status is not success.
    """
    status, *values = result
    if int(status):
        raise CudaError(f"{status}")
    return values[0] if values else None
