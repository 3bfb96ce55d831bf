"""Occlusion: how much the class's logit falls when a patch of the input is blanked.

Source: Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014. It asks
nothing of the network but its answers.
"""

from __future__ import annotations

from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.explain.gradient import predicted, target_logits
from striate.explain.method import METHODS, Explainable

NUM_WINDOWS = 200
"""About how many places the patch takes, over all axes together."""

_BATCH = 16


def windows(space: tuple[int, ...], num_windows: int = NUM_WINDOWS) -> list[tuple[slice, ...]]:
    """Places of the patch: equally many along each axis, each overlapping half of the next.

    >>> windows((10,), 4)
    [(slice(0, 4, None),), (slice(2, 6, None),), (slice(4, 8, None),), (slice(6, 10, None),)]
    """
    along = max(1, int(num_windows ** (1 / len(space)) + 1e-9))
    axes = []
    for size in space:
        count = min(along, size)
        patch = min(size, -(-2 * size // (count + 1)))
        # Rounded so that the first patch begins with the axis and the last ends with it.
        starts = [round(k * (size - patch) / max(count - 1, 1)) for k in range(count)]
        axes.append([slice(start, start + patch) for start in dict.fromkeys(starts)])
    return list(product(*axes))


def occlusion(
    network: Explainable,
    inputs: Float[Tensor, "n c *space"],
    targets: Int[Tensor, " n"] | None,
) -> Float[Tensor, " n *space"]:
    """The mean fall of the logit over the patches that cover a sample, without its negative part.

    A blank is zero: in normalized inputs the mean of the training items.
    """
    if targets is None:
        targets = predicted(network, inputs)
    heat = torch.stack(
        [_item(network, item, target) for item, target in zip(inputs, targets, strict=True)]
    )
    return heat.relu()


def _item(
    network: Explainable, item: Float[Tensor, " c *space"], target: Int[Tensor, ""]
) -> Float[Tensor, " *space"]:
    """The mean fall at each sample of one item."""
    places = windows(tuple(item.shape[1:]))
    whole = target_logits(network, item[None], target[None])[0]
    fallen = torch.zeros(item.shape[1:], device=item.device)
    covered = torch.zeros_like(fallen)
    for start in range(0, len(places), _BATCH):
        some = places[start : start + _BATCH]
        blanked = item.repeat(len(some), *[1] * item.ndim)
        for copy, place in zip(blanked, some, strict=True):
            copy[:, *place] = 0
        falls = whole - target_logits(network, blanked, target.expand(len(some)))
        for fall, place in zip(falls.float(), some, strict=True):
            fallen[place] += fall
            covered[place] += 1
    return fallen / covered


METHODS.add("occlusion", occlusion)
