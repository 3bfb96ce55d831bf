"""From a network's outputs to the numbers they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from striate.metrics.prediction_interval import PredictionInterval


@dataclass(frozen=True, kw_only=True)
class NumberCalibration:
    """A network gives standardized numbers: these are `mean + std * output`, with an interval.

    Attributes:
        mean: of the training targets, in their unit.
        std: of the training targets, above 0.
        interval: around each number; None where there were too few held-out items.
    """

    mean: float = 0.0
    std: float = 1.0
    interval: PredictionInterval | None = None

    def numbers(self, outputs: Float[np.ndarray, "n 1"]) -> Float[np.ndarray, " n"]:
        """The numbers, in the targets' unit, in float64."""
        return self.mean + self.std * outputs[:, 0].astype(np.float64)
