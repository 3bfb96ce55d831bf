"""What a layer gave, as channels over positions, wherever its tensor has the channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.analysis import Calculation
from striate.errors import ArgumentError
from striate.nn.blocks import ChannelNorm
from striate.nn.ranks import BATCH_NORM_TYPES, CONV_TYPES

MAX_AXES = 3
"""Axes of space that can be shown; more are joined into one."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The values of one item at one point of the network.

    Attributes:
        array: (channels, *space) Values; a vector has no space.
        channels_last: Whether the network's own tensor has the channels behind space.
    """

    array: NDArray[np.float32]
    channels_last: bool = False

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.array.shape[0])

    @property
    def space(self) -> tuple[int, ...]:
        """Positions along each axis."""
        return tuple(self.array.shape[1:])

    def check(self, channel: int, position: Sequence[int]) -> None:
        """Check that there is such a place.

        Raises:
            ArgumentError: There is none.
        """
        inside = len(position) == len(self.space) and all(
            0 <= p < n for p, n in zip(position, self.space, strict=False)
        )
        if not inside or not 0 <= channel < self.channels:
            raise ArgumentError(
                f"channel {channel}, position {list(position)}",
                why=f"there are {self.channels} channels of {list(self.space)} positions",
            )

    def at(self, channel: int, position: Sequence[int]) -> float:
        """The value at a place."""
        return float(self.array[(channel, *position)])


def values_of(tensor: Tensor) -> NDArray[Any]:
    """The values of a batch of one without its first axis, in float32."""
    return tensor[0].detach().float().cpu().numpy()


def is_of_heads(calculation: Calculation) -> bool:
    """Whether a calculation multiplies matrices of several heads at once, which then are channels.

    Torch joins the one item and its heads into one axis.
    """
    is_product = calculation.module is None and calculation.layer.kind == "matmul"
    return is_product and calculation.output.ndim == 3


def grids_of(found: Sequence[Calculation]) -> list[Grid]:
    """The output of each layer as a grid."""
    grids: list[Grid] = []
    for calculation in found:
        if is_of_heads(calculation):
            grids.append(Grid(calculation.output.detach().float().cpu().numpy()))
            continue
        values = values_of(calculation.output)
        last = _channels_last(calculation, grids) and values.ndim > 1
        moved = np.moveaxis(values, -1, 0) if last else np.atleast_1d(values)
        grids.append(Grid(moved, last))
    return grids


def _channels_last(calculation: Calculation, before: Sequence[Grid]) -> bool:
    module, layer = calculation.module, calculation.layer
    if isinstance(module, (*CONV_TYPES, *BATCH_NORM_TYPES, ChannelNorm)):
        return False
    if isinstance(module, (nn.Linear, nn.LayerNorm)):
        return True
    shape = layer.output_shape
    first, last = (layer.space == part for part in (shape[1:], shape[:-1]))
    if layer.space is not None and first != last:
        return last
    numbers = [n for sources in calculation.sources for n in sources if n >= 0]
    return bool(numbers) and before[numbers[0]].channels_last
