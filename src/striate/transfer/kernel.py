"""Kernel probes: linear probes in the space of a Gaussian kernel on frozen features.

A linear probe weighs features one by one; many classes are told apart only by how features go
together. In the coordinates that are made here, an inner product of two items is their similarity
by a Gaussian kernel, so a linear probe there (`striate.transfer.probe`) is a kernel machine.

Axes: n items, f features, m landmarks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor

from striate.models.kernel_machine import (
    KernelHead,
    gaussian_kernel,
    mean_squared_difference,
    standardize,
)
from striate.transfer.probe import LinearProbe, feature_scale

MAX_LANDMARKS: Final = 2000
"""Training items that an input is compared with, at most; chosen at random where there are more."""

_TOGETHER: Final = 4096
"""Items compared with the landmarks at once."""

_SPANNED: Final = 1e-7
"""Axes along which the landmarks vary less than this, relative to the first, are rounding."""


@dataclass(frozen=True, kw_only=True)
class KernelSpace:
    """Coordinates of items by their similarity to landmarks.

    Attributes:
        shift: of the standardization of features.
        scale: likewise; 0 for features that are constant.
        landmarks: standardized features of some items, in float16: half the size of a saved model.
        sharpness: of the kernel exp(-sharpness * mean squared difference).
        axes: from similarities to coordinates.
    """

    shift: Float[Tensor, " f"]
    scale: Float[Tensor, " f"]
    landmarks: Float16[Tensor, "m f"]
    sharpness: float
    axes: Float[Tensor, "m axes"]

    def coordinates(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n axes"]:
        """Of some items, float64."""
        landmarks = self.landmarks.float()
        found = []
        for part in torch.split(features, _TOGETHER):
            standardized = standardize(part, self.shift, self.scale)
            similar = gaussian_kernel(standardized, landmarks, self.sharpness)
            found.append(similar.double() @ self.axes)
        return torch.cat(found)

    def head(self, probe: LinearProbe) -> KernelHead:
        """A probe of the coordinates as a network's head, from features to outputs."""
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
    features: Float[Tensor, "n f"],
    sharpnesses: Sequence[float],
    *,
    max_axes: int = MAX_LANDMARKS,
    seed: int,
) -> Iterator[KernelSpace]:
    """The space of each kernel, its standardization and landmarks taken from some items.

    Args:
        features: of the training items.
        sharpnesses: of the kernels; of two unlike items, the mean squared difference is about 2.
        max_axes: coordinates of an item, at most: those along which the landmarks vary most.
        seed: of the choice of landmarks.
    """
    if len(features) > MAX_LANDMARKS:
        generator = np.random.default_rng(seed)
        features = features[np.sort(generator.choice(len(features), MAX_LANDMARKS, replace=False))]
    mean, scale = feature_scale(features.double().numpy())
    shift, factor = torch.from_numpy(mean).float(), torch.from_numpy(scale).float()
    landmarks = standardize(features, shift, factor).half()
    differences = mean_squared_difference(landmarks.float(), landmarks.float()).double()
    for sharpness in sharpnesses:
        values, vectors = torch.linalg.eigh((-sharpness * differences).exp())
        values, vectors = values[-max_axes:], vectors[:, -max_axes:]
        spanned = values > _SPANNED * values[-1]
        yield KernelSpace(
            shift=shift,
            scale=factor,
            landmarks=landmarks,
            sharpness=sharpness,
            axes=vectors[:, spanned] / values[spanned].sqrt(),
        )
