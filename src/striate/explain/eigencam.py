"""Eigen-CAM: the pattern that most of the feature maps share, whatever the class.

It is their first principal component over the places. It needs no gradient and is the same for
every class: it shows what the network responds to, not what is evidence for an answer.

Source: Muhammad, Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020,
with the mean over the places taken off first, as principal components have it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.explain.gradcam import maps_and_slopes
from striate.explain.method import EXPLANATIONS, GridExplainable, Method, Unsupported


def _grid(
    network: GridExplainable, inputs: Float[Tensor, "n c *space"], targets: Int[Tensor, " n"]
) -> Float[Tensor, " n *reduced"]:
    """Project the last feature maps on their first principal component, without negative part.

    The sign, which a component leaves open, is the one with which the maps' own sum rises.
    """
    maps, _ = maps_and_slopes(network, inputs, targets)
    places = maps.flatten(2).transpose(1, 2)
    centred = places - places.mean(1, keepdim=True)
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:, :1]
    shared = (centred * axes).sum(-1)
    rises = (shared * centred.sum(-1)).sum(-1, keepdim=True)
    return torch.where(rises < 0, -shared, shared).relu().view(len(maps), *maps.shape[2:])


_NO_GRAPHS = Unsupported("it is defined for the maps of a grid, and this is a graph")

EXPLANATIONS.add("eigencam", Method(grid=_grid, graph=_NO_GRAPHS))
