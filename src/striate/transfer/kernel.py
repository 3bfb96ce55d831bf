"""Kernel probes: linear probes in the space of a Gaussian kernel on frozen features.

A linear probe weighs features one by one; many classes are told apart only by how features go
together. In the coordinates that are made here, an inner product of two items is their similarity
by a Gaussian kernel, so a linear probe there (`striate.transfer.probe`) is a kernel machine.

Where labels do not depend on a set of symmetries, items may be given in several views. The kernel is
then the mean over all pairs of views, and knows of the symmetries without a single further item
(Haasdonk and Burkhardt, Invariant kernel functions for pattern analysis and machine learning, Machine
Learning 2007).

Axes: v views, n items, f features, m landmarks (views one after the other).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from striate.models.kernel_machine import (
    LIMIT,
    KernelHead,
    gaussian_kernel,
    mean_squared_difference,
)
from striate.transfer.probe import LinearProbe, feature_scale

MAX_LANDMARKS: Final = 2000
"""Training items that an input is compared with, at most; chosen at random where there are more."""

_NUMBERS: Final = 4_000_000
"""Coordinates of all items together, at most: what a probe is fitted to within seconds."""

_SPANNED: Final = 1e-7
"""Axes along which the landmarks vary less than this, relative to the first, are rounding."""


@dataclass(frozen=True, kw_only=True)
class KernelSpace:
    """Coordinates of items by their similarity to landmarks.

    Attributes:
        shift: of the standardization of features.
        scale: likewise; 0 for features that are constant.
        landmarks: standardized features of the views of some items.
        sharpness: of the kernel exp(-sharpness * mean squared difference).
        axes: from similarities to coordinates.
    """

    shift: Float[Tensor, " f"]
    scale: Float[Tensor, " f"]
    landmarks: Float[Tensor, "m f"]
    sharpness: float
    axes: Float[Tensor, "m axes"]

    def coordinates(self, views: Float[Tensor, "v n f"]) -> Float[Tensor, "n axes"]:
        """Of some items by their features in every view, float64."""
        similar = [
            gaussian_kernel(
                _standardized(view, self.shift, self.scale), self.landmarks, self.sharpness
            )
            for view in views
        ]
        return torch.stack(similar).double().mean(0) @ self.axes

    def head(self, probe: LinearProbe) -> KernelHead:
        """A probe of the coordinates as a network's head, from one view's features to outputs.

        The mean of its outputs over the views is what the probe says.
        """
        classes = len(probe.bias)
        head = KernelHead(len(self.shift), len(self.landmarks), classes)
        with torch.no_grad():
            head.shift.copy_(self.shift)
            head.scale.copy_(self.scale)
            head.landmarks.copy_(self.landmarks)
            head.sharpness.fill_(self.sharpness)
            head.linear.weight.copy_(probe.weight.double() @ self.axes.T)
            head.linear.bias.copy_(probe.bias)
        return head.eval()


def kernel_spaces(
    views: Float[Tensor, "v n f"], sharpnesses: Sequence[float], *, seed: int
) -> Iterator[KernelSpace]:
    """The space of each kernel, its standardization and landmarks taken from some items.

    Args:
        views: features of the training items in every view.
        sharpnesses: of the kernels; of two unlike items, the mean squared difference is about 2.
        seed: of the choice of landmarks.
    """
    num_views, num_items = views.shape[:2]
    mean, scale = feature_scale(views[0].double().numpy())
    shift, factor = torch.from_numpy(mean).float(), torch.from_numpy(scale).float()
    chosen = np.arange(num_items)
    if num_items > MAX_LANDMARKS:
        generator = np.random.default_rng(seed)
        chosen = np.sort(generator.choice(num_items, MAX_LANDMARKS, replace=False))
    landmarks = _standardized(views[:, chosen].flatten(0, 1), shift, factor)
    differences = mean_squared_difference(landmarks, landmarks).double()
    num_axes = min(len(chosen), max(1, _NUMBERS // num_items))
    for sharpness in sharpnesses:
        kernel = (-sharpness * differences).exp()
        pairs = kernel.view(num_views, len(chosen), num_views, len(chosen))
        values, vectors = torch.linalg.eigh(pairs.mean((0, 2)))
        values, vectors = values[-num_axes:], vectors[:, -num_axes:]
        spanned = values > _SPANNED * values[-1]
        yield KernelSpace(
            shift=shift,
            scale=factor,
            landmarks=landmarks,
            sharpness=sharpness,
            axes=(vectors[:, spanned] / values[spanned].sqrt()).repeat(num_views, 1) / num_views,
        )


def _standardized(features: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return ((features - shift) * scale).clamp(-LIMIT, LIMIT)
