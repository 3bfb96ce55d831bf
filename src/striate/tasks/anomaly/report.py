"""The report on an anomaly detector: what it holds, and how it comes from the test items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from striate.data.names import in_order
from striate.metrics.area_interval import area_interval
from striate.metrics.intervals import Estimate, effective_size, share_estimate
from striate.metrics.probabilities import binary_roc_auc
from striate.report.facts import NUM_MISTAKES, EvaluatedItems, RunFacts
from striate.report.schema import Mistake, Record, RunReport, Text
from striate.tasks.anomaly.metrics import THRESHOLD, evaluate
from striate.tasks.anomaly.scoring import is_odd, verdict_of

NUM_BINS: Final = 24
"""Bins of the histogram of scores."""


class Figures(Record):
    """The metrics of a detector; those that need odd items have no value without any."""

    roc_auc: Estimate
    recall: Estimate
    precision: Estimate
    false_alarms: Estimate


class Promise(Record):
    """The threshold, and the share of good items that is taken for odd.

    Attributes:
        share: Share of new good items beyond the threshold, on average over draws of the held-out.
        low: Lower limit of that share with just these held-out items, in 95 of 100 draws.
        high: Its upper limit.
        num_items: Number of held-out good items that the threshold was taken from.
    """

    share: float
    low: float
    high: float
    num_items: int


class OddClass(Record):
    """How well the items of one other class are found.

    Attributes:
        name: The class.
        support: Number of its test items.
        recall: Share of them that is taken for odd.
        roc_auc: Area of them against the good items.
    """

    name: Text
    support: int
    recall: Estimate
    roc_auc: Estimate


class Scores(Record):
    """Numbers of test items by score; there is one edge more than there are counts."""

    edges: tuple[float, ...]
    good: tuple[int, ...]
    odd: tuple[int, ...]


class AnomalyMistake(Mistake):
    """A test item whose verdict is wrong, or of a good one without odd ones the highest score."""

    label: Text
    verdict: Text
    score: float


class WithoutLeaks(Record):
    """The figures on the test items that have no copy in the other splits."""

    num_items: int
    test: Figures


class AnomalyReport(RunReport):
    """The evaluation of an anomaly detector.

    Attributes:
        good: Name of the class that was learnt from.
        promise: The threshold and what it promises.
        num_good: Number of good test items.
        num_odd: Number of odd test items.
        odd_classes: The other classes, the one that is found least first.
        scores: Test items by score.
        worst_mistakes: The worst first: misses by how far below the threshold, false alarms by how
            far above it.
        leaks: How the figures change without items that leaked; None where none did.
    """

    task_kind: Literal["anomaly"] = "anomaly"
    good: Text
    promise: Promise
    num_good: int
    num_odd: int
    test: Figures
    odd_classes: tuple[OddClass, ...]
    scores: Scores
    worst_mistakes: tuple[AnomalyMistake, ...]
    leaks: WithoutLeaks | None


def build_report(
    facts: RunFacts, test: EvaluatedItems, labels: Sequence[str], *, seed: int = 0
) -> AnomalyReport:
    """Evaluate the test items and put everything into one report.

    Args:
        facts: What there is to say of the run apart from its test items.
        test: The items, whose truth says whether each is odd; one at least.
        labels: The class of each.
        seed: Seed of the bootstrap.
    """
    scores = test.calibration.answers(test.outputs)
    threshold = test.calibration.threshold
    rest = test.without_leaks()
    leaks = None
    if rest is not None:
        found = evaluate(rest.calibration.answers(rest.outputs), rest.truth, rest.groups, seed=seed)
        leaks = WithoutLeaks(num_items=len(rest.ids), test=Figures(**found))
    return AnomalyReport(
        **facts.fields(),
        good=test.calibration.good,
        promise=Promise(
            share=threshold.share,
            low=threshold.low,
            high=threshold.high,
            num_items=threshold.num_items,
        ),
        num_good=int((~test.truth).sum()),
        num_odd=int(test.truth.sum()),
        test=Figures(**evaluate(scores, test.truth, test.groups, seed=seed)),
        odd_classes=_odd_classes(test, scores, labels),
        scores=_histogram(scores, test.truth),
        worst_mistakes=_worst_mistakes(test, scores, labels),
        leaks=leaks,
    )


def _odd_classes(
    test: EvaluatedItems, scores: NDArray[np.float64], labels: Sequence[str]
) -> tuple[OddClass, ...]:
    """Each class of odd items, the one that is found least first."""
    names, good = np.array(labels), ~test.truth
    groups = np.arange(len(names)) if test.groups is None else test.groups
    found = []
    for name in in_order(names[test.truth].tolist()):
        members = test.truth & (names == name)
        area = Estimate(value=None, reason="no good item is here")
        if good.any():
            both = members | good
            value = binary_roc_auc(scores[both], members[both], np.ones((int(both.sum()), 1)))
            sizes = effective_size(groups[members]), effective_size(groups[good])
            area = Estimate(value=float(value[0]), ci95=area_interval(float(value[0]), *sizes))
        recall = share_estimate(float(is_odd(scores[members]).mean()), groups[members])
        found.append(OddClass(name=name, support=int(members.sum()), recall=recall, roc_auc=area))
    return tuple(sorted(found, key=lambda one: one.recall.value or 0.0))


def _histogram(scores: NDArray[np.float64], odd: NDArray[np.bool_]) -> Scores:
    """Counts of good and of odd items in the same bins."""
    edges = np.histogram_bin_edges(
        scores, NUM_BINS, (min(scores.min(), THRESHOLD), max(scores.max(), THRESHOLD * 1.01))
    )
    counts = [tuple(np.histogram(some, edges)[0].tolist()) for some in (scores[~odd], scores[odd])]
    return Scores(edges=tuple(edges.tolist()), good=counts[0], odd=counts[1])


def _worst_mistakes(
    test: EvaluatedItems, scores: NDArray[np.float64], labels: Sequence[str]
) -> tuple[AnomalyMistake, ...]:
    """Wrong verdicts, the furthest from the threshold first."""
    wrong = is_odd(scores) != test.truth
    order = np.argsort(-np.abs(np.log(np.maximum(scores, 1e-9))), kind="stable")
    return tuple(
        AnomalyMistake(
            id=test.ids[i],
            label=labels[i],
            verdict=verdict_of(bool(is_odd(scores)[i])),
            score=float(scores[i]),
        )
        for i in order[wrong[order]][:NUM_MISTAKES]
    )
