"""What a network with classifiers on the way gives while it is trained."""

from __future__ import annotations

from typing import Final, NamedTuple

from torch import Tensor

AUXILIARY_WEIGHT: Final = 0.3
"""Of each further loss in the total (Szegedy et al. 2015, arXiv:1409.4842, section 5)."""


class AuxiliaryLogits(NamedTuple):
    """Logits of the last classifier and of those on the way, each (n, classes)."""

    logits: Tensor
    auxiliary: tuple[Tensor, ...]
