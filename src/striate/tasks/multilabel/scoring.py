"""Probabilities of labels: their calibration and thresholds, and two models compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.files import utf8_text
from striate.metrics.intervals import Draws, Weights, bootstrap
from striate.metrics.paired import PairedComparison, signed_rank, signed_rank_sum
from striate.tasks.multilabel.labels import membership, split_labels
from striate.tasks.multilabel.metrics import UNDEFINED, metric_values
from striate.tasks.prediction import Calibration

PREFIX: Final = "p_"
"""Begins the name of a label's column of probabilities, so that it is never that of another."""

MIN_ITEMS: Final = 10
"""Held-out items with a label, and as many without it, that its calibration and threshold need."""

DEFAULT_THRESHOLD: Final = 0.5
"""Threshold of a label with too few held-out items to choose one."""

_SMALLEST_REST: Final = float(np.finfo(np.float64).epsneg)
"""What a probability falls short of 1 by, at least, where its logit is taken."""

_MAX_LOG_SCALE: Final = float(np.log(100))


@dataclass(frozen=True, kw_only=True)
class LabelCalibration(Calibration):
    """Probabilities: sigmoid(scale * logit + bias), and from which on a label is predicted.

    Attributes:
        scale: (labels,) Factor on the logit of each label, above 0.
        bias: (labels,) Shift of each label.
        thresholds: (labels,) Probability from which on each label is predicted.
    """

    scale: tuple[float, ...]
    bias: tuple[float, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def fitted(
        cls, logits: Float[np.ndarray, "n labels"], members: Bool[np.ndarray, "n labels"]
    ) -> Self:
        """The calibration and the thresholds that suit held-out items.

        Args:
            logits: Outputs of the items.
            members: Whether each item has each label.
        """
        exact = logits.astype(np.float64)
        shared = _fit(exact, members, shifted=False) if _enough(members) else (1.0, 0.0)
        pairs = [
            _fit(exact[:, k], has, shifted=True) if _enough(has) else shared
            for k, has in enumerate(members.T)
        ]
        scale, bias = (tuple(numbers) for numbers in zip(*pairs, strict=True))
        probabilities = _sigmoid(exact * np.array(scale) + np.array(bias))
        thresholds = tuple(map(best_threshold, probabilities.T, members.T))
        return cls(scale=scale, bias=bias, thresholds=thresholds)

    def scaled(self, outputs: Float[np.ndarray, "n labels"]) -> Float[np.ndarray, "n labels"]:
        """Calibrated logits, in float64."""
        exact = outputs.astype(np.float64)
        return np.asarray(exact * np.array(self.scale) + np.array(self.bias))

    def answers(self, outputs: Float[np.ndarray, "n labels"]) -> Float[np.ndarray, "n labels"]:
        """Calibrated probabilities."""
        return np.asarray(_sigmoid(self.scaled(outputs)))

    def outputs_of(self, answers: Float[np.ndarray, "n labels"]) -> Float[np.ndarray, "n labels"]:
        """Logits of these probabilities."""
        floor = np.finfo(np.float64).tiny
        odds = np.log(np.maximum(answers, floor)) - np.log(np.maximum(1 - answers, _SMALLEST_REST))
        return np.asarray((odds - np.array(self.bias)) / np.array(self.scale))

    def decided(self, probabilities: Float[np.ndarray, "n labels"]) -> Bool[np.ndarray, "n labels"]:
        """Whether each label is predicted."""
        return np.asarray(probabilities >= np.array(self.thresholds))

    def module(self) -> nn.Module:
        """Logits to probabilities."""
        return _Probabilities(self.scale, self.bias)

    def outputs(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Logits and probabilities, with the thresholds of the labels."""
        shape = ["items", len(classes)]
        means = "calibrated, by label; a label is predicted from its threshold on"
        return [
            {"name": "logits", "shape": shape, "means": "before calibration"},
            {
                "name": "probabilities",
                "shape": shape,
                "means": means,
                "thresholds": dict(zip(classes, self.thresholds, strict=True)),
            },
        ]

    def to_json(self) -> dict[str, Any]:
        """Scales, shifts and thresholds."""
        return {name: list(numbers) for name, numbers in asdict(self).items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The calibration that `to_json` wrote."""
        return cls(**{name: tuple(numbers) for name, numbers in document.items()})


class _Probabilities(nn.Module):
    scale: Tensor
    bias: Tensor

    def __init__(self, scale: Sequence[float], bias: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("bias", torch.tensor(bias))

    def forward(self, logits: Float[Tensor, "n labels"]) -> Float[Tensor, "n labels"]:
        return (logits * self.scale + self.bias).sigmoid()


def cross_entropies(
    logits: Float[np.ndarray, "n labels"], members: Bool[np.ndarray, "n labels"]
) -> Float[np.ndarray, "n labels"]:
    """The binary cross entropy of each label of each item, in nats."""
    return np.asarray(np.logaddexp(0, np.where(members, -logits, logits)))


def best_threshold(probabilities: Float[np.ndarray, " n"], has: Bool[np.ndarray, " n"]) -> float:
    """The threshold with the highest F1 on these items, a half where that is as good.

    Between two probabilities that are equally good it lies half-way. It is `DEFAULT_THRESHOLD`
    where fewer than `MIN_ITEMS` items have the label, or lack it.

    Args:
        probabilities: Probability of a label for each item.
        has: Whether each item has the label.

    >>> p = np.linspace(0.05, 0.95, 40)
    >>> round(best_threshold(p, p > 0.3), 3), best_threshold(p, p > 0.9)
    (0.292, 0.5)
    """
    if not _enough(has):
        return DEFAULT_THRESHOLD
    order = np.argsort(-probabilities, kind="stable")
    falling, found = probabilities[order], np.cumsum(has[order])
    ends = np.flatnonzero(np.append(np.diff(falling) != 0, True))
    f1 = 2 * found[ends] / (ends + 1 + has.sum())
    upper, lower = falling[ends], np.append(falling[ends[1:]], 0.0)
    held = (lower < DEFAULT_THRESHOLD) & (upper >= DEFAULT_THRESHOLD)
    between = np.where(held, DEFAULT_THRESHOLD, (upper + lower) / 2)
    best = between[f1 > f1.max() - 1e-12]
    return float(best[np.abs(best - DEFAULT_THRESHOLD).argmin()])


def compare_rows(
    first: Sequence[Mapping[str, str]],
    second: Sequence[Mapping[str, str]],
    classes: Sequence[str],
) -> PairedComparison:
    """Compare two models by their rows of `predictions.csv` for the same items."""
    names = [utf8_text(name) for name in classes]
    truth = membership([split_labels(row["labels"]) for row in first], names)
    decided = [
        membership([split_labels(row["prediction"]) for row in rows], names)
        for rows in (first, second)
    ]
    probabilities = [
        np.array([[float(row[PREFIX + name]) for name in names] for row in rows])
        for rows in (first, second)
    ]
    wrong = [(said != truth).sum(1) for said in decided]

    def difference(weights: Weights) -> dict[str, Draws]:
        of_first, of_second = (
            metric_values(p, said, truth, weights)
            for p, said in zip(probabilities, decided, strict=True)
        )
        return {name: of_second[name] - of_first[name] for name in of_first}

    gains = (wrong[0] - wrong[1]).astype(np.float64)
    return PairedComparison(
        differences=bootstrap(
            difference,
            np.zeros(len(truth), np.int64),
            None,
            undefined=UNDEFINED,
            figure="difference",
        ),
        better="fewer wrong labels",
        first_better=int((gains < 0).sum()),
        second_better=int((gains > 0).sum()),
        lead=signed_rank_sum(gains),
        test="Wilcoxon's signed-rank test",
        p_value=signed_rank(gains),
    )


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of logits, exact to the last digits for small ones too."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))


def _enough(has: NDArray[np.bool_]) -> bool:
    return bool(has.sum() >= MIN_ITEMS and (~has).sum() >= MIN_ITEMS)


def _fit(
    logits: NDArray[np.float64], has: NDArray[np.bool_], *, shifted: bool
) -> tuple[float, float]:
    """Scale and shift of the lowest loss, both held near 1 and 0 by a unit normal prior.

    Certainty is never asked for: the targets lie inside of (0, 1), as far as there are items.

    Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999.
    """
    num_with, num_without = has.sum(), (~has).sum()
    from scipy.optimize import minimize  # slow to import

    target = np.where(has, (num_with + 1) / (num_with + 2), 1 / (num_without + 2))

    def objective(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale, bias = np.exp(values[0]), values[1] if shifted else 0.0
        scaled = logits * scale + bias
        loss = float((np.logaddexp(0, scaled) - target * scaled).sum() + values @ values / 2)
        wrong = _sigmoid(scaled) - target
        slopes = np.array([(wrong * logits).sum() * scale, wrong.sum() if shifted else 0.0])
        return loss, slopes + values

    bounds = [(-_MAX_LOG_SCALE, _MAX_LOG_SCALE), (None, None)]
    best = minimize(objective, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(best.x[0])), float(best.x[1]) if shifted else 0.0
