"""Meets every operator of one pass through a network, and makes the rows of layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from striate.analysis import field_algebra as algebra
from striate.analysis.field_algebra import Seen
from striate.analysis.layer import Calculation, Layer
from striate.analysis.rules import CONSTANTS, RULES, Call, multiply_adds, pointwise, unknown
from striate.analysis.shapes import shaped
from striate.geometry import dense_cost

_KINDS: Final = {"addmm": "linear", "mm": "matmul", "bmm": "matmul", "baddbmm": "matmul"}


@dataclass
class _Frame:
    """A module being run, the number of rows there were when it began, and what it costs so far.

    The cost is by the names of Layer's fields.
    """

    name: str
    module: nn.Module
    first: int
    has_calls: bool = False
    cost: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Known:
    """A tensor met on the way, kept so that its id stays its own."""

    tensor: Tensor
    seen: Seen | None
    parameters: frozenset[str] = field(default=frozenset())


@dataclass(kw_only=True, eq=False)
class _Row:
    """A layer that was called, the tensors of its call, and the id of what it first gave."""

    layer: Layer
    module: nn.Module | None
    caller: nn.Module | None
    operands: tuple[Tensor, ...]
    arguments: Mapping[str, Any]
    output: Tensor
    operand_ids: tuple[int, ...] = field(init=False)
    output_id: int = field(init=False)

    def __post_init__(self) -> None:
        self.operand_ids = tuple(map(id, self.operands))
        self.output_id = id(self.output)

    def keep(self, changing: Tensor) -> None:
        """Copy what shares memory with a tensor that is about to be changed."""

        def kept(tensor: Tensor) -> Tensor:
            shared = tensor.untyped_storage()._cdata == changing.untyped_storage()._cdata
            return tensor.clone() if shared else tensor

        self.operands, self.output = tuple(map(kept, self.operands)), kept(self.output)


class Interpreter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Meets every operator, keeps what each tensor sees, and makes the rows."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's hook: to be skipped by its compiler a mode loads it, which takes a second."""
        return False

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.names = {module: name for name, module in model.named_modules()}
        self.rows: list[_Row] = []
        self.unknown: set[str] = set()
        self._frames: list[_Frame] = []
        self._known: dict[int, _Known] = {}
        self._scattered: dict[int, Any] = {}
        self._made_of: dict[int, tuple[int, ...]] = {}
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
        frame = _Frame(self.names[module], module, len(self.rows))
        self._frames.append(frame)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """A module that called no other is one row, in place of those of its functions."""
        frame = self._frames.pop()
        is_root = not self._frames
        if frame.has_calls or (is_root and len(self.rows) - frame.first > 1):
            return
        del self.rows[frame.first :]
        tensor = next((t for t in tree_leaves(output) if isinstance(t, Tensor)), None)
        seen = None if tensor is None else self._seen(tensor)
        if tensor is not None and seen is not None:
            kind = type(module).__name__
            self.rows.append(
                _Row(
                    layer=self._layer(frame.name, kind, tensor, seen, frame.cost),
                    module=module,
                    caller=None if is_root else self._frames[-1].module,
                    operands=tuple(_tensors(inputs)),
                    arguments={},
                    output=tensor,
                )
            )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operator and note what it did."""
        kwargs = kwargs or {}
        tensors = _tensors((args, kwargs))
        if any(t.is_meta for t in tensors):
            args, kwargs = tree_map_only(Tensor, _to_meta, (args, kwargs))
        arguments = _bind(func, args, kwargs)
        if func._schema.is_mutable and not tensors[0].is_meta:
            for row in self.rows:
                row.keep(tensors[0])
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
        tracked = [k.tensor for k in known if k.seen is not None]
        for tensor, seen in zip(made, seens, strict=True):
            self._known[id(tensor)] = _Known(tensor, seen)
            self._made_of[id(tensor)] = tuple(id(t) for t in tracked if t is not tensor)
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
            layer = self._layer(path, kind, output, seen, cost)
            operands = tuple(_tensors(call.arguments))
            self.rows.append(
                _Row(
                    layer=layer,
                    module=None,
                    caller=frame.module,
                    operands=operands,
                    arguments=call.arguments,
                    output=output,
                )
            )

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

    def calculations(self) -> tuple[Calculation, ...]:
        """The rows, each with the rows that its operands came from."""
        made_by: dict[int, list[int]] = {}
        found = []
        for index, row in enumerate(self.rows):
            found.append(
                Calculation(
                    layer=row.layer,
                    module=row.module,
                    caller=row.caller,
                    operands=row.operands,
                    sources=tuple(self._sources(i, made_by) for i in row.operand_ids),
                    arguments=row.arguments,
                    output=row.output,
                )
            )
            made_by.setdefault(row.output_id, []).append(index)
        return tuple(found)

    def _sources(self, tensor: int, made_by: Mapping[int, Sequence[int]]) -> tuple[int, ...]:
        """The last rows before this one that a tensor came from, -1 for the item itself."""
        found: set[int] = set()
        left, met = [tensor], {tensor}
        while left:
            here = left.pop()
            if here in made_by:
                found.add(made_by[here][-1])
            elif here == id(self._input):
                found.add(-1)
            else:
                new = [t for t in self._made_of.get(here, ()) if t not in met]
                left += new
                met.update(new)
        return tuple(sorted(found))

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
