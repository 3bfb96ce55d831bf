"""The effective receptive field of a unit of any layer: what of the item really moves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from striate.analysis import effective_field
from striate.errors import ArgumentError
from striate.explorer.numbers import packed
from striate.explorer.subjects.subject import Explored
from striate.explorer.walked import Walked

SHARE: Final = 0.95
"""How much of the influence lies in the size that is told."""


def effective(
    network: Explored, walked: Walked, number: int, position: Sequence[int]
) -> dict[str, Any]:
    """The influence of each place of the item on a unit, in all its channels together.

    Args:
        network: The network, which is run once more, with gradients.
        walked: The item that goes through it.
        number: The layer.
        position: The unit, along each axis of space.

    Returns:
        `levels`, a picture (height, width) whose level is the square root of the influence, of a
        volume summed over its slices; `size`, the shortest run along each axis that has 95 % of it.

    Raises:
        ArgumentError: The layer has no such unit, or nothing of the item moves it.
    """
    grid = walked.grid(number)
    grid.check(0, position)
    module, call = _module_of(walked, number)
    seen: list[Tensor] = []

    def features(x: Tensor) -> Tensor:
        # A copy, for the layer that follows may write over the output.
        hook = module.register_forward_hook(lambda _, __, y: seen.append(y.clone()))
        try:
            network(x)
        finally:
            hook.remove()
        return seen[call].movedim(-1, 1) if grid.channels_last else seen[call]

    field = effective_field(network, walked.x, features, position)
    return {"levels": packed(field.picture()), "size": list(field.size(SHARE)), "share": SHARE}


def _module_of(walked: Walked, number: int) -> tuple[torch.nn.Module, int]:
    """The module of a layer, and which of its calls the layer is."""
    module = walked.found[number].module
    if module is None:
        kind = walked.found[number].layer.kind
        raise ArgumentError(f"layer {number}", why=f"{kind} is a function; choose one beside it")
    calls = [n for n, each in enumerate(walked.found) if each.module is module]
    return module, calls.index(number)
