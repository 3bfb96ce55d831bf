"""From the arrays of an evaluation to a report: a pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

import numpy as np
from jaxtyping import Bool, Float, Int

from striate.data.source import Note, Skip
from striate.metrics import Calibration, Estimate, Evaluation, evaluate, reliability_bins, softmax
from striate.report.schema import (
    BaselineFigures,
    Baselines,
    Choice,
    ClassReport,
    DataIssue,
    Figure,
    Mistake,
    Reliability,
    Report,
    Seconds,
    TestFigures,
    WithoutLeaks,
)
from striate.typing import Kind

NUM_MISTAKES = 12
_NUM_IDS = 20


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What there is to say of a run apart from its test items.

    Attributes:
        striate: version of Striate.
        task: name of the task.
        kind: what an item is.
        run: the run folder as the user would type it, for the commands at the end of the page.
        classes: names in the order of their numbers.
        class_counts: training items of each class.
        split_sizes: items in "train", "val" and "test".
        method: how the model was trained.
        model: its name.
        model_details: further facts, name to value, for display.
        seconds: where the time went.
        notes: what was found in the data.
        skipped: items that were left out.
        choices: decisions made for the user, and why.
        history: a row an epoch, as in `history.csv`.
        throughput: items per second, by what was done ("train", "predict").
    """

    striate: str
    task: str
    kind: Kind
    run: str
    classes: Sequence[str]
    class_counts: Sequence[int]
    split_sizes: Mapping[str, int]
    method: str
    model: str
    seconds: Seconds
    model_details: Mapping[str, str | int | float] = field(default_factory=dict)
    notes: Sequence[Note] = ()
    skipped: Sequence[Skip] = ()
    choices: Sequence[Choice] = ()
    history: Sequence[Mapping[str, float | None]] = ()
    throughput: Mapping[str, float] = field(default_factory=dict)


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
        striate=facts.striate,
        task=facts.task,
        kind=facts.kind,
        run=facts.run,
        classes=tuple(facts.classes),
        split_sizes=dict(facts.split_sizes),
        method=facts.method,
        model=facts.model,
        model_details=dict(facts.model_details),
        seconds=facts.seconds,
        test=TestFigures(**_figures(result), ece_uncalibrated=_figure(before.metrics["ece"])),
        per_class=_per_class(facts.classes, result),
        confusion=tuple(map(tuple, result.confusion.tolist())),
        baselines=Baselines(
            majority=BaselineFigures(**_figures(majority)),
            probe=None if probe is None else BaselineFigures(**_figures(probe)),
        ),
        data_issues=_data_issues(facts),
        throughput=dict(facts.throughput),
        temperature=test.calibration.temperature,
        bias=test.calibration.bias,
        reliability=_reliability(probabilities, test.labels),
        reliability_uncalibrated=_reliability(uncalibrated, test.labels),
        choices=tuple(facts.choices),
        history=tuple({k: _finite(v) for k, v in row.items()} for row in facts.history),
        worst_mistakes=_worst_mistakes(facts.classes, test, probabilities),
        leaks=_without_leaks(test, probabilities, seed),
    )


def _figure(estimate: Estimate) -> Figure:
    return Figure(value=estimate.value, ci95=estimate.ci95, reason=estimate.reason)


def _figures(evaluation: Evaluation) -> dict[str, Figure]:
    return {name: _figure(estimate) for name, estimate in evaluation.metrics.items()}


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _per_class(classes: Sequence[str], evaluation: Evaluation) -> tuple[ClassReport, ...]:
    return tuple(
        ClassReport(
            name=name,
            support=figures.support,
            precision=figures.precision,
            recall=_figure(figures.recall),
            f1=figures.f1,
            roc_auc=figures.roc_auc,
        )
        for name, figures in zip(classes, evaluation.per_class, strict=True)
    )


def _data_issues(facts: RunFacts) -> tuple[DataIssue, ...]:
    """Warnings first; skipped items gathered by reason."""
    notes = sorted(facts.notes, key=lambda note: note.severity != "warning")
    reasons: dict[str, list[str]] = {}
    for skip in facts.skipped:
        reasons.setdefault(skip.reason, []).append(skip.id)
    skipped = [
        DataIssue(
            code="skipped",
            severity="warning",
            message=f"Left out: {reason}",
            count=len(ids),
            ids=tuple(ids[:_NUM_IDS]),
        )
        for reason, ids in reasons.items()
    ]
    found = [
        DataIssue(
            code=note.code,
            severity=note.severity,
            message=note.message,
            count=len(note.ids),
            ids=note.ids[:_NUM_IDS],
        )
        for note in notes
    ]
    return (*skipped, *found)


def _reliability(
    probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> Reliability:
    bins = reliability_bins(probabilities, labels)
    return Reliability(
        count=tuple(bins.count.tolist()),
        confidence=tuple(map(_finite, bins.confidence.tolist())),
        accuracy=tuple(map(_finite, bins.accuracy.tolist())),
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
    return WithoutLeaks(num_items=int(kept.sum()), test=BaselineFigures(**_figures(result)))
