"""What a detector of odd items says of one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from striate.metrics.intervals import number_text
from striate.tasks.anomaly.metrics import THRESHOLD
from striate.tasks.prediction import Prediction


@dataclass(frozen=True, kw_only=True, eq=False)
class AnomalyPrediction(Prediction):
    """What a detector that knows good items alone says of one item; `label` is its verdict.

    Attributes:
        score: How odd the item is: odd above 1. None of an item that could not be read.
    """

    score: float | None = None

    def numbers(self) -> Float[np.ndarray, " 1"]:
        """The score."""
        return np.array([self.score], np.float64)

    def answer(self, top: int = 1) -> str:
        """The verdict and the score, for a person."""
        if self.score is None:
            return super().answer(top)
        return f"{self.label} (score {number_text(self.score)}; odd above {THRESHOLD:g})"
