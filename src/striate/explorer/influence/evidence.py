"""Where the network found evidence for its answer, and whether that holds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from striate.errors import ArgumentError
from striate.explain import explain
from striate.explain.fidelity import checked
from striate.explorer.numbers import packed
from striate.models import Network

METHODS: Final = ("gradcam", "occlusion")
"""Methods of explanation, the first that suits the network and finds anything."""

STEPS: Final = 4
"""Points of the curves by which the evidence is checked: 40 passes of the network."""


def evidence(network: Network, x: torch.Tensor, target: int) -> dict[str, Any]:
    """The evidence for an output at each place of an item, not checked yet.

    Args:
        network: The network, in evaluation mode.
        x: (1, channels, *space) The item as the network takes it.
        target: The output that is explained.

    Returns:
        `method`; `heat`, the evidence from 0 to 255 at each place (height, width), of a volume in
        its middle slice; `found`, whether there is any.

    Raises:
        ArgumentError: No method can explain this network.
    """
    method, heat = _heat(network, x, target)
    flat = heat[heat.shape[0] // 2] if heat.ndim == 3 else np.atleast_2d(heat)
    levels = np.rint(255 * flat.clip(0, 1)).astype(np.uint8)
    return {"method": method, "heat": packed(levels), "found": bool(heat.any())}


def verdict(network: Network, x: torch.Tensor, target: int) -> dict[str, Any]:
    """Whether blanking what is marked changes the output more than blanking at random does.

    Args:
        network: The network, in evaluation mode.
        x: (1, channels, *space) The item as the network takes it.
        target: The output that is explained.

    Returns:
        `faithful`; null where no evidence was found that could be checked.
    """
    _, heat = _heat(network, x, target)
    _, faithful = checked(network, x, target, heat, STEPS)
    return {"faithful": faithful}


def _heat(network: Network, x: torch.Tensor, target: int) -> tuple[str, NDArray[np.float32]]:
    """The name of the method and the evidence (*space) that it finds."""
    why = ""
    for method in METHODS:
        try:
            found = explain(network, x, torch.tensor([target]), method)
        except (ArgumentError, RuntimeError, ValueError) as error:
            why = str(error).partition("\n")[0]
            continue
        heat: NDArray[np.float32] = found.heat[0].numpy()
        if heat.any() or method == METHODS[-1]:
            return method, heat
    raise ArgumentError("the evidence of this network", why=why)
