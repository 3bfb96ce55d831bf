"""Volumes turned to one orientation, by whole axes: nothing is interpolated."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


def canonical(
    array: NDArray[Any], affine: Float[np.ndarray, "4 4"]
) -> tuple[NDArray[Any], tuple[float, float, float]]:
    """The voxels as (depth, height, width): from feet to head, back to front, left to right.

    Each axis takes the place of the direction that it is nearest to, the clearest first, flipped
    where it runs against it. This is nibabel's `as_closest_canonical` (RAS) with the axes in reverse order.

    Args:
        array: (i, j, k) voxels; further axes stay behind.
        affine: from (i, j, k, 1) to millimetres to the right, to the front and to the head.

    Returns:
        A view of the array, and the spacing along (depth, height, width) in millimetres.
    """
    directions = affine[:3, :3]
    spacing = np.sqrt((directions**2).sum(0))
    cosines = directions / np.where(spacing > 0, spacing, 1)
    order, free = [0, 0, 0], [0, 1, 2]  # the axis along each direction; directions left
    clearness = np.abs(cosines).max(0)
    for axis in np.argsort(-clearness, kind="stable").tolist():
        direction = free[int(np.abs(cosines[free, axis]).argmax())]
        free.remove(direction)
        order[direction] = axis
    turned = array.transpose(*reversed(order), *range(3, array.ndim))
    flipped = tuple(2 - d for d, axis in enumerate(order) if cosines[d, axis] < 0)
    right, front, head = (float(spacing[axis]) for axis in order)
    return np.flip(turned, flipped), (head, front, right)
