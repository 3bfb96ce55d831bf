"""The effective receptive field: how much each position of the input really moves an output.

Luo et al., Understanding the Effective Receptive Field in Deep Convolutional Neural Networks
(NeurIPS 2016): gradients of the central output fall off like a Gaussian well inside the
theoretical field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.analysis.walk import evaluating_plainly
from striate.errors import ArgumentError


@dataclass(frozen=True, kw_only=True, eq=False)
class EffectiveField:
    """How much each position of the input moves one output, by default the central one.

    Attributes:
        weight: (*space) mean magnitude of the gradient; sums to 1.
    """

    weight: NDArray[np.float64]

    def size(self, share: float = 0.95) -> tuple[int, ...]:
        """For each axis, the shortest run of positions that holds `share` of the weight."""
        axes = range(self.weight.ndim)
        return tuple(
            _shortest_run(self.weight.sum(axis=tuple(a for a in axes if a != axis)), share)
            for axis in axes
        )

    def picture(self) -> NDArray[np.uint8]:
        """An image (height, width) whose largest weight is white; a volume is summed over its first axis.

        Brightness is the square root of the weight, so that the tails can be seen.
        """
        flat = self.weight.sum(axis=0) if self.weight.ndim == 3 else np.atleast_2d(self.weight)
        brightness: NDArray[np.uint8] = np.rint(255 * np.sqrt(flat / flat.max())).astype(np.uint8)
        return brightness


def effective_field(
    model: nn.Module,
    inputs: Float[Tensor, "n c *space"],
    features: Callable[[Tensor], Tensor] | None = None,
    position: Sequence[int] | None = None,
) -> EffectiveField:
    """Back-propagate from one place of the last feature map, by default its middle, to the input.

    Args:
        model: The network, run in evaluation mode.
        inputs: Items to average over: real ones, or normal noise.
        features: Gives the feature map (n, channels, *space); None is the model's own
            `forward_features`, or the model where it has none.
        position: The place on the feature map along each axis; None is its middle.

    Raises:
        ArgumentError: The features are no map of the input's rank, it has no such place, or no
            gradient comes back.
    """
    run: Any = features or getattr(model, "forward_features", model)
    x = inputs.detach().clone().requires_grad_(True)
    with evaluating_plainly(model), torch.enable_grad():
        y: Tensor = run(x)
        if y.ndim != x.ndim:
            raise ArgumentError(
                f"features of {y.ndim} axes for an input of {x.ndim}",
                why="the effective field is that of the middle of a feature map",
                fix="pass features=, a function that gives the map",
            )
        probe = torch.zeros_like(y[0, 0])
        place = tuple(n // 2 for n in probe.shape) if position is None else tuple(position)
        if len(place) != probe.ndim or not all(
            0 <= p < n for p, n in zip(place, probe.shape, strict=True)
        ):
            raise ArgumentError(f"position={place}", why=f"the map has {tuple(probe.shape)} places")
        probe[place] = 1
        (gradient,) = torch.autograd.grad((y * probe).sum(), x)
    weight = gradient.abs().double().mean(dim=(0, 1)).cpu().numpy()
    if not weight.sum() > 0:
        raise ArgumentError("no gradient reaches the input", fix="use other weights or inputs")
    return EffectiveField(weight=weight / weight.sum())


def _shortest_run(weight: NDArray[np.float64], share: float) -> int:
    """Length of the shortest run that holds `share` of the sum."""
    total = np.concatenate([[0.0], np.cumsum(weight)])
    # For each start, the first end at which the run holds enough; a hair under, for rounding.
    enough = total[:-1] + share * total[-1] * (1 - 1e-12)
    ends = np.searchsorted(total, enough)
    reached = ends < len(total)
    return int((ends - np.arange(len(weight)))[reached].min())
