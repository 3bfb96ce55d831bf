"""From what a classifier said of the test items to a report: a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from striate.metrics import Calibration, Evaluation, evaluate, reliability_bins, softmax
from striate.report.facts import NUM_MISTAKES, RunFacts, figure, figures, finite, shared_fields
from striate.report.schema import (
    BaselineFigures,
    Baselines,
    ClassReport,
    Mistake,
    Reliability,
    Report,
    TestFigures,
    WithoutLeaks,
)


@dataclass(frozen=True, kw_only=True)
class TestItems:
    """The test items and what the model said of them.

    Attributes:
        ids: of the items.
        labels: class numbers.
        logits: before calibration.
        calibration: of the logits, fitted on the validation items.
        groups: items of one number (copies) count as one fact; all apart where None.
        probe_probabilities: of the linear probe, where one was trained.
        leaked: items with a copy in another part; nothing leaked where None.
    """

    __test__ = False  # not a class of tests, whatever pytest makes of its name

    ids: Sequence[str]
    labels: Int[np.ndarray, " n"]
    logits: Float[np.ndarray, "n c"]
    calibration: Calibration = field(default_factory=Calibration)
    groups: Int[np.ndarray, " n"] | None = None
    probe_probabilities: Float[np.ndarray, "n c"] | None = None
    leaked: Bool[np.ndarray, " n"] | None = None


def build_report(facts: RunFacts, test: TestItems, *, seed: int = 0) -> Report:
    """Evaluate the test items and put everything into one report.

    Args:
        facts: of the run.
        test: the items; one at least.
        seed: of the bootstrap.

    Raises:
        ArgumentError: no items, or arrays that do not fit together.
    """
    probabilities = test.calibration.probabilities(test.logits)
    uncalibrated = softmax(test.logits)
    result = evaluate(probabilities, test.labels, test.groups, seed=seed)
    before = evaluate(uncalibrated, test.labels, test.groups, seed=seed)
    probe = None
    if test.probe_probabilities is not None:
        probe = evaluate(test.probe_probabilities, test.labels, test.groups, seed=seed)
    priors = np.asarray(facts.class_counts, dtype=np.float64)
    constant = np.tile(priors / priors.sum(), (len(test.labels), 1))
    majority = evaluate(constant, test.labels, test.groups, seed=seed)
    return Report(
        **shared_fields(facts),
        classes=tuple(facts.classes),
        test=TestFigures(**figures(result.metrics), ece_uncalibrated=figure(before.metrics["ece"])),
        per_class=_per_class(facts.classes, result),
        confusion=tuple(map(tuple, result.confusion.tolist())),
        baselines=Baselines(
            majority=BaselineFigures(**figures(majority.metrics)),
            probe=None if probe is None else BaselineFigures(**figures(probe.metrics)),
        ),
        temperature=test.calibration.temperature,
        bias=test.calibration.bias,
        reliability=_reliability(probabilities, test.labels),
        reliability_uncalibrated=_reliability(uncalibrated, test.labels),
        worst_mistakes=_worst_mistakes(facts.classes, test, probabilities),
        leaks=_without_leaks(test, probabilities, seed),
    )


def _per_class(classes: Sequence[str], evaluation: Evaluation) -> tuple[ClassReport, ...]:
    return tuple(
        ClassReport(
            name=name,
            support=of_class.support,
            precision=of_class.precision,
            recall=figure(of_class.recall),
            f1=of_class.f1,
            roc_auc=of_class.roc_auc,
        )
        for name, of_class in zip(classes, evaluation.per_class, strict=True)
    )


def _reliability(
    probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> Reliability:
    bins = reliability_bins(probabilities, labels)
    return Reliability(
        count=tuple(bins.count.tolist()),
        confidence=tuple(map(finite, bins.confidence.tolist())),
        accuracy=tuple(map(finite, bins.accuracy.tolist())),
    )


def _worst_mistakes(
    classes: Sequence[str], test: TestItems, probabilities: Float[np.ndarray, "n c"]
) -> tuple[Mistake, ...]:
    """The wrong predictions with the highest probability, the surest first."""
    predictions, surety = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predictions != test.labels)
    worst = wrong[np.argsort(-surety[wrong], kind="stable")][:NUM_MISTAKES]
    return tuple(
        Mistake(
            id=test.ids[i],
            label=classes[test.labels[i]],
            prediction=classes[predictions[i]],
            probability=float(surety[i]),
            label_probability=float(probabilities[i, test.labels[i]]),
        )
        for i in worst
    )


def _without_leaks(
    test: TestItems, probabilities: Float[np.ndarray, "n c"], seed: int
) -> WithoutLeaks | None:
    if test.leaked is None or not test.leaked.any() or test.leaked.all():
        return None
    kept = ~test.leaked
    groups = None if test.groups is None else test.groups[kept]
    result = evaluate(probabilities[kept], test.labels[kept], groups, seed=seed)
    return WithoutLeaks(num_items=int(kept.sum()), test=BaselineFigures(**figures(result.metrics)))
