"""One row of what a pass through a network found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

from torch import Tensor, nn

from striate.geometry import Field, Number


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One call of a layer, or of a function outside the layers, for one item.

    Attributes:
        name: Path of the module in the network; a function's name behind its module's.
        kind: Class of the module, or name of the function.
        output_shape: (channels, *space), without the batch.
        parameters: Number of parameters that this call is the first to use.
        multiply_adds: Products summed.
        dense_parameters: Weights of dense layers in place of its convolutions; 0 without any.
        memory: Bytes of the output.
        space: Positions of the output along each spatial axis of the input; None where they can
            no longer be told apart.
        fields: What a position of the output sees of each spatial axis of the input;
            None is 'everything'.
        borders: Numbers of positions at the start and at the end of each axis that see
            padding; None where every position sees everything.
        is_spatial: Positions of the input can still be told apart, in whatever order.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    dense_parameters: int
    memory: int
    space: tuple[int, ...] | None
    fields: tuple[Field | None, ...]
    borders: tuple[tuple[int, int] | None, ...]
    is_spatial: bool

    @property
    def receptive_field(self) -> tuple[int | None, ...] | None:
        """Positions of the input seen along each axis; None is 'everything'."""
        return _per_axis([None if f is None else floor(f.size) for f in self.fields])

    @property
    def jump(self) -> tuple[float | None, ...] | None:
        """Positions of the input from one output to the next; None where everything is seen."""
        return _per_axis([None if f is None else plain_number(f.jump) for f in self.fields])

    @property
    def start(self) -> tuple[float | None, ...] | None:
        """First position that output 0 sees, negative in the padding."""
        return _per_axis([None if f is None else plain_number(f.start) for f in self.fields])


@dataclass(frozen=True, kw_only=True, eq=False)
class Calculation:
    """One layer with the values of one item.

    Attributes:
        layer: The layer.
        module: The module that was called; None for a function.
        caller: The innermost module that called it; None for the network itself.
        operands: Tensors of the call in order, the batch first: inputs, and of a function the
            parameters among its arguments too.
        sources: For each operand the numbers of the layers that it came from, -1 for the item
            itself; none for a parameter.
        arguments: Arguments of a function by the names of torch's schema; empty for a module.
        output: What came out, (1, ...).
    """

    layer: Layer
    module: nn.Module | None
    caller: nn.Module | None
    operands: tuple[Tensor, ...]
    sources: tuple[tuple[int, ...], ...]
    arguments: Mapping[str, Any]
    output: Tensor


def _per_axis(values: Iterable[Any]) -> tuple[Any, ...] | None:
    """The values; None where every axis has none."""
    listed = tuple(values)
    return None if all(value is None for value in listed) else listed


def plain_number(number: Number) -> float:
    """A whole number where it is one."""
    whole = Fraction(number)
    return whole.numerator if whole.denominator == 1 else float(whole)
