"""A head that compares features with those of training items, the landmarks.

A kernel of the differences says how similar two items are, and a linear layer on the similarities
gives logits (Williams and Seeger, Using the Nystroem Method to Speed Up Kernel Machines, NIPS 2000).

Axes: n items, f features, m landmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.nn.heads import Head
from striate.registry import Registry

LIMIT: Final = 6.0
"""Standardized features are cut off here, so that one odd channel cannot make an item unlike all."""


def mean_squared_difference(
    a: Float[Tensor, "n f"], b: Float[Tensor, "m f"]
) -> Float[Tensor, "n m"]:
    """The mean squared difference of each row of `a` and each of `b`."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    return (lengths - 2 * a @ b.T).clamp(min=0) / a.shape[1]


def mean_absolute_difference(
    a: Float[Tensor, "n f"], b: Float[Tensor, "m f"]
) -> Float[Tensor, "n m"]:
    """The mean absolute difference of each row of `a` and each of `b`."""
    return torch.cdist(a, b, p=1.0) / a.shape[1]


GAUSSIAN: Final = "gaussian"

KERNELS: Final[Registry[Callable[[Tensor, Tensor], Tensor]]] = Registry("kernel")
"""How unlike two items are, by name; a kernel is exp(-gamma * difference)."""

KERNELS.add(GAUSSIAN, mean_squared_difference)
KERNELS.add("laplacian", mean_absolute_difference)


class KernelHead(Head):
    """Similarity to landmarks, and a linear layer on it.

    Args:
        num_features: Number of features of an item that are compared, the first where it has more.
        num_landmarks: Number of landmarks to compare with.
        num_classes: Logits given.
        kernel: Name of the kernel, one of `KERNELS`.

    Attributes:
        shift: (f,) Means of the features, for their standardization.
        scale: (f,) Inverse standard deviations of the features.
        landmarks: (m, f) Standardized features, in float16: half the size of a saved machine.
        gamma: Coefficient of the kernel exp(-gamma * difference).

    Raises:
        UnknownNameError: There is no such kernel.
    """

    shift: Tensor
    scale: Tensor
    landmarks: Tensor
    gamma: Tensor

    def __init__(
        self, num_features: int, num_landmarks: int, num_classes: int, kernel: str = GAUSSIAN
    ) -> None:
        super().__init__()
        self.kernel, self.difference = kernel, KERNELS.get(kernel)
        self.register_buffer("shift", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))
        self.register_buffer(
            "landmarks", torch.zeros(num_landmarks, num_features, dtype=torch.float16)
        )
        self.register_buffer("gamma", torch.ones(()))
        self.linear = nn.Linear(num_landmarks, num_classes)

    def reset(self, num_classes: int) -> None:
        """Refuse: landmarks and classes are learnt together.

        Raises:
            ArgumentError: Always.
        """
        raise ArgumentError("a new head for a kernel machine", fix="fit it to the new items")

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        compared = features[:, : len(self.shift)]
        standardized = standardize(compared, self.shift, self.scale)
        landmarks = self.landmarks.to(standardized.dtype)
        similar = (-self.gamma * self.difference(standardized, landmarks)).exp()
        logits: Tensor = self.linear(similar)
        return logits


def standardize(
    features: Float[Tensor, "n f"], shift: Float[Tensor, " f"], scale: Float[Tensor, " f"]
) -> Float[Tensor, "n f"]:
    """Features as a kernel compares them, cut off at `LIMIT`."""
    return ((features - shift) * scale).clamp(-LIMIT, LIMIT)
