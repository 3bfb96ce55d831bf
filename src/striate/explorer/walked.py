"""One item gone through a network, and how each number of each layer came about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.analysis import Calculation, calculations
from striate.errors import ArgumentError
from striate.explorer.grid import MAX_AXES, Grid, grids_of, is_of_heads, values_of
from striate.explorer.numbers import finite
from striate.explorer.onnx.modules import WithConstant
from striate.explorer.steps import mixing, pointwise, windows
from striate.nn.attention import SelfAttention
from striate.nn.blocks import ChannelNorm, StochasticDepth
from striate.nn.heads import GlobalAveragePool, GlobalMaxPool
from striate.nn.kernel_head import KernelHead
from striate.nn.ranks import BATCH_NORM_TYPES, CONV_TYPES, layers
from striate.ops.depthwise_convolution import left_to_torch

INPUT: Final = -1
"""Number of the item itself among the layers."""

TOLERANCE: Final = 1e-3
"""Steps whose result differs from the layer's own by more, relative to it or to 1, are not shown."""

_RANKS: Final = tuple(layers(rank) for rank in (1, 2, 3))
_RESIZES: Final = tuple(each.adaptive_avg_pool for each in _RANKS)
_HANDED_ON: Final = (nn.Identity, nn.Dropout, nn.Flatten, StochasticDepth)
_OPERATIONS: Final = {"add": "add", "sub": "subtract", "mul": "multiply", "div": "divide"}
_WHOLE: Final = {"mean": "mean", "amax": "maximum", "var_mean": "variance"}


@dataclass(frozen=True, eq=False)
class Walked:
    """An item's values at every layer.

    Attributes:
        x: (1, channels, *space) The item as the network takes it.
        found: The layers in the order of their calls.
    """

    x: Tensor
    found: tuple[Calculation, ...]

    @classmethod
    def through(cls, network: nn.Module, x: Tensor) -> Walked:
        """Take an item through a network."""
        return cls(x, calculations(network, x))

    @cached_property
    def grids(self) -> list[Grid]:
        """The output of each layer."""
        return grids_of(self.found)

    @cached_property
    def item(self) -> Grid:
        """The item as the network takes it."""
        return Grid(values_of(self.x))

    @property
    def logits(self) -> Float[np.ndarray, " outputs"]:
        """What the network says; a last map has one place, as that of a mean without a flattening."""
        return values_of(self.found[-1].output).reshape(-1)

    def grid(self, number: int) -> Grid:
        """The output of a layer, or the item.

        Raises:
            ArgumentError: There is no such layer.
        """
        if not INPUT <= number < len(self.found):
            raise ArgumentError(f"layer {number}", why=f"there are {len(self.found)}")
        return self.item if number == INPUT else self.grids[number]

    @cached_property
    def inputs(self) -> list[list[int]]:
        """For each layer the numbers of the layers that it takes from, -1 for the item."""
        return [
            sorted({n for sources in calculation.sources for n in sources})
            for calculation in self.found
        ]

    @cached_property
    def takers(self) -> dict[int, list[int]]:
        """For each layer, and -1 for the item, the layers that take from it."""
        found: dict[int, list[int]] = {}
        for number, inputs in enumerate(self.inputs):
            for each in inputs:
                found.setdefault(each, []).append(number)
        return found

    def followers(self, number: int) -> list[int]:
        """Layers that go on with each number by itself, one after the other: norm, activation."""
        chain: list[int] = []
        here = number
        while True:
            after = self.takers.get(here, [])
            if len(after) != 1 or not self._is_pointwise(after[0], here):
                return chain
            here = after[0]
            chain.append(here)

    def _is_pointwise(self, number: int, before: int) -> bool:
        module = self.found[number].module
        known = module is not None and (
            isinstance(module, (*BATCH_NORM_TYPES, nn.LayerNorm, WithConstant))
            or pointwise.activation(module) is not None
        )
        return known and self.grids[number].array.shape == self.grids[before].array.shape

    def cell(self, number: int, channel: int, position: Sequence[int]) -> dict[str, Any]:
        """How one number of a layer came about, and what is made of it at once.

        Args:
            number: The layer, -1 for the item.
            channel: The channel.
            position: Place along each axis of space; empty in a vector.

        Raises:
            ArgumentError: There is no such place.
        """
        document = self._cell(number, channel, position)
        if number == INPUT:
            return document
        after = [self._cell(n, channel, position) for n in self.followers(number)]
        return {**document, "then": after}

    def _cell(self, number: int, channel: int, position: Sequence[int]) -> dict[str, Any]:
        grid = self.grid(number)
        grid.check(channel, position)
        value = grid.at(channel, position)
        where = {"node": number, "channel": channel, "position": list(position)}
        found: dict[str, Any] = {"form": "item"}
        if number != INPUT:
            found = self._steps(number, channel, tuple(position))
        result = found.get("result")
        if result is not None and not abs(result - value) <= TOLERANCE * (1 + abs(value)):
            found = {"form": "none", "why": "its steps are not those that are known here"}
        return {**where, "value": finite(value), **found}

    def _steps(self, number: int, channel: int, position: tuple[int, ...]) -> dict[str, Any]:
        """The arithmetic of one number of a layer."""
        calculation, grid = self.found[number], self.grids[number]
        place = (*position, channel) if grid.channels_last else (channel, *position)
        if len(grid.space) > MAX_AXES:
            return {"form": "none", "why": f"a tensor of {grid.array.ndim} axes is not shown"}
        if calculation.module is None:
            return self._of_function(calculation, channel, position, place)
        return self._of_module(calculation, calculation.module, channel, position, place)

    def _of_function(
        self,
        calculation: Calculation,
        channel: int,
        position: tuple[int, ...],
        place: tuple[int, ...],
    ) -> dict[str, Any]:
        kind = calculation.layer.kind
        if kind in _OPERATIONS:
            return pointwise.terms(calculation, _OPERATIONS[kind], place)
        if kind in ("cat", "stack"):
            find = pointwise.joined if kind == "cat" else pointwise.stacked
            return find(calculation, place)
        if kind in _WHOLE and not any(position):
            return windows.whole(calculation, _WHOLE[kind], channel, position)
        if kind == "matmul":
            return self._of_product(calculation, channel, position)
        return {"form": "none", "why": f"the steps of {kind} are not shown"}

    def _of_product(
        self, calculation: Calculation, channel: int, position: tuple[int, ...]
    ) -> dict[str, Any]:
        """A product of matrices; in attention the scores, or what they make of the values."""
        if is_of_heads(calculation) and isinstance(calculation.caller, SelfAttention):
            sources = [n for each in calculation.sources for n in each]
            scores = next((n for n in sources if is_of_heads(self.found[n])), None)
            if scores is None:
                return mixing.scores(calculation, channel, position)
            return mixing.attention(calculation, self.found[scores], channel, position)
        return mixing.product(calculation, channel, position)

    def _before(self, calculation: Calculation) -> int:
        """The layer whose output a module of several rows was called with, the last of them given."""
        here = calculation
        while True:
            number = here.sources[0][0]
            here = self.found[number]
            if here.caller is not calculation.caller:
                return number

    def _of_module(
        self,
        calculation: Calculation,
        module: nn.Module,
        channel: int,
        position: tuple[int, ...],
        place: tuple[int, ...],
    ) -> dict[str, Any]:
        if isinstance(module, CONV_TYPES):
            return windows.convolution(calculation, module, channel, position)
        if isinstance(module, nn.Linear):
            if isinstance(calculation.caller, KernelHead):
                features = self.found[self._before(calculation)].output
                return mixing.kernel(calculation, calculation.caller, features, channel)
            return windows.dense(calculation, module, channel, position)
        if isinstance(module, windows.POOLS):
            return windows.pooling(calculation, module, channel, position)
        if isinstance(module, _RESIZES):
            return windows.resizing(calculation, "mean", channel, position)
        if isinstance(module, (GlobalAveragePool, GlobalMaxPool)):
            operation = "mean" if isinstance(module, GlobalAveragePool) else "maximum"
            return windows.whole(calculation, operation, channel, position)
        if isinstance(module, _HANDED_ON):
            return pointwise.copied(calculation, place)
        if isinstance(module, WithConstant):
            return pointwise.with_constant(calculation, module, place)
        return _of_one_place(calculation, module, channel, place)


def logits_of(network: nn.Module, x: Tensor) -> Float[np.ndarray, " outputs"]:
    """What a network says of an item, computed as `Walked` computes it, but keeping no layer.

    Args:
        network: The network, in evaluation mode.
        x: (1, channels, *space) The item as the network takes it.
    """
    with torch.no_grad(), left_to_torch():
        return values_of(network(x)).reshape(-1)


def _of_one_place(
    calculation: Calculation, module: nn.Module, channel: int, place: tuple[int, ...]
) -> dict[str, Any]:
    """Norms and activations, whose operand has the shape of the output."""
    given = values_of(calculation.operands[0])
    if isinstance(module, BATCH_NORM_TYPES):
        return pointwise.batch_norm(module, channel, float(given[place]))
    if isinstance(module, ChannelNorm):
        return pointwise.layer_norm(module, np.moveaxis(given, 0, -1)[place[1:]], channel)
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        return pointwise.layer_norm(module, given[place[:-1]], channel)
    if isinstance(module, nn.Softmax) and module.dim is not None:
        return mixing.softmax(given, module.dim % calculation.operands[0].ndim - 1, place)
    known: tuple[str, Callable[[float], float]] | None = pointwise.activation(module)
    if known is not None:
        return pointwise.applied(*known, float(given[place]))
    return {"form": "none", "why": f"the steps of {type(module).__name__} are not shown"}
