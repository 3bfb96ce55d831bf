"""How strange an item is, as a module that an engine's file holds."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.metrics.novelty import NEARLY, NoveltyDetector, unit_length

OUTPUT: Final = "novelty"
"""Name of the output."""


class Novelty(nn.Module):
    """From features to `NoveltyDetector.novelty`, in float32.

    The known items are kept as float32, four times as large as in the run's folder, because engines
    compute products of bytes in their own ways. Items are compared about the middle of the known
    ones, which leaves distances as they are and keeps the digits of small ones.

    Args:
        detector: Of the run.
    """

    columns: Tensor
    shift: Tensor
    scale: Tensor
    axes: Tensor
    mean: Tensor
    weight: Tensor
    threshold: Tensor

    def __init__(self, detector: NoveltyDetector) -> None:
        super().__init__()
        known = detector.known
        axes = known.axes.astype(np.float32) * known.stretch
        for name, values in (
            ("shift", known.shift),
            ("scale", known.scale),
            ("axes", axes),
            ("mean", detector.mean),
            ("weight", 1 / detector.std),
            ("threshold", np.array(detector.threshold)),
        ):
            self.register_buffer(name, _tensor(values))
        self.register_buffer("columns", torch.from_numpy(known.columns.astype(np.int64)))
        self.direct = _Distance(known.reference.astype(np.float32) * known.step)
        self.along = _Distance(known.whitened.astype(np.float32))
        self.middles = _Middles(known.middles.astype(np.float32))

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """Above 0 an item is unlike all that the run learnt from."""
        part = features.index_select(1, self.columns)
        along = ((part - self.shift) * self.scale) @ self.axes
        directions = _unit(along)
        turned, between = self.middles(along, directions)
        found = [self.direct(_unit(part)), self.along(directions), turned, between]
        return ((torch.stack(found, 1) - self.mean) * self.weight).sum(1) - self.threshold


class _Distance(nn.Module):
    """Distance of items from the nearest known one."""

    known: Tensor
    squares: Tensor
    middle: Tensor

    def __init__(self, known: NDArray[np.float32]) -> None:
        super().__init__()
        middle = known.mean(0)
        apart = known - middle
        self.register_buffer("middle", _tensor(middle))
        self.register_buffer("known", _tensor(apart.T))
        self.register_buffer("squares", _tensor(np.square(apart).sum(1)))

    def squared(self, items: Float[Tensor, "n k"]) -> Float[Tensor, "n r"]:
        """Squared distances from every known one."""
        apart = items - self.middle
        own = apart.square().sum(1, keepdim=True)
        return (own + self.squares - 2 * (apart @ self.known)).clamp_min(0)

    def forward(self, items: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
        return self.squared(items).amin(1).sqrt()


class _Middles(nn.Module):
    """How far items are turned from the nearest class's middle, and how much between two they are."""

    turned: Tensor

    def __init__(self, middles: NDArray[np.float32]) -> None:
        super().__init__()
        self.distance = _Distance(middles)
        self.register_buffer("turned", _tensor(unit_length(middles).T))
        self._alone = len(middles) < 2

    def forward(
        self, along: Float[Tensor, "n a"], directions: Float[Tensor, "n a"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        turned = 1 - (directions @ self.turned).amax(1)
        if self._alone:
            return turned, torch.zeros_like(turned)
        squared = self.distance.squared(along) + NEARLY
        nearest = squared.topk(2, dim=1, largest=False).values
        return turned, (nearest[:, 0] / nearest[:, 1]).log()


def _unit(rows: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Rows divided by their length; rows of zeros stay as they are."""
    lengths = rows.square().sum(1, keepdim=True).sqrt()
    return rows / torch.where(lengths > 0, lengths, 1.0)


def _tensor(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
