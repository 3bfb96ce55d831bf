"""Nystroem features: coordinates in which an inner product is a Gaussian kernel of frozen features.

A linear probe weighs features one by one; many classes are told apart only by how features go
together. In the coordinates that are made here, the inner product of two items is their similarity
by a Gaussian kernel, so a linear probe there (`striate.transfer.probe`) is a kernel machine
(Williams and Seeger, Using the Nystroem Method to Speed Up Kernel Machines, NIPS 2000).

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

from striate.nn.kernel_head import GAUSSIAN, KERNELS, KernelHead, standardize
from striate.transfer.probe import LinearProbe, feature_scale

MAX_LANDMARKS: Final = 2000
"""Largest number of training items that an input is compared with; more are chosen from at random."""

_CHUNK_SIZE: Final = 4096
"""Items compared with the landmarks at once."""

_SPANNED: Final = 1e-7
"""Axes along which the landmarks vary less than this, relative to the first, are rounding."""


@dataclass(frozen=True, kw_only=True)
class KernelSpace:
    """Coordinates of items by their similarity to landmarks.

    Attributes:
        shift: (f,) Means of the features, for their standardization.
        scale: (f,) Inverse standard deviations of the features; 0 for those that are constant.
        landmarks: (m, f) Standardized features of some items, in float16: half the size of a saved
            model.
        gamma: Coefficient of the kernel exp(-gamma * mean difference); scikit-learn's gamma, which
            multiplies summed differences, times f.
        axes: (m, axes) The map from similarities to coordinates.
        kernel: Name of the kernel: gaussian by squared differences, laplacian by absolute ones.
    """

    shift: Float[Tensor, " f"]
    scale: Float[Tensor, " f"]
    landmarks: Float16[Tensor, "m f"]
    gamma: float
    axes: Float[Tensor, "m axes"]
    kernel: str = GAUSSIAN

    def coordinates(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n axes"]:
        """Coordinates of some items, in float64."""
        landmarks = self.landmarks.float()
        found = []
        for part in torch.split(features, _CHUNK_SIZE):
            standardized = standardize(part, self.shift, self.scale)
            differences = KERNELS.get(self.kernel)(standardized, landmarks)
            found.append((-self.gamma * differences).exp().double() @ self.axes)
        return torch.cat(found)

    def head(self, probe: LinearProbe) -> KernelHead:
        """A probe of the coordinates as a network's head, from features to outputs."""
        head = KernelHead(len(self.shift), len(self.landmarks), len(probe.bias), self.kernel)
        with torch.no_grad():
            head.shift.copy_(self.shift)
            head.scale.copy_(self.scale)
            head.landmarks.copy_(self.landmarks)
            head.gamma.fill_(self.gamma)
            head.linear.weight.copy_(probe.weight.double() @ self.axes.T)
            head.linear.bias.copy_(probe.bias)
        return head.eval()


def kernel_spaces(
    features: Float[Tensor, "n f"],
    gammas: Sequence[float],
    *,
    max_axes: int = MAX_LANDMARKS,
    seed: int,
    kernel: str = GAUSSIAN,
) -> Iterator[KernelSpace]:
    """The space of each kernel; standardization and landmarks are taken from the items given.

    Args:
        features: Features of the training items.
        gammas: Coefficients of the kernels; the mean squared difference of two unlike items is
            about 2, the mean absolute one about 1.
        max_axes: Largest number of coordinates: those along which the landmarks vary most.
        seed: Seed of the choice of landmarks.
        kernel: Name of the kernel, one of `striate.nn.kernel_head.KERNELS`.
    """
    if len(features) > MAX_LANDMARKS:
        generator = np.random.default_rng(seed)
        features = features[np.sort(generator.choice(len(features), MAX_LANDMARKS, replace=False))]
    mean, scale = feature_scale(features.double().numpy())
    shift, factor = torch.from_numpy(mean).float(), torch.from_numpy(scale).float()
    landmarks = standardize(features, shift, factor).half()
    differences = KERNELS.get(kernel)(landmarks.float(), landmarks.float()).double()
    for gamma in gammas:
        values, vectors = torch.linalg.eigh((-gamma * differences).exp())
        values, vectors = values[-max_axes:], vectors[:, -max_axes:]
        spanned = values > _SPANNED * values[-1]
        yield KernelSpace(
            shift=shift,
            scale=factor,
            landmarks=landmarks,
            gamma=gamma,
            axes=vectors[:, spanned] / values[spanned].sqrt(),
            kernel=kernel,
        )
