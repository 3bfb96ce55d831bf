"""Scores and verdicts from a memory bank's distances, and two detectors compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from striate.metrics.intervals import Draws, Weights, bootstrap
from striate.metrics.paired import PairedComparison, mcnemar
from striate.tasks.anomaly.metrics import THRESHOLD, AlarmThreshold, metric_values
from striate.tasks.prediction import Calibration

ODD: Final = "odd"
LIKE_GOOD: Final = "like the good ones"
VERDICTS: Final = (LIKE_GOOD, ODD)
"""What is said of an item; a detector does not promise that an item is good."""


@dataclass(frozen=True, kw_only=True)
class AnomalyCalibration(Calibration):
    """Scores from distances: above 1 an item is odd.

    Attributes:
        good: Name of the class that was learnt from.
        threshold: Distance beyond which an item is odd, and what it promises.
    """

    good: str
    threshold: AlarmThreshold

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The calibration that `to_json` wrote."""
        return cls(good=document["good"], threshold=AlarmThreshold(**document["threshold"]))

    @property
    def _distance(self) -> float:
        """The threshold, which may be 0 where every good item is the same."""
        return max(self.threshold.distance, float(np.finfo(np.float32).tiny))

    def answers(self, outputs: Float[np.ndarray, "n 1"]) -> Float[np.ndarray, " n"]:
        """The scores: distances over that of the threshold."""
        return np.asarray(outputs[:, 0].astype(np.float64) / self._distance)

    def outputs_of(self, answers: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 1"]:
        """Distances."""
        return np.asarray(answers[:, None] * self._distance)

    def module(self) -> nn.Module:
        """Distances to scores."""
        return _Scores(1 / self._distance)

    def outputs(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Distances and scores."""
        promise = self.threshold
        return [
            {"name": "distance", "shape": ["items", 1], "means": "of the oddest patch"},
            {
                "name": "score",
                "shape": ["items"],
                "means": f"{ODD} above {THRESHOLD:g}, else {LIKE_GOOD} ({self.good}); about "
                f"{promise.share:.1%} of good items are above",
                "threshold": THRESHOLD,
                "verdicts": list(VERDICTS),
            },
        ]

    def to_json(self) -> dict[str, Any]:
        """Good class and threshold."""
        return asdict(self)


class _Scores(nn.Module):
    factor: Tensor

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor))

    def forward(self, outputs: Float[Tensor, "n 1"]) -> Float[Tensor, " n"]:
        return outputs[:, 0] * self.factor


def is_odd(scores: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether items of these scores are odd."""
    return np.asarray(scores > THRESHOLD)


def verdict_of(odd: bool) -> str:
    """What is said of an item that is odd, or not."""
    return VERDICTS[int(odd)]


def compare_rows(
    first: Sequence[Mapping[str, str]], second: Sequence[Mapping[str, str]]
) -> PairedComparison:
    """Compare two detectors by their rows of `predictions.csv` for the same items.

    Args:
        first: Rows of the one.
        second: Rows of the other, of the same items in the same order.
    """
    odd = np.array([row["label"] == ODD for row in first])
    scores = [np.array([float(row["score"]) for row in rows]) for rows in (first, second)]

    def difference(weights: Weights) -> dict[str, Draws]:
        of_first, of_second = (metric_values(some, odd, weights) for some in scores)
        return {name: of_second[name] - of_first[name] for name in of_first}

    right = [is_odd(some) == odd for some in scores]
    only_first, only_second = (int((right[k] & ~right[1 - k]).sum()) for k in (0, 1))
    return PairedComparison(
        differences=bootstrap(
            difference,
            odd.astype(np.int64),
            None,
            undefined="there is no such item here",
            figure="difference",
        ),
        better="right only",
        first_better=only_first,
        second_better=only_second,
        lead=only_second - only_first,
        test="McNemar's exact test",
        p_value=mcnemar(only_first, only_second),
    )
