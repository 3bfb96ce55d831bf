"""The report of a classifier: what it holds, and how it comes from the test items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from jaxtyping import Float

from striate.metrics.calibration import softmax
from striate.metrics.classification import ClassFigures, ClassifierFigures, evaluate
from striate.metrics.conformal import set_coverage
from striate.metrics.curves import threshold_curve
from striate.metrics.deciding.decision import outcome_estimates
from striate.metrics.deciding.risk_coverage import risk_coverage
from striate.metrics.intervals import Estimate, Numbers
from striate.metrics.reliability import reliability_bins
from striate.report.facts import NUM_MISTAKES, EvaluatedItems, RunFacts
from striate.report.schema import Mistake, Record, RunReport, Text

MAX_CURVES: Final = 4
"""Number of classes whose curves are kept: as many lines as a chart can hold."""

FEW_CLASS_ITEMS: Final = 10
"""Number of test items of a class below which nothing is said of how well it is found."""


class Figures(Record):
    """The metrics on the test items, of the model or of something simpler."""

    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    roc_auc: Estimate
    log_loss: Estimate
    ece: Estimate


class TestFigures(Figures):
    """The metrics of the model, calibrated but for `ece_uncalibrated`."""

    __test__ = False  # not a class of tests, whatever pytest makes of its name

    ece_uncalibrated: Estimate


class Baselines(Record):
    """What the model must beat.

    Attributes:
        majority: Always the shares of the training classes, hence always the most common class.
        probe: A linear classifier on the frozen features; None where there was none.
    """

    majority: Figures
    probe: Figures | None


class ClassReport(Record):
    """The figures of one class on the test items."""

    name: Text
    support: int
    precision: float
    recall: Estimate
    f1: float
    roc_auc: float | None


class ClassMistake(Mistake):
    """A test item that was classified wrongly, with the probabilities of both classes."""

    label: Text
    prediction: Text
    probability: float
    label_probability: float


class Reliability(Record):
    """A reliability diagram: items in bins by confidence, about as many in each.

    Attributes:
        count: Number of items in each bin.
        confidence: Mean stated probability of each bin.
        accuracy: Share of each bin that is right.
        interval: The 95 % interval of that share.
    """

    count: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    interval: tuple[tuple[float, float], ...]


class Curve(Record):
    """What is found of a class where its probability is at least a threshold.

    Attributes:
        name: The class.
        support: Test items of the class.
        others: Test items of other classes.
        thresholds: Probabilities, ascending; of many, some are left out.
        found: Items of the class that reach each threshold.
        false_alarms: Other items that do.
    """

    name: Text
    support: int
    others: int
    thresholds: tuple[float, ...]
    found: tuple[int, ...]
    false_alarms: tuple[int, ...]


class SetFigures(Record):
    """How often the prediction sets of the test items hold the true class, and how large they are.

    Attributes:
        level: Share of new items whose set is to hold the true class.
        num_items: Number of held-out items that the sets were fitted to.
        num_own: Number of classes with a threshold of their own.
        coverage: Share of the test items whose set holds their class.
        mean_size: Mean number of classes in a set.
        sizes: Test items by the number of classes in their set, from 1 on.
    """

    level: float
    num_items: int
    num_own: int
    coverage: Estimate
    mean_size: float
    sizes: tuple[int, ...]


class Selective(Record):
    """How often the surest answers are wrong, by how many of all they are.

    Attributes:
        coverage: Shares of the test items, ascending to 1; of many, some are left out.
        risk: Share of the surest items of that share that is wrong.
        threshold: The least confidence among them.
        area: Mean of the risk over all shares (AURC).
    """

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    threshold: tuple[float, ...]
    area: Estimate

    def at(self, coverage: float) -> tuple[float, float]:
        """The risk and the threshold where at least such a share of the items is answered."""
        place = next(k for k, share in enumerate(self.coverage) if share >= coverage - 1e-9)
        return self.risk[place], self.threshold[place]


class Promised(Record):
    """What answers came to on the held-out items by which it was decided; see `DecisionFigures`."""

    num_items: int
    recall: float | None
    precision: float | None
    cost: float
    answered: float
    error: float | None


class Outcomes(Record):
    """What answers come to on the test items; see `DecisionFigures`."""

    recall: Estimate | None
    precision: Estimate | None
    cost: Estimate
    answered: Estimate
    error: Estimate | None


class DecisionFigures(Record):
    """How the answers are decided where the user stated an aim, and what they come to.

    Of each: the share of the class that is found (`recall`), the share that is right where the class
    is said (`precision`), the mean `cost` of an item, the share `answered`, and the share that is
    wrong among the answered (`error`).

    Attributes:
        of_class: The class that is to be found, or whose errors cost most; None where there is none.
        target_recall: Share of it that is to be found; None where costs decide.
        costs: What an error on an item of each class costs.
        cost_unknown: What "I don't know" costs; None where every item is answered.
        threshold: Of two classes, the probability from which `of_class` is the answer.
        is_supported: Whether there were enough held-out items to promise the recall.
        num_of_class: Number of those of the class; None where costs decide.
        promised: On held-out items, of which the test items are none.
        test: On the test items.
        usual: What the most probable class, answered always, comes to on the test items.
    """

    of_class: Text | None
    target_recall: float | None
    costs: tuple[float, ...]
    cost_unknown: float | None
    threshold: float | None
    is_supported: bool
    num_of_class: int | None
    promised: Promised | None
    test: Outcomes
    usual: Outcomes


class WithoutLeaks(Record):
    """The figures on the test items that have no copy in the other splits."""

    num_items: int
    test: Figures


class ClassificationReport(RunReport):
    """The evaluation of a classifier.

    Attributes:
        confusion: Test items by class (row) and prediction (column).
        temperature: Divisor of the logits in the calibration.
        bias: Shift of each class in the calibration; empty where there is none.
        curves: A curve for each class, or for the `MAX_CURVES` classes that are told from the others worst.
        sets: The prediction sets; None where there are none.
        selective: What is gained by leaving the least sure answers to a person; None in reports of
            earlier versions.
        decision: How the answers are decided where the user stated an aim; else None.
        worst_mistakes: The most confident first.
        leaks: How the figures change without items that leaked; None where none did.
    """

    task_kind: Literal["classification"] = "classification"
    test: TestFigures
    per_class: tuple[ClassReport, ...]
    confusion: tuple[tuple[int, ...], ...]
    baselines: Baselines
    temperature: float
    bias: tuple[float, ...] = ()
    reliability: Reliability
    reliability_uncalibrated: Reliability
    curves: tuple[Curve, ...] = ()
    sets: SetFigures | None = None
    selective: Selective | None = None
    decision: DecisionFigures | None = None
    worst_mistakes: tuple[ClassMistake, ...]
    leaks: WithoutLeaks | None


def build_report(facts: RunFacts, test: EvaluatedItems, *, seed: int = 0) -> ClassificationReport:
    """Evaluate the test items and put everything into one report.

    Args:
        facts: What there is to say of the run apart from its test items.
        test: The items, whose truth are class numbers; one at least.
        seed: Seed of the bootstrap.

    Raises:
        ArgumentError: There are no items, or the arrays do not fit together.
    """

    def evaluated(
        probabilities: Float[np.ndarray, "n c"], chosen: Numbers | None = None
    ) -> ClassifierFigures:
        return evaluate(probabilities, test.truth, test.groups, predictions=chosen, seed=seed)

    probabilities, uncalibrated = test.calibration.answers(test.outputs), softmax(test.outputs)
    chosen = test.calibration.chosen(probabilities)
    result, before = evaluated(probabilities, chosen), evaluated(uncalibrated)
    majority = evaluated(np.tile(test.constant, (len(test.ids), 1)))
    probe = None if test.probe is None else Figures(**evaluated(test.probe).metrics)
    return ClassificationReport(
        **facts.fields(),
        temperature=test.calibration.temperature,
        bias=test.calibration.bias,
        test=TestFigures(**result.metrics, ece_uncalibrated=before.metrics["ece"]),
        per_class=tuple(
            ClassReport(name=name, **vars(of_class))
            for name, of_class in zip(facts.classes, result.per_class, strict=True)
        ),
        confusion=tuple(map(tuple, result.confusion.tolist())),
        baselines=Baselines(majority=Figures(**majority.metrics), probe=probe),
        reliability=_reliability(probabilities, test),
        reliability_uncalibrated=_reliability(uncalibrated, test),
        curves=_curves(facts.classes, result.per_class, probabilities, test.truth),
        sets=_sets(probabilities, test),
        selective=_selective(probabilities, chosen, test, seed),
        decision=_decision(facts.classes, probabilities, test, seed),
        worst_mistakes=_worst_mistakes(facts, test, probabilities),
        leaks=_without_leaks(test, seed),
    )


def _curves(
    classes: Sequence[str],
    figures: Sequence[ClassFigures],
    probabilities: Float[np.ndarray, "n c"],
    labels: Numbers,
) -> tuple[Curve, ...]:
    """Curves of the classes with the smallest areas, in the order of the classes."""
    areas = {k: area for k, of in enumerate(figures) if (area := of.roc_auc) is not None}
    shown = sorted(sorted(areas, key=areas.__getitem__)[:MAX_CURVES])
    made = []
    for k in shown:
        curve = threshold_curve(probabilities[:, k], labels == k)
        made.append(
            Curve(
                name=classes[k],
                support=figures[k].support,
                others=len(labels) - figures[k].support,
                thresholds=tuple(curve.thresholds.round(6).tolist()),
                found=tuple(curve.found.tolist()),
                false_alarms=tuple(curve.false_alarms.tolist()),
            )
        )
    return tuple(made)


def _reliability(probabilities: Float[np.ndarray, "n c"], test: EvaluatedItems) -> Reliability:
    bins = reliability_bins(probabilities, test.truth, test.groups)
    return Reliability(
        count=tuple(bins.count.tolist()),
        confidence=tuple(bins.confidence.tolist()),
        accuracy=tuple(bins.accuracy.tolist()),
        interval=tuple(map(tuple, bins.interval.tolist())),
    )


def _sets(probabilities: Float[np.ndarray, "n c"], test: EvaluatedItems) -> SetFigures | None:
    sets = test.calibration.sets
    if sets is None:
        return None
    members = sets.members(probabilities)
    sizes = members.sum(1)
    return SetFigures(
        level=sets.level,
        num_items=sets.num_items,
        num_own=sum(sets.own),
        coverage=set_coverage(members, test.truth, test.groups),
        mean_size=float(sizes.mean()),
        sizes=tuple(np.bincount(sizes)[1:].tolist()),
    )


def _selective(
    probabilities: Float[np.ndarray, "n c"], chosen: Numbers, test: EvaluatedItems, seed: int
) -> Selective:
    wrong = np.asarray(chosen != test.truth, np.float64)
    confidence = np.take_along_axis(probabilities, chosen[:, None], 1)[:, 0]
    found = risk_coverage(confidence, wrong, test.groups, seed=seed)
    return Selective(
        coverage=tuple(found.coverage.tolist()),
        risk=tuple(found.risk.round(9).tolist()),
        threshold=tuple(found.threshold.round(9).tolist()),
        area=found.area,
    )


def _decision(
    classes: Sequence[str], probabilities: Float[np.ndarray, "n c"], test: EvaluatedItems, seed: int
) -> DecisionFigures | None:
    decision = test.calibration.decision
    if decision is None:
        return None

    def outcomes(*, usual: bool) -> Outcomes:
        return Outcomes(
            **vars(
                outcome_estimates(
                    decision, probabilities, test.truth, test.groups, usual=usual, seed=seed
                )
            )
        )

    promised = decision.promised
    return DecisionFigures(
        of_class=None if decision.of_class is None else classes[decision.of_class],
        target_recall=decision.recall,
        costs=decision.costs,
        cost_unknown=decision.cost_unknown,
        threshold=decision.threshold,
        is_supported=decision.is_supported,
        num_of_class=decision.num_of_class,
        promised=None if promised is None else Promised(**vars(promised)),
        test=outcomes(usual=False),
        usual=outcomes(usual=True),
    )


def _worst_mistakes(
    facts: RunFacts, test: EvaluatedItems, probabilities: Float[np.ndarray, "n c"]
) -> tuple[ClassMistake, ...]:
    """The wrong predictions with the highest probability, the most confident first."""
    predictions = test.calibration.chosen(probabilities)
    confidence = np.take_along_axis(probabilities, predictions[:, None], 1)[:, 0]
    wrong = np.flatnonzero(predictions != test.truth)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:NUM_MISTAKES]
    return tuple(
        ClassMistake(
            id=test.ids[i],
            label=facts.classes[test.truth[i]],
            prediction=facts.classes[predictions[i]],
            probability=float(confidence[i]),
            label_probability=float(probabilities[i, test.truth[i]]),
        )
        for i in worst
    )


def _without_leaks(test: EvaluatedItems, seed: int) -> WithoutLeaks | None:
    rest = test.without_leaks()
    if rest is None:
        return None
    probabilities = rest.calibration.answers(rest.outputs)
    chosen = rest.calibration.chosen(probabilities)
    result = evaluate(probabilities, rest.truth, rest.groups, predictions=chosen, seed=seed)
    return WithoutLeaks(num_items=len(rest.ids), test=Figures(**result.metrics))
