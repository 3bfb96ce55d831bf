"""Layer-CAM: each value of the feature maps, weighted by its own slope where that is above 0.

The weights differ from place to place, so that the evidence is finer than Grad-CAM's.

Source: Jiang, Zhang, Hou, Cheng, Wei, "LayerCAM: Exploring Hierarchical Class Activation Maps for
Localization", IEEE Transactions on Image Processing 30, 2021.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from striate.explain.gradcam import maps_and_slopes
from striate.explain.method import EXPLANATIONS, GridExplainable, Method, Unsupported


def _grid(
    network: GridExplainable, inputs: Float[Tensor, "n c *space"], targets: Int[Tensor, " n"]
) -> Float[Tensor, " n *reduced"]:
    """Sum the weighted values over the channels, without negative part."""
    maps, slopes = maps_and_slopes(network, inputs, targets)
    return (slopes.relu() * maps).sum(1).relu()


_NO_GRAPHS = Unsupported("it is defined for the maps of a grid, and this is a graph")

EXPLANATIONS.add("layercam", Method(grid=_grid, graph=_NO_GRAPHS))
