"""Grad-CAM++: feature maps weighted so that several places of one class all count.

Where Grad-CAM averages the slopes of a map, this weighs each place by what its second and third
derivatives would be if the class's score were the exponential of the logit, and leaves slopes below
0 out.

Source: Chattopadhyay, Sarkar, Howlader, Balasubramanian, "Grad-CAM++: Generalized Gradient-Based
Visual Explanations for Deep Convolutional Networks", WACV 2018, equations 5, 10 and 19.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.explain.gradcam import maps_and_slopes
from striate.explain.method import EXPLANATIONS, GridExplainable, Method, Unsupported

_TINY: Final = 1e-6
"""Keeps a quotient finite."""


def _grid(
    network: GridExplainable, inputs: Float[Tensor, "n c *space"], targets: Int[Tensor, " n"]
) -> Float[Tensor, " n *reduced"]:
    """Sum the last feature maps by their weights, without negative part."""
    maps, slopes = maps_and_slopes(network, inputs, targets)
    totals = maps.flatten(2).sum(-1).view(*maps.shape[:2], *[1] * (maps.ndim - 2))
    second, third = slopes.square(), slopes.pow(3)
    shares = torch.where(slopes != 0, second / (2 * second + totals * third + _TINY), 0.0)
    weights = (shares * slopes.relu()).flatten(2).sum(-1)
    return torch.einsum("nc,nc...->n...", weights, maps).relu()


_NO_GRAPHS = Unsupported("it is defined for the maps of a grid, and this is a graph")

EXPLANATIONS.add("gradcam-plus-plus", Method(grid=_grid, graph=_NO_GRAPHS))
