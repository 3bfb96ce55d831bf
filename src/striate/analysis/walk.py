"""One pass through a network without computing anything: what each layer makes, holds and sees.

The network runs on torch's meta device, which knows shapes and no values, under a mode that meets
every operator below torch's layers. So functional calls count as layers do, and a network of any
size takes no memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from striate.analysis import field_algebra as algebra
from striate.analysis.field_algebra import Seen
from striate.analysis.layer import Layer
from striate.analysis.rules import CONSTANTS, RULES, Call, multiply_adds, pointwise, unknown
from striate.analysis.shapes import shaped
from striate.errors import ArgumentError, UserError
from striate.geometry import dense_cost

MAX_SIDE: Final = 1024
"""Where the search for a side that a network takes ends."""

_KINDS: Final = {"addmm": "linear", "mm": "matmul", "bmm": "matmul", "baddbmm": "matmul"}


def walk(model: nn.Module, input_shape: Sequence[int]) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """Follow one item through `model` in evaluation mode; the model is left as it was.

    The layers come in the order of their calls; with them the names of operators without a rule,
    whose output is taken to see everything.

    Args:
        model: Any module that takes one tensor (items, channels, *space).
        input_shape: Channels and spatial sizes of the item, (channels, *space).

    Raises:
        ArgumentError: The network does not take such an input.
    """
    if len(input_shape) < 2 or min(input_shape) < 1:
        raise ArgumentError(
            f"input={tuple(input_shape)}",
            why="it must be (channels, *space) with positive sizes",
            fix="for example 3,224,224",
        )
    interpreter = _Interpreter({module: name for name, module in model.named_modules()})
    try:
        _run(model, input_shape, interpreter)
    except UserError:  # the network's own word on its input
        raise
    except NotImplementedError as error:
        raise ArgumentError(
            f"{type(model).__name__} cannot be followed without values", why=str(error)
        ) from error
    except (RuntimeError, ValueError, IndexError) as error:
        minimum = min_input_side(model, input_shape[0], len(input_shape) - 1)
        small = minimum is not None and min(input_shape[1:]) < minimum
        raise ArgumentError(
            f"{type(model).__name__} does not take an input of {' x '.join(map(str, input_shape))}",
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix=f"the minimal side is {minimum}" if small else "",
        ) from error
    return tuple(interpreter.layers), tuple(sorted(interpreter.unknown))


def min_input_side(model: nn.Module, in_channels: int, rank: int) -> int | None:
    """The smallest side, the same on every axis, that `model` takes; None where none was found."""

    def takes(side: int) -> bool:
        try:
            _run(model, (in_channels, *(side,) * rank), None)
        except (RuntimeError, ValueError, IndexError):
            return False
        return True

    high = 1
    while not takes(high):
        high *= 2
        if high > MAX_SIDE:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if takes(middle) else (middle, high)
    return high


def _run(model: nn.Module, input_shape: Sequence[int], interpreter: _Interpreter | None) -> None:
    """Run `model` on the meta device, under `interpreter` where there is one."""
    parameters = {n: _without_values(p) for n, p in model.named_parameters()}
    tensors = parameters | {n: _without_values(b) for n, b in model.named_buffers()}
    floats = [t.dtype for t in parameters.values() if t.is_floating_point()]
    x = torch.empty(1, *input_shape, device="meta", dtype=floats[0] if floats else torch.float32)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(evaluating(model))
        if interpreter is not None:
            interpreter.begin(x, parameters, stack)
            stack.enter_context(interpreter)
        functional_call(model, tensors, (x,))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """`model` in evaluation mode, and without torch's fused attention, which hides the operators."""
    training = [module for module in model.modules() if module.training]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    for module in training:
        module.training = False
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module in training:
            module.training = True


@dataclass
class _Frame:
    """A module being run, the number of rows there were when it began, and what it costs so far.

    The cost is by the names of Layer's fields.
    """

    name: str
    kind: str
    first: int
    has_calls: bool = False
    cost: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Known:
    """A tensor met on the way, kept so that its id stays its own."""

    tensor: Tensor
    seen: Seen | None
    parameters: frozenset[str] = field(default=frozenset())


class _Interpreter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Meets every operator, keeps what each tensor sees, and makes the rows."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's hook: to be skipped by its compiler a mode loads it, which takes a second."""
        return False

    def __init__(self, names: Mapping[nn.Module, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.names = names
        self.layers: list[Layer] = []
        self.unknown: set[str] = set()
        self._frames: list[_Frame] = []
        self._known: dict[int, _Known] = {}
        self._scattered: dict[int, Any] = {}
        self._counts: dict[str, int] = {}

    def begin(self, x: Tensor, parameters: Mapping[str, Tensor], stack: ExitStack) -> None:
        """Start at the input `x` with these parameters; `stack` will take the hooks away."""
        for module in self.names:
            stack.callback(module.register_forward_pre_hook(self._enter).remove)
            stack.callback(module.register_forward_hook(self._leave).remove)
        self._input = x
        self._rank = x.ndim - 2
        self._counts = {name: p.numel() for name, p in parameters.items()}
        for name, parameter in parameters.items():
            self._known[id(parameter)] = _Known(parameter, None, frozenset([name]))
        self._known[id(x)] = _Known(x, algebra.of_input(x.shape))

    def _enter(self, module: nn.Module, _: Any) -> None:
        if self._frames:
            self._frames[-1].has_calls = True
        frame = _Frame(self.names[module], type(module).__name__, len(self.layers))
        self._frames.append(frame)

    def _leave(self, _: nn.Module, __: Any, output: Any) -> None:
        """A module that called no other is one row, in place of those of its functions."""
        frame = self._frames.pop()
        is_root = not self._frames
        if frame.has_calls or (is_root and len(self.layers) - frame.first > 1):
            return
        del self.layers[frame.first :]
        tensor = next((t for t in tree_leaves(output) if isinstance(t, Tensor)), None)
        seen = None if tensor is None else self._seen(tensor)
        if tensor is not None and seen is not None:
            self.layers.append(self._layer(frame.name, frame.kind, tensor, seen, frame.cost))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operator and note what it did."""
        kwargs = kwargs or {}
        tensors = _tensors((args, kwargs))
        if any(t.is_meta for t in tensors):
            args, kwargs = tree_map_only(Tensor, _to_meta, (args, kwargs))
        arguments = _bind(func, args, kwargs)
        output = shaped(func, arguments)
        if output is None:
            output = func(*args, **kwargs)
        made = _tensors(output)
        known = [self._find(t) for t in tensors]
        used = frozenset[str]().union(*(k.parameters for k in known))
        constant = func.overloadpacket.__name__ in CONSTANTS
        if made and not constant and any(k.seen is not None for k in known):
            self._follow(func, arguments, known, made, used)
        else:
            for tensor in made:
                self._known[id(tensor)] = _Known(tensor, None, used)
        return output

    def _follow(
        self,
        func: Any,
        arguments: Mapping[str, Any],
        known: Sequence[_Known],
        made: Sequence[Tensor],
        used: frozenset[str],
    ) -> None:
        """Apply the operator's rule, and count what it cost."""
        name = func.overloadpacket.__name__.removesuffix("_")
        call = Call(
            name=name,
            arguments=arguments,
            inputs=tuple(k.seen for k in known),
            seen=self._seen,
            shapes=tuple(tuple(t.shape) for t in made),
        )
        rule = RULES.get(name)
        if rule is None:
            rule = pointwise if torch.Tag.pointwise in func.tags else unknown
        if rule is unknown:
            self.unknown.add(f"{func.namespace}.{name}")
        result = rule(call)
        if isinstance(result, list):
            seens = result
        else:  # outputs of the first one's shape see the same, others everything
            every = partial(algebra.everything, rank=self._rank)
            seens = [result if t.shape == made[0].shape else every(t.shape) for t in made]
        for tensor, seen in zip(made, seens, strict=True):
            self._known[id(tensor)] = _Known(tensor, seen)
        if func._schema.is_mutable and _is_part(made[0]):
            storage = made[0].untyped_storage()
            self._scattered[storage._cdata] = storage
        self._count(call, made[0], seens[0], used)

    def _count(self, call: Call, output: Tensor, seen: Seen, used: frozenset[str]) -> None:
        """Add the cost to the module being run; a row where a function does what layers do."""
        cost = Counter(
            parameters=sum(self._counts.pop(name, 0) for name in used),
            multiply_adds=multiply_adds(call.name, call.arguments, output.shape),
            dense_parameters=_as_dense(call, output),
        )
        if not self._frames:
            return
        frame = self._frames[-1]
        frame.cost.update(cost)
        changes = all(s.fields != seen.fields for s in call.tracked)
        if cost.total() or changes or len(call.tracked) > 1:
            kind = _KINDS.get(call.name, call.name)
            path = f"{frame.name}.{kind}" if frame.name else kind
            self.layers.append(self._layer(path, kind, output, seen, cost))

    def _layer(self, name: str, kind: str, tensor: Tensor, seen: Seen, cost: Counter[str]) -> Layer:
        axes = range(self._rank)
        space = tuple(seen.places(axis) for axis in axes)
        return Layer(
            name=name,
            kind=kind,
            output_shape=tuple(tensor.shape[1:]),
            parameters=cost["parameters"],
            multiply_adds=cost["multiply_adds"],
            dense_parameters=cost["dense_parameters"],
            memory=tensor.numel() * tensor.element_size(),
            space=space if all(seen.at(axis) for axis in axes) else None,
            fields=seen.fields,
            borders=tuple(self._border(seen, axis) for axis in axes),
            is_spatial=seen.is_spatial,
        )

    def _border(self, seen: Seen, axis: int) -> tuple[int, int] | None:
        field = seen.fields[axis]
        if field is None:
            return None
        return field.border(self._input.shape[2 + axis], seen.places(axis))

    def _find(self, tensor: Tensor) -> _Known:
        known = self._known.get(id(tensor), _Known(tensor, None))
        if tensor.untyped_storage()._cdata in self._scattered:
            return _Known(tensor, algebra.everything(tensor.shape, self._rank, like=known.seen))
        return known

    def _seen(self, tensor: Tensor) -> Seen | None:
        return self._find(tensor).seen


def _as_dense(call: Call, output: Tensor) -> int:
    if call.name != "convolution":
        return 0
    x = call.arguments["input"]
    return dense_cost(x[0].numel(), output[0].numel(), bias=False).parameters


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _without_values(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")


def _to_meta(tensor: Tensor) -> Tensor:
    """Constants that a module made on another device, without their values."""
    return tensor if tensor.is_meta or tensor.ndim == 0 else tensor.to("meta")


def _bind(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by the names of the operator's schema, defaults filled in."""
    schema = func._schema.arguments
    bound = {a.name: a.default_value for a in schema if a.has_default_value()}
    bound.update(zip((a.name for a in schema), args, strict=False))
    bound.update(kwargs)
    return bound


def _is_part(tensor: Tensor) -> bool:
    """Whether the tensor is a view of a part of a larger one."""
    return tensor.untyped_storage().nbytes() > tensor.numel() * tensor.element_size()
