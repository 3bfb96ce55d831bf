"""A memory bank's patches: a coreset of those of good items.

Most patches of good items look like many others. Of a coreset, the patch that is furthest from all
that were taken is taken next, so that a small bank still has one near each that was left out
(PatchCore: Roth et al., CVPR 2022; Sener and Savarese, Active Learning for Convolutional Neural
Networks: A Core-Set Approach, ICLR 2018). Distances are those of random projections, which keep them
about (Johnson and Lindenstrauss).

Axes: p patches, c channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

PROJECTED: Final = 64
"""Numbers of a random projection, by which patches are compared while they are chosen."""

CHECK_EVERY: Final = 50
"""Patches after which it is looked whether to go on."""


def coreset(
    patches: Float[Tensor, "p c"],
    count: int,
    *,
    seed: int,
    check: Callable[[], object] = lambda: None,
) -> Int64[Tensor, " chosen"]:
    """Positions of patches that lie near all others, in the order in which they were taken.

    Each is the one that is furthest from those before, by random projections; the first is drawn.

    Args:
        patches: Features of the patches, one at least.
        count: Number of patches wanted; of fewer all are given.
        seed: Seed of the projection and of the first patch.
        check: Called now and then; what it raises ends the search.
    """
    if count >= len(patches):
        return torch.arange(len(patches), device=patches.device)
    generator = torch.Generator().manual_seed(seed)
    rows = patches
    if patches.shape[1] > PROJECTED:
        projection = torch.randn(patches.shape[1], PROJECTED, generator=generator)
        rows = patches @ (projection / PROJECTED**0.5).to(patches)
    rows = rows - rows.mean(0)
    squares = rows.square().sum(1)
    nearest = torch.full_like(squares, torch.inf)
    place = int(torch.randint(len(rows), (), generator=generator))
    chosen = []
    for number in range(count):
        if number % CHECK_EVERY == 0:
            check()
        chosen.append(place)
        distances = torch.addmv(squares + squares[place], rows, rows[place], alpha=-2)
        torch.minimum(nearest, distances, out=nearest)
        nearest[place] = -torch.inf
        place = int(nearest.argmax())
    return torch.tensor(chosen, device=patches.device)


def spread(
    maps: Float[Tensor, "n c *grid"], count: int, generator: torch.Generator
) -> Float[Tensor, "p c"]:
    """The features of some patches of each item, drawn at random; of fewer all.

    Args:
        maps: Features of every patch.
        count: Number of patches of each item.
        generator: Draws them.
    """
    rows = maps.flatten(2).transpose(1, 2)
    num_patches = rows.shape[1]
    if count >= num_patches:
        return rows.flatten(0, 1)
    kept = [
        item[torch.randperm(num_patches, generator=generator)[:count].to(item.device)]
        for item in rows
    ]
    return torch.cat(kept)
