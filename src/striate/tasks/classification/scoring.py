"""Probabilities of classes: their calibration, their metrics, and two models compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from striate.files import utf8_text
from striate.metrics.calibration import TemperatureScaling, fit_calibration, softmax
from striate.metrics.conformal import PredictionSets, fit_prediction_sets
from striate.metrics.deciding.aim import Aim
from striate.metrics.deciding.decision import Decision, fit_decision
from striate.metrics.paired import PairedComparison, compare
from striate.tasks.prediction import Calibration

PREFIX = "p_"
"""Begins the name of a class's column of probabilities, so that it is never that of another."""


@dataclass(frozen=True, kw_only=True)
class ClassCalibration(TemperatureScaling, Calibration):
    """Probabilities: softmax(logits / temperature + bias), and sets of classes.

    Attributes:
        sets: Makes prediction sets of the probabilities; None where too few items were held out.
        decision: How answers follow from the probabilities; None where they are the most probable
            classes.
    """

    sets: PredictionSets | None = None
    decision: Decision | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The calibration that `to_json` wrote; earlier versions wrote no sets or decision."""
        sets, decision = document.get("sets"), document.get("decision")
        return cls(
            temperature=document["temperature"],
            bias=tuple(document["bias"]),
            sets=None if sets is None else PredictionSets.from_json(sets),
            decision=None if decision is None else Decision.from_json(decision),
        )

    @classmethod
    def fitted(cls, logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> Self:
        """The calibration that suits held-out items, without prediction sets."""
        return cls(**asdict(fit_calibration(logits, labels)))

    def with_sets(
        self, logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
    ) -> ClassCalibration:
        """The same calibration with the prediction sets that held-out items ask for."""
        return replace(self, sets=fit_prediction_sets(self.answers(logits), labels))

    def deciding(
        self,
        logits: Float[np.ndarray, "n c"],
        labels: Int[np.ndarray, " n"],
        aim: Aim,
        classes: tuple[str, ...],
    ) -> ClassCalibration:
        """The same calibration with the decision that an aim asks for, by held-out items."""
        return replace(self, decision=fit_decision(self.answers(logits), labels, aim, classes))

    def chosen(self, probabilities: Float[np.ndarray, "n c"]) -> Int[np.ndarray, " n"]:
        """The number of the class that each item is taken for."""
        if self.decision is None:
            return np.asarray(probabilities.argmax(1))
        return self.decision.chosen(probabilities)

    def undecided(self, probabilities: Float[np.ndarray, "n c"]) -> list[bool] | list[None]:
        """Whether each item is left undecided; None where every item is answered."""
        if self.decision is None or self.decision.cost_unknown is None:
            return [None] * len(probabilities)
        return list(self.decision.undecided(probabilities).tolist())

    def answers(self, outputs: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        """Calibrated probabilities."""
        return softmax(self.scaled(outputs))

    def outputs_of(self, answers: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        """Logits of these probabilities."""
        floor = np.finfo(np.float64).tiny
        bias = np.array(self.bias) if self.bias else 0.0
        logits: Float[np.ndarray, "n c"] = self.temperature * (
            np.log(np.maximum(answers, floor)) - bias
        )
        return logits

    def without_promises(self) -> ClassCalibration:
        """Without prediction sets."""
        return replace(self, sets=None)

    def module(self) -> nn.Module:
        """Logits to probabilities."""
        return _Probabilities(1 / self.temperature, self.bias or (0.0,))

    def outputs(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Logits and probabilities."""
        shape = ["items", len(classes)]
        return [
            {"name": "logits", "shape": shape, "means": "before calibration"},
            {"name": "probabilities", "shape": shape, "means": "calibrated, by class"},
        ]

    def to_json(self) -> dict[str, Any]:
        """Temperature, shifts, what makes prediction sets, and how it is decided where that is asked."""
        sets = None if self.sets is None else self.sets.to_json()
        known = {"temperature": self.temperature, "bias": list(self.bias), "sets": sets}
        return known if self.decision is None else {**known, "decision": self.decision.to_json()}


class _Probabilities(nn.Module):
    scale: Tensor
    bias: Tensor

    def __init__(self, scale: float, bias: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("bias", torch.tensor(bias))

    def forward(self, logits: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        return (logits * self.scale + self.bias).softmax(-1)


def compare_rows(
    first: Sequence[Mapping[str, str]],
    second: Sequence[Mapping[str, str]],
    classes: Sequence[str],
) -> PairedComparison:
    """Compare two classifiers by their rows of `predictions.csv` for the same items."""
    number = {utf8_text(name): k for k, name in enumerate(classes)}
    labels = np.array([number[row["label"]] for row in first])
    probabilities = [
        np.array([[float(row[PREFIX + name]) for name in number] for row in rows])
        for rows in (first, second)
    ]
    answers = [np.array([number[row["prediction"]] for row in rows]) for rows in (first, second)]
    return compare(probabilities[0], probabilities[1], labels, answers=(answers[0], answers[1]))
