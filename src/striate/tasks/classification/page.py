"""The page of a classifier: what its report means in plain English, its tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from striate.report.charts import Bin, Line, reliability_chart, share_chart
from striate.report.page import FEW_ITEMS, PERCENT, Metric, Verdict, figure_table, percent, verdict
from striate.tasks.classification.deciding import chosen_point, decision_context
from striate.tasks.classification.report import (
    FEW_CLASS_ITEMS,
    ClassificationReport,
    ClassReport,
    Curve,
    Reliability,
)

MAX_MATRIX_CLASSES: Final = 20
"""Up to so many classes the confusion matrix is shown; for more, the most frequent confusions."""

_MIN_WRONG: Final = 5
"""Wrong answers below which nothing is said of leaving some out."""

_SHARES: Final = (0.9, 0.7)
"""Shares of answers that are kept in the example."""

_NUM_NAMED: Final = 3
_NUM_SIZES: Final = 4
_NUM_CONFUSIONS: Final = 25
_NUM_CLASS_ROWS: Final = 30

_MIN_CALIBRATED_ITEMS: Final = 50
"""Number of test items below which nothing is said of how far probabilities can be trusted."""

_TRUSTED_ERROR: Final = 0.05
"""Calibration error up to which stated probabilities can be taken at face value."""

_WIDE: Final = 0.1
"""Width of the interval of the calibration error from which it says too little."""

_METRICS: Final = {
    "accuracy": Metric("Accuracy", "share classified correctly", 100, 1, PERCENT),
    "balanced_accuracy": Metric("Balanced accuracy", "the same, each class counting equally", 100, 1, PERCENT),
    "macro_f1": Metric("Macro F1", "mean of the classes' F1: finding them without false alarms"),
    "roc_auc": Metric("ROC AUC", "chance that a member of a class is ranked above a non-member"),
    "log_loss": Metric("Log loss", "surprise at the true class, in nats; lower is better"),
    "ece": Metric("Calibration error", "distance of stated and true probability, without what chance adds", 100, 1, " points"),
}  # fmt: skip


def page_context(report: ClassificationReport) -> dict[str, Any]:
    """The variables of `page.html`."""
    baselines = report.baselines
    columns = {"Linear probe": baselines.probe, "Most common class": baselines.majority}
    charts = (_bins(report.reliability_uncalibrated), _bins(report.reliability))
    table = figure_table(_METRICS, report.test, columns)
    if not is_calibration_known(report):
        row = next(row for row in table["metrics"] if row["name"] == _METRICS["ece"].name)
        row |= {"value": "too few to tell", "baselines": ["–"] * len(table["columns"])}
    return {
        **table,
        "verdict": classification_verdict(report),
        "classes": sorted(report.per_class, key=_found_least_first),
        "num_class_rows": _NUM_CLASS_ROWS,
        "few_class_items": FEW_CLASS_ITEMS,
        "has_matrix": len(report.classes) <= MAX_MATRIX_CLASSES,
        "confusions": _confusions(report),
        "calibration": _calibration(report),
        "calibration_known": is_calibration_known(report),
        "reliability": reliability_chart(*charts),
        "sets": _sets(report),
        "decision": decision_context(report),
        "selective": _selective(report),
        "curves": _curve_charts(report.curves),
        "thresholds": _thresholds(report) if len(report.classes) == 2 else None,
    }


def classification_verdict(report: ClassificationReport) -> Verdict:
    """Sum a report up."""
    accuracy, guessing = report.test.accuracy, report.baselines.majority.accuracy.value or 0.0
    better = accuracy.ci95 is not None and accuracy.ci95[0] > guessing
    against = _against_guessing(guessing, better), _against_probe(report)
    sentences = (*against, *_by_class(report), _calibration(report))
    return verdict(report, _headline(report), better, sentences)


def _headline(report: ClassificationReport) -> str:
    value, num_items = report.test.accuracy.value or 0.0, report.split_sizes["test"]
    num_right, (one, many) = round(value * num_items), report.nouns
    if num_items < FEW_ITEMS:
        right = f"{num_right} of {num_items} test {many if num_items != 1 else one}"
        return f"It classified {right} correctly: too few to tell how often it will be right"
    right = percent(value).removesuffix(PERCENT)
    if right == "100":
        return f"It classified every one of the {num_items} test {many} correctly"
    noun = many if right != "1" else one
    return f"Of 100 new {noun}, about {right} are classified correctly"


def _against_guessing(guessing: float, better: bool) -> str:
    if better:
        return f"Always answering with the most common class is right for {percent(guessing)}."
    return (
        "It is not reliably better than always answering with the most common class, which is "
        f"right for {percent(guessing)}: do not rely on this model yet."
    )


def _against_probe(report: ClassificationReport) -> str:
    probe, accuracy = report.baselines.probe, report.test.accuracy.value or 0.0
    if report.is_baseline or probe is None:
        return ""
    baseline = probe.accuracy.value or 0.0
    gain = 100 * (accuracy - baseline)
    if abs(gain) < 0.05:
        return ""
    return (
        "A linear classifier on features that were not trained for this task is right for "
        f"{percent(baseline)}, {abs(gain):.1f} percentage points {'less' if gain > 0 else 'more'} "
        "than this model."
    )


def _by_class(report: ClassificationReport) -> tuple[str, ...]:
    """The classes of which there are too few items, the best found of the others and the worst."""
    few = [c for c in report.per_class if c.support < FEW_CLASS_ITEMS]
    told = [c for c in report.per_class if c.support >= FEW_CLASS_ITEMS]
    if len(told) < 2:
        return (_too_few(report, few),)
    ranked = sorted(told, key=_recall)
    worst, best = ranked[0], ranked[-1]
    if _recall(best) - _recall(worst) < 0.02:
        which = "all other classes" if few else "all classes"
        return _too_few(report, few), f"It finds {which} about equally well."
    others = "Of the other classes it" if few else "It"
    chance = ""
    if best.recall.ci95 and worst.recall.ci95 and worst.recall.ci95[1] >= best.recall.ci95[0]:
        chance = "; chance alone may explain the difference"
    return (
        _too_few(report, few),
        f"{others} is best at “{best.name}” ({percent(_recall(best))} of them found) and weakest "
        f"at “{worst.name}” ({percent(_recall(worst))} found{_taken_for(report, worst)}){chance}.",
    )


def _too_few(report: ClassificationReport, few: Sequence[ClassReport]) -> str:
    """A word on the classes that have too few test items; nothing where there are none."""
    one, many = report.nouns
    if not few:
        return ""
    if len(few) == len(report.per_class):
        return (
            f"Every class has fewer than {FEW_CLASS_ITEMS} test {many}: too few to tell how well "
            "each is found."
        )
    ranked = sorted(few, key=lambda c: c.support)
    named = [f"“{c.name}” has {c.support or 'no'}" for c in ranked[:_NUM_NAMED]]
    if len(few) > _NUM_NAMED:
        named.append(f"{len(few) - _NUM_NAMED} more have fewer than {FEW_CLASS_ITEMS}")
    noun = one if len(few) == 1 and few[0].support == 1 else many
    counts = ", ".join(named[:-1]) + (" and " if len(named) > 1 else "") + named[-1]
    which = "it is" if len(few) == 1 else "they are"
    return f"{counts} test {noun}: too few to tell how well {which} found."


def _recall(figures: ClassReport) -> float:
    return figures.recall.value or 0.0


def _found_least_first(figures: ClassReport) -> float:
    """The recall to sort by; classes without test items come last."""
    return 2.0 if figures.recall.value is None else figures.recall.value


def _taken_for(report: ClassificationReport, figures: ClassReport) -> str:
    number = report.per_class.index(figures)
    wrong = [0 if c == number else count for c, count in enumerate(report.confusion[number])]
    if len(report.classes) == 2 or max(wrong) < 2:
        return ""
    return f", most often taken for “{report.classes[wrong.index(max(wrong))]}”"


def _calibration(report: ClassificationReport) -> str:
    """Whether stated probabilities can be trusted, with how sure that is."""
    error, num_items, (_, many) = report.test.ece, report.split_sizes["test"], report.nouns
    if error.value is None:
        return ""
    low, high = error.ci95 or (0.0, 1.0)
    if not is_calibration_known(report):
        return (
            f"{num_items} test {many} are too few to tell whether its stated probabilities can be "
            f"trusted: they may be off by anything from {_points(low, high)} percentage points."
        )
    interval = f" (95 % interval: {_points(low, high)})"
    told = f"Its stated probabilities are off by {_points(error.value)} percentage points on average{interval}"
    if round(100 * error.value, 1) == 0:
        told = f"Its stated probabilities are off by no more than chance explains{interval}"
    if high <= _TRUSTED_ERROR:
        return told + ", so they can be taken at face value."
    return told + (", so do not take them at face value." if low > _TRUSTED_ERROR else ".")


def is_calibration_known(report: ClassificationReport) -> bool:
    """Whether the test items tell how far stated probabilities can be trusted."""
    low, high = report.test.ece.ci95 or (0.0, 1.0)
    if report.split_sizes["test"] < _MIN_CALIBRATED_ITEMS:
        return False
    return high - low < _WIDE or low > _TRUSTED_ERROR or high <= _TRUSTED_ERROR


def _sets(report: ClassificationReport) -> str:
    """What a prediction set is, how often those of the test items held the truth, their size."""
    sets, (one, many) = report.sets, report.nouns
    if sets is None:
        return ""
    total = sum(sets.sizes)
    sizes = [
        f"{'one class' if size == 1 else f'{size} classes'} ({percent(count / total)})"
        for size, count in enumerate(sets.sizes[:_NUM_SIZES], start=1)
        if count
    ]
    if larger := sum(sets.sizes[_NUM_SIZES:]):
        sizes.append(f"more ({percent(larger / total)})")
    parts = ", ".join(sizes[:-1]) + " or " if len(sizes) > 1 else ""
    low, high = sets.coverage.ci95 or (0.0, 1.0)
    judged = ""
    if high < sets.level:
        judged = ", which is less than promised: take the sets with care"
    elif low > sets.level and sets.sizes[0] == total:
        judged = ": the model is right more often than the sets have to be"
    return (
        f"Beside its answer, each {one} gets a set of classes that is to hold the true one for "
        f"{percent(sets.level)} of new {many}. Of the test {many} it did for "
        f"{percent(sets.coverage.value)} (95 % interval: {100 * low:.1f} to {100 * high:.1f})"
        f"{judged}. A set holds {sets.mean_size:.1f} classes on average: {parts}{sizes[-1]}."
    )


def _selective(report: ClassificationReport) -> dict[str, str] | None:
    """What leaving the least sure answers to a person brings; None where too few are wrong."""
    selective, many = report.selective, report.nouns[1]
    if selective is None or not is_worth_a_curve(report):
        return None
    left = [
        f"of the surest {percent(share)} {percent(selective.at(share)[0])} (confidence of at least "
        f"{percent(selective.at(share)[1])})"
        for share in _SHARES
    ]
    area = selective.area
    limits = (
        ""
        if area.ci95 is None
        else f" (95 % interval: {' to '.join(f'{x:.4f}' for x in area.ci95)})"
    )
    mark = chosen_point(report)
    points = list(zip(selective.coverage, selective.risk, strict=True))
    return {
        "sentence": f"Of all test {many} {percent(selective.risk[-1])} are answered wrongly, "
        f"{' and '.join(left)}.",
        "area": f"{area.value or 0.0:.4f}{limits}",
        "chart": share_chart(
            [Line(name="wrong", points=points, style=1)],
            title="Risk against coverage: share wrong among the surest answers",
            x_label="answered, the surest first",
            y_label="wrong among them",
            marks=() if mark is None else (mark,),
        ),
    }


def is_worth_a_curve(report: ClassificationReport) -> bool:
    """Whether enough answers are wrong, or the user asked when to say nothing."""
    asked = report.decision is not None and report.decision.cost_unknown is not None
    many = report.selective is not None and (
        report.selective.risk[-1] * report.split_sizes["test"] >= _MIN_WRONG
    )
    return asked or many


def _points(*shares: float) -> str:
    return " to ".join(f"{100 * share:.1f}" for share in shares)


def _confusions(report: ClassificationReport) -> list[tuple[str, str, int, float]]:
    """The most frequent confusions: class, taken for, how often, share of the class."""
    found = [
        (report.classes[true], report.classes[predicted], count, count / sum(row))
        for true, row in enumerate(report.confusion)
        for predicted, count in enumerate(row)
        if true != predicted and count
    ]
    return sorted(found, key=lambda c: (-c[2], -c[3]))[:_NUM_CONFUSIONS]


def _curve_charts(curves: Sequence[Curve]) -> dict[str, Any] | None:
    """ROC and precision-recall curves, and the lines that they share; None where there is none."""
    if not curves:
        return None
    roc, recall = [], []
    for style, curve in enumerate(sorted(curves, key=lambda curve: curve.support), start=1):
        pairs = list(zip(curve.found, curve.false_alarms, strict=True))
        ends = [(1.0, 1.0), *((f / curve.others, n / curve.support) for n, f in pairs), (0.0, 0.0)]
        roc.append(Line(name=curve.name, points=ends, style=style))
        steps = [(n / curve.support, n / (n + f)) for n, f in pairs]
        recall.append(Line(name=curve.name, points=steps, style=style))
    return {
        "lines": roc,
        "roc": share_chart(
            roc, title="ROC curve: share found against share of false alarms",
            x_label="false alarms, share of the others", y_label="found (recall)", diagonal=True,
        ),
        "pr": share_chart(
            recall, title="Precision-recall curve: share right when said against share found",
            x_label="found (recall)", y_label="right when said (precision)",
        ),
    }  # fmt: skip


def _thresholds(report: ClassificationReport) -> dict[str, Any] | None:
    """What the page's script needs; the rarer class, which is mostly the one to find, is first."""
    curves = sorted(report.curves, key=lambda curve: curve.support)
    if len(curves) < 2:
        return None
    return {"names": [curve.name for curve in curves], "curves": [c.model_dump() for c in curves]}


def _bins(reliability: Reliability) -> list[Bin]:
    """The bins as the chart takes them."""
    columns = reliability.count, reliability.confidence, reliability.accuracy, reliability.interval
    return list(zip(*columns, strict=True))
