"""One call of an ONNX operator, as the rules of operators see it, and what they make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from striate.explorer.onnx.file import Node
from striate.geometry import same_padding
from striate.registry import Registry


class UncomputableError(Exception):
    """A call of an operator that cannot be computed here; its message says why."""


@dataclass(frozen=True, eq=False)
class Step:
    """What computes the outputs of a node.

    Attributes:
        compute: A layer, or a function; from the tensors of `takes` to one tensor or several.
        takes: Numbers of the node's inputs that it is given.
    """

    compute: nn.Module | Callable[..., Any]
    takes: tuple[int, ...] = (0,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One call of an operator.

    Attributes:
        node: The node.
        opset: Version of the operators.
        operands: The node's inputs: constants with their values, what depends on the item on
            torch's meta device, which knows shapes alone; None for one that is left out.
        parameter: Gives a constant's parameter, the same one each time.
    """

    node: Node
    opset: int
    operands: Sequence[Tensor | None]
    parameter: Callable[[int], nn.Parameter]

    def setting(self, name: str, default: Any = None) -> Any:
        """An attribute of the node, or its default."""
        value = self.node.attributes.get(name)
        return default if value is None else value

    def has(self, number: int) -> bool:
        """Whether an input is given."""
        return number < len(self.operands) and self.operands[number] is not None

    def tensor(self, number: int) -> Tensor:
        """An input, with its values or without.

        Raises:
            UncomputableError: It is left out.
        """
        found = self.operands[number] if number < len(self.operands) else None
        if found is None:
            raise UncomputableError(f"its input {number} is missing")
        return found

    def is_constant(self, number: int) -> bool:
        """Whether an input is given and does not depend on the item."""
        return self.has(number) and not self.tensor(number).is_meta

    def constant(self, number: int) -> Tensor:
        """An input that must not depend on the item.

        Raises:
            UncomputableError: It does, or is left out.
        """
        found = self.tensor(number)
        if found.is_meta:
            raise UncomputableError(f"its input {number} depends on the item")
        return found

    def integers(self, number: int) -> list[int]:
        """The whole numbers of such an input; of one that is left out none."""
        if not self.has(number):
            return []
        return [int(value) for value in self.constant(number).reshape(-1).tolist()]

    def number(self, number: int, default: float) -> float:
        """The only number of such an input."""
        return float(self.constant(number).reshape(-1)[0]) if self.has(number) else default

    def given(self) -> tuple[int, ...]:
        """Numbers of the inputs that are given."""
        return tuple(n for n, operand in enumerate(self.operands) if operand is not None)

    def axes(self, number: int) -> list[int]:
        """Axes that an attribute names, or, since some opset, an input of that number."""
        named = self.setting("axes")
        return list(named) if named is not None else self.integers(number)

    def rank(self) -> int:
        """Axes of space of the first input: 1, 2 or 3.

        Raises:
            UncomputableError: There are others.
        """
        rank = self.tensor(0).ndim - 2
        if rank not in (1, 2, 3):
            raise UncomputableError(f"its input has {rank + 2} axes")
        return rank

    def window(self, kernel: Sequence[int]) -> Window:
        """How a window of this size slides."""
        rank = len(kernel)
        strides = tuple(self.setting("strides", [1] * rank))
        dilations = tuple(self.setting("dilations", [1] * rank))
        pads = self._padding(kernel, strides, dilations)
        lengths = {len(strides), len(dilations), len(pads) // 2, rank}
        if len(lengths) > 1 or min(*kernel, *strides, *dilations) < 1 or min(pads) < 0:
            raise UncomputableError("its window is none that can be computed")
        return Window(tuple(kernel), strides, dilations, tuple(pads[:rank]), tuple(pads[rank:]))

    def _padding(
        self, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
    ) -> list[int]:
        """Padding at the start of each axis, then at the end of each."""
        auto = self.setting("auto_pad", "NOTSET")
        if auto == "VALID":
            return [0] * 2 * len(kernel)
        if not auto.startswith("SAME"):
            return list(self.setting("pads", [0] * 2 * len(kernel)))
        sides = self.tensor(0).shape[2:]
        ends = [
            same_padding(*axis, lower=auto == "SAME_LOWER")
            for axis in zip(sides, kernel, strides, dilations, strict=True)
        ]
        return [low for low, _ in ends] + [high for _, high in ends]


@dataclass(frozen=True)
class Window:
    """A window along each axis, and the padding at both ends."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]

    @property
    def ends(self) -> tuple[int, ...]:
        """The padding as torch's functions want it, the last axis first."""
        return tuple(n for pair in zip(self.low[::-1], self.high[::-1], strict=True) for n in pair)


Rule: TypeAlias = Callable[[Call], Step]

RULES: Final[Registry[Rule]] = Registry("operator of ONNX")
"""What computes each operator, by its name."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Make a function the rule of operators."""

    def registered(function: Rule) -> Rule:
        for name in names:
            RULES.add(name, function)
        return function

    return registered


def pointwise(functions: Iterable[tuple[str, Callable[..., Any]]]) -> None:
    """Register functions that take all inputs of a node as they are."""

    def made(function: Callable[..., Any]) -> Rule:
        return lambda call: Step(function, call.given())

    for name, function in functions:
        RULES.add(name, made(function))


def value_of(tensor: Tensor) -> Step:
    """A step that gives a constant."""
    return Step(lambda: tensor, ())


def float_tensor(values: Any) -> Tensor:
    """Numbers in float32."""
    return torch.tensor(values, dtype=torch.float32)
