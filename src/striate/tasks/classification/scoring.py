"""Probabilities of classes: their calibration, their metrics, and two models compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from striate.files import utf8_text
from striate.metrics.calibration import TemperatureScaling, fit_calibration, softmax
from striate.metrics.conformal import (
    PENALTY,
    SHARE,
    PredictionSets,
    fit_prediction_sets,
    set_scores,
)
from striate.metrics.deciding.aim import Aim
from striate.metrics.deciding.decision import Decision, fit_decision
from striate.metrics.paired import PairedComparison, compare
from striate.tasks.prediction import Calibration, Promise

PREFIX = "p_"
"""Begins the name of a class's column of probabilities, so that it is never that of another."""

ROUNDING: Final = 1e-5
"""What sums of probabilities in float32 may be off by."""


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

    @property
    def promise(self) -> ClassSets | None:
        """The prediction sets."""
        if self.sets is None:
            return None
        return ClassSets(sets=self.sets, scale=1 / self.temperature, bias=self.bias or (0.0,))

    def without_promises(self) -> ClassCalibration:
        """Without prediction sets."""
        return replace(self, sets=None)

    def module(self) -> nn.Module:
        """Logits to probabilities."""
        return _Probabilities(1 / self.temperature, self.bias or (0.0,))

    def outputs(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Logits and probabilities, with how the answer follows from these."""
        shape = ["items", len(classes)]
        decision = self.decision or Decision(weights=(1.0,) * len(classes))
        means = (
            "calibrated, by class; the class whose product with its weight is largest is answered"
        )
        if decision.cost_unknown is not None:
            means += ", or none where the other products sum to more than cost_unknown"
        return [
            {"name": "logits", "shape": shape, "means": "before calibration"},
            {
                "name": "probabilities",
                "shape": shape,
                "means": means,
                "weights": list(decision.weights),
                "cost_unknown": decision.cost_unknown,
            },
        ]

    def to_json(self) -> dict[str, Any]:
        """Temperature, shifts, what makes prediction sets, and how it is decided where that is asked."""
        sets = None if self.sets is None else self.sets.to_json()
        known = {"temperature": self.temperature, "bias": list(self.bias), "sets": sets}
        return known if self.decision is None else {**known, "decision": self.decision.to_json()}


@dataclass(frozen=True, kw_only=True)
class ClassSets(Promise):
    """Prediction sets: whether each class is in the set of an item.

    Attributes:
        sets: Makes them of probabilities.
        scale: Factor on logits.
        bias: Shift of each class, or of all.
    """

    name: ClassVar = "set"
    sets: PredictionSets
    scale: float
    bias: tuple[float, ...]

    def output(self, classes: Sequence[str]) -> dict[str, Any]:
        """A yes or no for each class."""
        share = f"{self.sets.level:.0%}"
        return {
            "name": self.name,
            "shape": ["items", len(classes)],
            "means": f"the classes among which the true one is, for {share} of new items",
            "type": "bool",
            "level": self.sets.level,
            "items": self.sets.num_items,
        }

    def module(self) -> nn.Module:
        """Logits to sets."""
        return _Members(self.scale, self.bias, self.sets.thresholds)

    def of(self, answers: Float[np.ndarray, "n c"]) -> Bool[np.ndarray, "n c"]:
        """The sets of items with these probabilities."""
        return self.sets.members(answers)

    def read(self, told: Sequence[Any], classes: Sequence[str]) -> Bool[np.ndarray, " c"]:
        """Whether each class is among those that are named."""
        return np.array([name in told for name in classes])

    def same(
        self, expected: Bool[np.ndarray, "n c"], got: Bool[np.ndarray, "n c"]
    ) -> Bool[np.ndarray, " n"]:
        """Whether every class is in both sets or in neither."""
        return np.asarray((expected == got).all(1))

    def follows(
        self, answers: Float[np.ndarray, "n c"], got: Bool[np.ndarray, "n c"]
    ) -> Bool[np.ndarray, " n"]:
        """Whether the set is that of these probabilities, but for scores at the threshold."""
        limits = np.array([np.inf if limit is None else limit for limit in self.sets.thresholds])
        near = np.abs(set_scores(answers) - limits) <= ROUNDING
        return np.asarray(((self.of(answers) == got) | near).all(1))


class _Members(nn.Module):
    """`PredictionSets.members` of logits; classes are ranked before small probabilities become 0."""

    scale: Tensor
    bias: Tensor
    limits: Tensor
    before: Tensor

    def __init__(
        self, scale: float, bias: Sequence[float], thresholds: Sequence[float | None]
    ) -> None:
        super().__init__()
        always = float(np.finfo(np.float32).max)
        limits = [always if limit is None else limit for limit in thresholds]
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("bias", torch.tensor(bias))
        self.register_buffer("limits", torch.tensor(limits))
        self.register_buffer("before", torch.arange(len(limits), dtype=torch.float32))

    def forward(self, logits: Float[Tensor, "n c"]) -> Bool[Tensor, "n c"]:
        scaled, order = (logits * self.scale + self.bias).sort(dim=1, descending=True)
        ranked = scaled.softmax(1)
        scores = ranked.cumsum(1) - (1 - SHARE) * ranked + PENALTY * self.before
        inside = (scores <= self.limits[order]) | (self.before == 0)
        numbers = inside.to(logits.dtype)
        return torch.zeros_like(logits).scatter(1, order, numbers) > 0.5


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
