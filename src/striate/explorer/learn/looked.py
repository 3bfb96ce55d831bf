"""What the tour and the exercises are made of: a network, an item's values in it, and words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Final

import numpy as np

from striate.explorer.grid import Grid
from striate.explorer.maps import PER_PAGE
from striate.explorer.walked import INPUT, Walked

AXES: Final = {0: (), 1: ("position",), 2: ("row", "column"), 3: ("slice", "row", "column")}
"""What a place is called along each axis, by the number of axes."""

ITEMS: Final = {1: "series", 2: "picture", 3: "volume"}
"""What an item is called, by its number of axes."""

TITLES: Final = {
    "Linear": "fully connected layer",
    "ReLU": "ReLU",
    "Flatten": "flattening",
    "GlobalAveragePool": "global average",
    "GlobalMaxPool": "global maximum",
}
"""What layers are called, where their class does not say it in plain words."""

PREFIXES: Final = {
    "Conv": "convolution",
    "MaxPool": "max pooling",
    "AvgPool": "average pooling",
    "BatchNorm": "batch norm",
    "AdaptiveAvgPool": "average to a fixed size",
}
"""The same, by how the name of the class begins."""


@dataclass(frozen=True, eq=False)
class Looked:
    """A network with an item in it.

    Attributes:
        network: The network as the page shows it, see `network_document`.
        walked: The item's values at every layer.
        outputs: The outputs, the largest first, as the page shows them.
        trained: Whether the network has learnt anything.
    """

    network: dict[str, Any]
    walked: Walked
    outputs: Sequence[dict[str, Any]]
    trained: bool = True

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """The layers as the page shows them."""
        return list(self.network["nodes"])

    @cached_property
    def item(self) -> str:
        """What an item is called."""
        return ITEMS.get(len(self.network["input_shape"]) - 1, "item")

    @cached_property
    def convolution(self) -> int | None:
        """The first convolution whose kernel has more than one place, else the first of any."""
        found = [n for n, node in enumerate(self.nodes) if is_convolution(node)]
        wide = [n for n in found if prod(self.nodes[n]["window"]["kernel"]) > 1]
        return next((n for n in (*wide, *found) if self.adds_up(n)), None)

    def adds_up(self, number: int) -> bool:
        """Whether the page shows the products of a layer."""
        return bool(self._middle_cell(number)["form"] == "products")

    def cell(self, number: int, channel: int, position: Sequence[int]) -> dict[str, Any]:
        """How a number of a layer came about, see `Walked.cell`."""
        return self.walked.cell(number, channel, position)

    def _middle_cell(self, number: int) -> dict[str, Any]:
        return self.cell(number, 0, [n // 2 for n in self.walked.grid(number).space])

    def strongest(self, number: int) -> tuple[int, list[int]]:
        """The channel and the place with the largest value of a layer, after what follows it.

        It is looked for among the first channels, in the middle slice of a volume, and at windows
        that lie inside the item where there are any.
        """
        node = self.nodes[number]
        last = [number, *node["followers"]][-1]
        grid = self.walked.grid(last)
        values = np.where(np.isfinite(grid.array), grid.array, -np.inf)[:PER_PAGE]
        open_ = [_inside(node["window"], axis, size) for axis, size in enumerate(grid.space)]
        if len(grid.space) == 3:
            open_[0] = slice(grid.space[0] // 2, grid.space[0] // 2 + 1)
        part = values[(slice(None), *open_)]
        found = np.unravel_index(int(part.argmax()), part.shape)
        starts = [each.start for each in open_]
        return int(found[0]), [int(p) + s for p, s in zip(found[1:], starts, strict=True)]

    def named(self, number: int) -> str:
        """A layer in words, with its name in the network."""
        if number == INPUT:
            return f"the {self.item}"
        node = self.nodes[number]
        return f"{title(node)} ({node['name']})"

    def chain(self, number: int) -> list[int] | None:
        """The layers from the item to this one, where each has one before it; else None."""
        found: list[int] = []
        while number != INPUT:
            inputs = self.nodes[number]["inputs"]
            if len(inputs) != 1:
                return None
            found.append(number)
            number = inputs[0]
        return found[::-1]

    def source(self, number: int) -> Grid:
        """The values that a layer with one operand takes."""
        return self.walked.grid(self.nodes[number]["inputs"][0])


def _inside(window: dict[str, Any] | None, axis: int, size: int) -> slice:
    """The places of an axis whose windows have no padding; all where there are none."""
    if window is None:
        return slice(0, size)
    kernel, stride, dilation = (window[key][axis] for key in ("kernel", "stride", "dilation"))
    low = window["padding"][axis][0]
    first = -(-low // stride)
    last = (window["space"][axis] - (kernel - 1) * dilation - 1 + low) // stride
    return slice(first, last + 1) if first <= last < size else slice(0, size)


def is_convolution(node: dict[str, Any]) -> bool:
    """Whether a layer is a convolution whose window is known."""
    return node["window"] is not None and node["kind"].startswith("Conv")


def title(node: dict[str, Any]) -> str:
    """What a layer is called in a sentence, with its size."""
    kind = node["kind"]
    word = TITLES.get(kind) or next(
        (word for prefix, word in PREFIXES.items() if kind.startswith(prefix)), kind
    )
    return f"{word} {node['what']}".strip()


def times(sizes: Iterable[int]) -> str:
    """Sizes in words: 3 × 32 × 32."""
    return " × ".join(map(str, sizes))


def place(position: Sequence[int]) -> str:
    """A place in words: row 3, column 5."""
    axes = AXES.get(len(position), ())
    return ", ".join(f"{axis} {p}" for axis, p in zip(axes, position, strict=False))


def shown(value: float) -> str:
    """A number with four digits and a true minus sign."""
    return f"{value:.4g}".replace("-", "−")


def formula(window: dict[str, Any], axis: int, stride: int | None = None) -> str:
    """The formula of the output size along an axis, with its numbers."""
    low, high = window["padding"][axis]
    size, step = window["space"][axis], stride or window["stride"][axis]
    extent = (window["kernel"][axis] - 1) * window["dilation"][axis] + 1
    return f"⌊({size} + {low} + {high} − {extent}) / {step}⌋ + 1 = {size_of(window, axis, stride)}"


def size_of(window: dict[str, Any], axis: int, stride: int | None = None) -> int:
    """Places of the output along an axis, by the formula, with another stride if one is given."""
    low, high = window["padding"][axis]
    extent = (window["kernel"][axis] - 1) * window["dilation"][axis] + 1
    step = stride or window["stride"][axis]
    return int((window["space"][axis] + low + high - extent) // step + 1)
