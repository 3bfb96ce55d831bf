"""The loss of labels that are independent of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy:
    """Binary cross entropy, of an item the mean over its labels."""

    def total(
        self, outputs: Float[Tensor, "n labels"], targets: Float[Tensor, "n labels"]
    ) -> Tensor:
        """The sum over the items, in float32."""
        losses = F.binary_cross_entropy_with_logits(outputs.float(), targets, reduction="none")
        return losses.mean(1).sum()

    def weight(self, targets: Float[Tensor, "n labels"]) -> int:
        """The number of items."""
        return len(targets)

    def to(self, device: torch.device) -> Self:
        """The loss itself, which has no tensors."""
        return self
