"""A GPU that is not there: tensors that say they are on `cuda:0`, computed by the CPU.

Such a tensor refuses what a real one refuses: to be computed with a tensor of the CPU, to be read as
a NumPy array, to be drawn by the CPU's generator. So a tensor left on the wrong device is found on a
machine without a GPU. It does not find what only a real GPU has: kernels that are missing, other
rounding, memory that runs out, and values read before they are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar

import pytest
import torch
import torch._lazy.ts_backend
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda", 0)
BEHIND = torch.device("lazy", 0)
CPU = torch.device("cpu")
aten = torch.ops.aten

MOVES = {aten._to_copy.default, aten.copy_.default, aten._copy_from.default}
"""Operators that bring numbers from one device to another."""

TAKES_ONE_NUMBER = {
    aten.fill_.Tensor,
    aten.fill.Tensor,
    aten.masked_fill.Tensor,
    aten.masked_fill_.Tensor,
    aten.index_fill.int_Tensor,
    aten.index_fill_.int_Tensor,
    aten.clamp.Tensor,
    aten.where.self,
}
"""Operators that take a tensor of one number from the CPU, beside those of torch's tag `pointwise`."""

INDEXED = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
    aten._unsafe_index_put.default,
}
"""Operators whose indices may be on the CPU."""

CHANGES_SHAPE = {
    aten.resize_.default,
    aten.set_.source_Tensor,
    aten.squeeze_.default,
    aten.squeeze_.dim,
    aten.t_.default,
    aten.transpose_.default,
    aten.unsqueeze_.default,
}
"""Operators that change a tensor's shape in place, which nothing here follows."""


class OnGpu(Tensor):
    """A tensor whose numbers lie in another, `raw`, on the CPU.

    To torch's own code, which needs a driver for the tensors of a GPU, it is one of the device
    `lazy`; to everything written in Python it is on `cuda:0`.
    """

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> OnGpu:
        made = Tensor._make_wrapper_subclass(
            cls,
            raw.shape,
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=BEHIND,
        )
        made.raw = raw
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})

    device = property(lambda self: GPU)
    is_cuda = property(lambda self: True)

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, OnGpu):
            raise RuntimeError("the data of a tensor on the GPU, from the CPU")
        Tensor.data.__set__(self, value)
        self.raw = value.raw

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(f"can't convert {GPU} device type tensor to numpy")
        return self.detach().cpu().numpy()

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def __repr__(self, **_: Any) -> str:
        return f"{self.raw!r} on {GPU}"


class Watch(TorchDispatchMode):
    """Sees to it that what is made on the GPU, or brought there, is an `OnGpu`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What an operator gives, on the device that it gives it on.

    Raises:
        RuntimeError: Tensors of two devices, as torch refuses them.
    """
    leaves = tree_leaves((args, kwargs))
    ours = any(isinstance(leaf, OnGpu) for leaf in leaves)
    asked = kwargs.get("device")
    to_gpu = ours if asked is None else torch.device(asked).type in (GPU.type, BEHIND.type)
    if not ours and not to_gpu:
        return func(*args, **kwargs)
    if func in CHANGES_SHAPE:
        raise NotImplementedError(f"{func} of a pretended GPU's tensor")
    _check(func, args, leaves, ours)
    kwargs = {key: value for key, value in kwargs.items() if key != "pin_memory"}
    if asked is not None and to_gpu:
        kwargs["device"] = CPU
    found = _run(func, *tree_map(_raw, (args, kwargs)))
    changed = [number for number, a in enumerate(func._schema.arguments) if _is_written(a)]
    if changed and func._schema.returns:
        given = [_argument(func, args, kwargs, number) for number in changed]
        return given[0] if len(func._schema.returns) == 1 else tuple(given)
    if not to_gpu:
        return found
    # The view of a tensor that was made before inference mode is none of inference mode either.
    is_view = any(returned.alias_info is not None for returned in func._schema.returns)
    made_inside = torch.is_inference_mode_enabled() and not (is_view and not args[0].is_inference())
    with torch.inference_mode(made_inside):
        return tree_map(lambda value: OnGpu(value) if isinstance(value, Tensor) else value, found)


def _check(func: Any, args: Any, leaves: list[Any], ours: bool) -> None:
    """Refuse what a GPU refuses."""
    for leaf in leaves:
        if isinstance(leaf, torch.Generator) and leaf.device.type != GPU.type:
            raise RuntimeError(f"{func}: expected a generator of {GPU} but found one of the CPU")
    others = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, OnGpu)]
    if not ours or not others or func in MOVES:
        return
    if func in INDEXED and isinstance(args[0], OnGpu):
        values = args[2:3] if len(args) > 2 else ()
        others = [value for value in values if isinstance(value, Tensor)]
        others = [value for value in others if not isinstance(value, OnGpu)]
    one_number = torch.Tag.pointwise in func.tags or func in TAKES_ONE_NUMBER | INDEXED
    if one_number and isinstance(args[0], OnGpu | Tensor):
        written = [
            args[n] for n, a in enumerate(func._schema.arguments[: len(args)]) if _is_written(a)
        ]
        if all(isinstance(tensor, OnGpu) for tensor in written):
            others = [tensor for tensor in others if tensor.ndim]
    if others:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in others)
        raise RuntimeError(
            f"{func}: expected all tensors to be on the same device, but found {shapes} on the CPU "
            f"beside others on {GPU}"
        )


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operator on the CPU; a random one by the GPU's own numbers."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return func(*args, **kwargs)
    state = torch.default_generator.get_state()
    torch.default_generator.set_state(_generator.get_state())
    try:
        return func(*args, **kwargs)
    finally:
        _generator.set_state(torch.default_generator.get_state())
        torch.default_generator.set_state(state)


_generator = torch.Generator()


def _raw(value: Any) -> Any:
    return value.raw if isinstance(value, OnGpu) else value


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _argument(func: Any, args: Any, kwargs: Any, number: int) -> Any:
    name = func._schema.arguments[number].name
    return args[number] if number < len(args) else kwargs[name]


class Autocast(TorchFunctionMode):
    """A GPU's autocast, of the functions that networks consist of."""

    dtypes: ClassVar[list[torch.dtype]] = []
    """Those in force, the inner ones last."""

    narrow: ClassVar[set[Any]] = {
        *(F.linear, F.conv1d, F.conv2d, F.conv3d, F.scaled_dot_product_attention),
        *(torch.matmul, torch.mm, torch.bmm, torch.addmm, torch.einsum),
        *(Tensor.matmul, Tensor.__matmul__, Tensor.mm, Tensor.bmm),
    }
    wide: ClassVar[set[Any]] = {
        *(F.layer_norm, F.group_norm, F.softmax, F.log_softmax, F.cross_entropy, F.mse_loss),
        *(torch.softmax, torch.exp, torch.log, torch.pow, torch.cumsum, torch.prod),
        *(Tensor.softmax, Tensor.exp, Tensor.log, Tensor.pow, Tensor.cumsum, Tensor.prod),
    }

    def __init__(self, dtype: torch.dtype, enabled: bool) -> None:
        super().__init__()
        self.dtype = dtype if enabled else torch.float32

    def __enter__(self) -> Autocast:
        self.dtypes.append(self.dtype)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self.dtypes.pop()
        super().__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.narrow | self.wide and self.dtype != torch.float32:
            dtype = self.dtype if func in self.narrow else torch.float32

            def cast(value: Any) -> Any:
                floating = isinstance(value, OnGpu) and value.dtype in (torch.float32, self.dtype)
                return value.to(dtype) if floating else value

            args, kwargs = tree_map(cast, (args, kwargs or {}))
        return func(*args, **(kwargs or {}))


_autocast, _is_autocast_enabled = torch.autocast, torch.is_autocast_enabled
_get_autocast_dtype = torch.get_autocast_dtype


def autocast(device_type: str, dtype: Any = None, enabled: bool = True, **options: Any) -> Any:
    if device_type == GPU.type:
        return Autocast(dtype or torch.float16, enabled)
    return _autocast(device_type, dtype, enabled, **options)


def is_autocast_enabled(device_type: str = GPU.type) -> bool:
    if device_type == GPU.type:
        return bool(Autocast.dtypes) and Autocast.dtypes[-1] != torch.float32
    return _is_autocast_enabled(device_type)


def get_autocast_dtype(device_type: str) -> torch.dtype:
    return Autocast.dtypes[-1] if device_type == GPU.type else _get_autocast_dtype(device_type)


_to, _tensor = Tensor.to, torch.tensor


def to(self: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
    """`Tensor.to`, which asks the driver how many GPUs there are."""
    if args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype, *args[1:])
    device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*args, **kwargs)
    if device is not None and device.type == GPU.type:
        device = None if isinstance(self, OnGpu) else BEHIND
    given = {"device": device, "dtype": dtype, "memory_format": memory_format}
    given = {key: value for key, value in given.items() if value is not None}
    if copy:
        given.setdefault("dtype", self.dtype)
    return _to(self, non_blocking=non_blocking, copy=copy, **given) if given else self


def tensor(data: Any, *, device: Any = None, requires_grad: bool = False, **options: Any) -> Tensor:
    """`torch.tensor`, which goes past dispatch."""
    on_gpu = device is not None and torch.device(device).type == GPU.type
    made = _tensor(data, device=None if on_gpu else device, **options)
    return (made.to(GPU) if on_gpu else made).requires_grad_(requires_grad)


@cache
def _init_lazy() -> None:
    torch._lazy.ts_backend.init()


@contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """Let torch see one GPU, which is none, until the end."""
    cuda = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_bf16_supported": lambda *_, **__: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "empty_cache": lambda: None,
        "is_current_stream_capturing": lambda: False,
        "synchronize": lambda *_: None,
        "get_rng_state": lambda *_: _generator.get_state(),
        "set_rng_state": lambda state, *_: _generator.set_state(state),
        "manual_seed_all": _generator.manual_seed,
        "get_device_capability": lambda *_: (8, 0),
        "get_device_name": lambda *_: "a pretended GPU",
    }
    _init_lazy()
    future = torch.__future__
    replaced = future.get_overwrite_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch, Watch():
        for name, function in cuda.items():
            patch.setattr(torch.cuda, name, function)
        for function in (autocast, is_autocast_enabled, get_autocast_dtype, tensor):
            patch.setattr(torch, function.__name__, function)
        # Optimizers ask a stream of the GPU whether a graph is captured.
        patch.setattr(torch.accelerator, "is_available", lambda: False)
        patch.setattr(Tensor, "to", to)
        patch.setattr(Tensor, "cuda", lambda self, *_, **__: self.to(GPU))
        future.set_overwrite_module_params_on_conversion(True)
        try:
            yield GPU
        finally:
            future.set_overwrite_module_params_on_conversion(replaced)
