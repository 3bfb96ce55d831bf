"""A trained network together with all it needs to answer for an item."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from striate.data.symmetry import views_of
from striate.metrics import Calibration
from striate.models import Network
from striate.nn.layout import channels_last
from striate.transfer.features import prepare

BATCH_SIZE = 8
"""Items computed together. Always this many, so that a result does not depend on its company."""


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """From pixels to calibrated probabilities.

    Attributes:
        network: on its device, in float32 and evaluation mode.
        symmetry: name of the set of symmetries whose logits are averaged.
        calibration: makes probabilities of logits.
        device: where to compute.
    """

    network: Network
    symmetry: str
    calibration: Calibration
    device: torch.device

    def logits(self, pixels: UInt8[Tensor, "n c s s"]) -> Float[Tensor, "n classes"]:
        """Uncalibrated logits, in float32: the mean over the symmetries."""
        outputs = []
        for part in torch.split(pixels, BATCH_SIZE):
            inputs = self.network.preprocessing.normalize(_filled(part).to(self.device))
            with torch.inference_mode():
                views = [self._folded(channels_last(v)) for v in views_of(inputs, self.symmetry)]
                outputs.append(torch.stack(views).mean(0)[: len(part)].cpu())
        return torch.cat(outputs)

    def stream(self, pixels: Iterable[UInt8[Tensor, "c s s"]]) -> Float[Tensor, "n classes"]:
        """Uncalibrated logits of items that come one by one."""
        outputs = []
        items = iter(pixels)
        while batch := list(islice(items, BATCH_SIZE)):
            outputs.append(self.logits(torch.stack(batch)))
        return torch.cat(outputs) if outputs else torch.empty(0, self.network.config.num_classes)

    def probabilities(self, logits: Float[Tensor, "n classes"]) -> Float[np.ndarray, "n classes"]:
        """Calibrated probabilities, in float64."""
        return self.calibration.probabilities(logits.numpy())

    @cached_property
    def _folded(self) -> nn.Module:
        """The network with its batch norms folded, which changes nothing but rounding."""
        config = self.network.config
        side = max(self.network.least_size, 32)
        generator = torch.Generator().manual_seed(0)
        shape = (1, config.in_channels, *[side] * config.rank)
        example = torch.randn(shape, generator=generator).to(self.device)
        return prepare(self.network, example, torch.float32)


def _filled(pixels: Tensor) -> Tensor:
    """The batch brought to `BATCH_SIZE` with copies of its first item."""
    missing = BATCH_SIZE - len(pixels)
    return torch.cat([pixels, pixels[:1].expand(missing, *pixels.shape[1:])]) if missing else pixels
