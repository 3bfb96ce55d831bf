"""What a threshold on a score does: the points of ROC and precision-recall curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

MAX_POINTS: Final = 200
"""Points of a curve that are kept of one with more: no eye sees the difference."""


@dataclass(frozen=True, kw_only=True)
class ThresholdCurve:
    """What is said of items whose score is at least a threshold, for rising thresholds.

    Attributes:
        thresholds: (points,) Distinct scores, ascending.
        found: (points,) Number of the class's items with such a score.
        false_alarms: (points,) Number of other items with such a score.
    """

    thresholds: Float[np.ndarray, " points"]
    found: Int[np.ndarray, " points"]
    false_alarms: Int[np.ndarray, " points"]


def threshold_curve(
    scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]
) -> ThresholdCurve:
    """Count what every threshold finds; of more than `MAX_POINTS`, so many of them evenly.

    Args:
        scores: The score of each item, of one at least.
        positive: Whether each item is of the class.
    """
    thresholds = np.unique(scores)
    if len(thresholds) > MAX_POINTS:
        places = np.linspace(0, len(thresholds) - 1, MAX_POINTS)
        thresholds = thresholds[np.unique(places.round().astype(int))]
    counts = [
        len(some) - np.searchsorted(np.sort(some), thresholds, side="left")
        for some in (scores[positive], scores[~positive])
    ]
    return ThresholdCurve(thresholds=thresholds, found=counts[0], false_alarms=counts[1])
