"""Losses of classes and of numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from striate.nn.heads import AUXILIARY_WEIGHT, AuxiliaryLogits


class Loss(Protocol):
    """What training minimizes: the weighted mean of the items' losses."""

    def total(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The weighted sum over the items, in float32."""

    def weight(self, targets: Tensor) -> Tensor | int:
        """The sum of the items' weights, by which `total` is divided for the mean."""

    def to(self, device: torch.device) -> Self:
        """The same loss with its tensors on a device."""


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Cross entropy of class numbers (n,) or of class probabilities (n, classes).

    Attributes:
        label_smoothing: Share of each target that is spread evenly over the classes.
        class_weights: (classes,) Factor on each class's part of the loss.
    """

    label_smoothing: float = 0.0
    class_weights: Float[Tensor, " classes"] | None = None

    def total(
        self, outputs: Float[Tensor, "n classes"], targets: Shaped[Tensor, "n ..."]
    ) -> Tensor:
        """The weighted sum over the items, in float32."""
        return F.cross_entropy(
            outputs.float(),
            targets,
            weight=self.class_weights,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )

    def weight(self, targets: Shaped[Tensor, "n ..."]) -> Tensor | int:
        """The sum of the targets' class weights."""
        if self.class_weights is None:
            return len(targets)
        if targets.is_floating_point():
            return (targets * self.class_weights).sum()
        return self.class_weights[targets].sum()

    def to(self, device: torch.device) -> Self:
        """The same loss with its class weights on a device."""
        weights = self.class_weights
        return self if weights is None else replace(self, class_weights=weights.to(device))


@dataclass(frozen=True, kw_only=True)
class SquaredError:
    """Squared error of regression values, which should be standardized."""

    def total(self, outputs: Float[Tensor, "n 1"], targets: Float[Tensor, "n 1"]) -> Tensor:
        """The sum over the items, in float32."""
        return F.mse_loss(outputs.float(), targets, reduction="sum")

    def weight(self, targets: Float[Tensor, "n 1"]) -> int:
        """The number of items."""
        return len(targets)

    def to(self, device: torch.device) -> Self:
        """The loss itself, which has no tensors."""
        return self


def total_loss(loss: Loss, outputs: Tensor | AuxiliaryLogits, targets: Tensor) -> Tensor:
    """The loss's sum over the items, plus the weighted ones of auxiliary classifiers."""
    if not isinstance(outputs, AuxiliaryLogits):
        return loss.total(outputs, targets)
    auxiliary = [AUXILIARY_WEIGHT * loss.total(each, targets) for each in outputs.auxiliary]
    return sum(auxiliary, loss.total(outputs.logits, targets))


def balanced_weights(counts: Int64[Tensor, " classes"]) -> Float[Tensor, " classes"]:
    """Class weights that give each class that occurs the same total; an average item weighs 1.

    >>> balanced_weights(torch.tensor([10, 30]))
    tensor([2.0000, 0.6667])
    """
    present = (counts > 0).sum()
    return counts.sum() / (present * counts.clamp(min=1)).float()
