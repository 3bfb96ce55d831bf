"""The report on several labels: what it holds, and how it comes from the test items."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from striate.metrics.intervals import Estimate
from striate.report.facts import NUM_MISTAKES, EvaluatedItems, RunFacts
from striate.report.schema import Mistake, Record, RunReport, Text
from striate.tasks.multilabel.metrics import MultilabelFigures, evaluate
from striate.tasks.multilabel.scoring import DEFAULT_THRESHOLD


class Figures(Record):
    """The metrics on the test items, of the model or of something simpler."""

    map: Estimate
    micro_f1: Estimate
    macro_f1: Estimate
    roc_auc: Estimate


class Baselines(Record):
    """What the model must beat.

    Attributes:
        shares: Always the shares of the labels in training, hence always the same labels.
        probe: A linear classifier for each label on the frozen features; None where there was
            none.
    """

    shares: Figures
    probe: Figures | None


class LabelReport(Record):
    """The figures of one label on the test items.

    Attributes:
        threshold: Probability from which on the label is predicted.
        scale: Factor on its logit in the calibration.
        bias: Shift of its logit in the calibration.
    """

    name: Text
    support: int
    num_predicted: int
    num_correct: int
    average_precision: Estimate
    roc_auc: Estimate
    precision: float
    recall: float
    f1: float
    threshold: float
    scale: float
    bias: float


class LabelMistake(Mistake):
    """A test item with a wrong label.

    Attributes:
        label: The label that is most certainly wrong.
        said: Whether it was predicted, and the item has it not; else it was missed.
        probability: The probability that the model gave it.
        labels: The labels that the item has.
        prediction: The labels that were predicted.
    """

    label: Text
    said: bool
    probability: float
    labels: tuple[Text, ...]
    prediction: tuple[Text, ...]


class WithoutLeaks(Record):
    """The figures on the test items that have no copy in the other splits."""

    num_items: int
    test: Figures


class MultilabelReport(RunReport):
    """The evaluation of predicted labels.

    Attributes:
        worst_mistakes: The most certain first, one for each item.
        leaks: How the figures change without items that leaked; None where none did.
    """

    task_kind: Literal["multilabel"] = "multilabel"
    test: Figures
    per_class: tuple[LabelReport, ...]
    baselines: Baselines
    worst_mistakes: tuple[LabelMistake, ...]
    leaks: WithoutLeaks | None


def build_report(facts: RunFacts, test: EvaluatedItems, *, seed: int = 0) -> MultilabelReport:
    """Evaluate the test items and put everything into one report.

    Args:
        facts: What there is to say of the run apart from its test items.
        test: The items, whose truth says which labels they have; one at least.
        seed: Seed of the bootstrap.

    Raises:
        ArgumentError: There are no items, or the arrays do not fit together.
    """

    def simple(probabilities: Float[np.ndarray, "n labels"]) -> Figures:
        decided = probabilities >= DEFAULT_THRESHOLD
        found = evaluate(probabilities, decided, test.truth, test.groups, seed=seed)
        return Figures(**found.metrics)

    calibration = test.calibration
    result = _evaluated(test, seed)
    settings = zip(calibration.thresholds, calibration.scale, calibration.bias, strict=True)
    rows: list[dict[str, Any]] = [
        {"name": name, **vars(of_label), "threshold": threshold, "scale": scale, "bias": bias}
        for name, of_label, (threshold, scale, bias) in zip(
            facts.classes, result.per_label, settings, strict=True
        )
    ]
    return MultilabelReport(
        **facts.fields(),
        test=Figures(**result.metrics),
        per_class=tuple(LabelReport(**row) for row in rows),
        baselines=Baselines(
            shares=simple(np.tile(test.constant, (len(test.ids), 1))),
            probe=None if test.probe is None else simple(test.probe),
        ),
        worst_mistakes=_worst_mistakes(facts, test),
        leaks=_without_leaks(test, seed),
    )


def _evaluated(test: EvaluatedItems, seed: int) -> MultilabelFigures:
    probabilities = test.calibration.answers(test.outputs)
    decided = test.calibration.decided(probabilities)
    return evaluate(probabilities, decided, test.truth, test.groups, seed=seed)


def _worst_mistakes(facts: RunFacts, test: EvaluatedItems) -> tuple[LabelMistake, ...]:
    """The items with the most certain wrong label, the most certain first."""
    probabilities = test.calibration.answers(test.outputs)
    decided = test.calibration.decided(probabilities)
    thresholds = np.array(test.calibration.thresholds)
    # Each side of a threshold on its own scale, from 0 at the threshold to 1 at full certainty.
    over = (probabilities - thresholds) / np.maximum(1 - thresholds, 1e-12)
    under = (thresholds - probabilities) / np.maximum(thresholds, 1e-12)
    certainty = np.where(decided != test.truth, np.where(decided, over, under), -np.inf)
    worst = certainty.max(1)
    order = np.argsort(-worst, kind="stable")[:NUM_MISTAKES]

    def names(members: np.ndarray) -> tuple[str, ...]:
        return tuple(facts.classes[k] for k in np.flatnonzero(members).tolist())

    return tuple(
        LabelMistake(
            id=test.ids[i],
            label=facts.classes[k := int(certainty[i].argmax())],
            said=bool(decided[i, k]),
            probability=float(probabilities[i, k]),
            labels=names(test.truth[i]),
            prediction=names(decided[i]),
        )
        for i in order.tolist()
        if np.isfinite(worst[i])
    )


def _without_leaks(test: EvaluatedItems, seed: int) -> WithoutLeaks | None:
    rest = test.without_leaks()
    if rest is None:
        return None
    found = _evaluated(rest, seed)
    return WithoutLeaks(num_items=len(rest.ids), test=Figures(**found.metrics))
