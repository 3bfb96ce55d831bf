"""Where the network found evidence for its answer, and whether that holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from striate.errors import ArgumentError
from striate.explain import explain, told_as
from striate.explain.fidelity import checked
from striate.explorer.numbers import packed
from striate.explorer.subjects.subject import Explored

METHODS: Final = ("gradcam", "occlusion")
"""Methods of explanation: the first, which is quick, and what is tried where it does not hold."""

STEPS: Final = 2
"""Points of the curves by which the evidence is checked: at most 20 passes of the network.

They tell as much as more: of 360 maps that mark what counts, in one to three dimensions, 4 points
confirm 356 and 2 points 357, and of 180 maps of noise 8 and 7 (networks of tests/explain)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """What an explanation marks.

    Attributes:
        target: The output that is explained.
        method: Name of the method.
        heat: (*space) The evidence at each place.
        others: Methods that were not tried yet.
    """

    target: int
    method: str
    heat: NDArray[np.float32]
    others: tuple[str, ...] = ()


def evidence(marks: Marks) -> dict[str, Any]:
    """The evidence for an output at each place of an item, not checked yet.

    Args:
        marks: What `marked` found.

    Returns:
        `method`; `heat`, the evidence from 0 to 255 at each place (height, width), of a volume in
        its middle slice; `found`, whether there is any.
    """
    heat = marks.heat
    flat = heat[heat.shape[0] // 2] if heat.ndim == 3 else np.atleast_2d(heat)
    levels = np.rint(255 * flat.clip(0, 1)).astype(np.uint8)
    return {"method": marks.method, "heat": packed(levels), "found": bool(heat.any())}


def verdict(network: Explored, x: torch.Tensor, marks: Marks) -> dict[str, Any]:
    """Whether blanking what is marked changes the output more than blanking at random does.

    Args:
        network: The network, in evaluation mode.
        x: (1, channels, *space) The item as the network takes it.
        marks: What `marked` found.

    Returns:
        `faithful`; null where no evidence was found that could be checked. `then`, the method to
        try where it is not; null where there is none.
    """
    _, faithful = checked(network, x, marks.target, marks.heat, STEPS)
    then = marks.others[0] if faithful is False and marks.others else None
    return {"faithful": faithful, "then": then}


def marked(
    network: Explored, x: torch.Tensor, target: int, methods: Sequence[str] = METHODS
) -> Marks:
    """What the first method marks that suits the network and finds any evidence.

    Args:
        network: The network, in evaluation mode.
        x: (1, channels, *space) The item as the network takes it.
        target: The output that is explained.
        methods: Names of the methods.

    Raises:
        ArgumentError: No method can explain this network.
    """
    why = ""
    for number, method in enumerate(methods, 1):
        try:
            found = explain(network, x, torch.tensor([target]), method)
        except (ArgumentError, RuntimeError, ValueError) as error:
            why = str(error).partition("\n")[0]
            continue
        heat: NDArray[np.float32] = found.heat[0].numpy()
        if heat.any() or number == len(methods):
            told, others = told_as(method, network), tuple(methods[number:])
            return Marks(target=target, method=told, heat=heat, others=others)
    raise ArgumentError("the evidence of this network", why=why)
