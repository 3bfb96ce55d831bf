"""The page of several labels: what its report means in plain English, its tables."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, prod
from typing import Any, Final

from striate.report.page import FEW_ITEMS, Metric, Verdict, figure_table, verdict
from striate.tasks.multilabel.report import LabelReport, MultilabelReport

FEW_LABEL_ITEMS: Final = 10
"""Number of test items of a label below which nothing is said of how well it is found."""

_NUM_NAMED: Final = 3

_MIN_ORDERS: Final = 40
"""Number of rankings of which one that is right by chance is less probable than 2.5 %."""

_NUM_LABEL_ROWS: Final = 30

_METRICS: Final = {
    "map": Metric("Mean average precision", "how pure the items ranked first are, mean over the labels"),
    "micro_f1": Metric("Micro F1", "F1 of all decisions together: labels found without false alarms"),
    "macro_f1": Metric("Macro F1", "mean of the labels' F1, each label counting equally"),
    "roc_auc": Metric("ROC AUC", "chance that an item with a label is ranked above one without"),
}  # fmt: skip


def page_context(report: MultilabelReport) -> dict[str, Any]:
    """The variables of `page.html`."""
    baselines = report.baselines
    columns = {"Linear probe": baselines.probe, "Shares of the labels": baselines.shares}
    return {
        **figure_table(_METRICS, report.test, columns),
        "verdict": multilabel_verdict(report),
        "labels": sorted(report.per_class, key=_ranked_worst_first),
        "num_label_rows": _NUM_LABEL_ROWS,
        "few_label_items": FEW_LABEL_ITEMS,
    }


def multilabel_verdict(report: MultilabelReport) -> Verdict:
    """Sum a report up."""
    better = _better_than_chance(report)
    sentences = (_against_guessing(report, better), _against_probe(report), *_by_label(report))
    return verdict(report, _headline(report), better, sentences)


def _better_than_chance(report: MultilabelReport) -> bool:
    """Whether the labels are ranked better than by chance, beyond doubt.

    The area under the ROC curve tells, whose draws are not biased as those of the average
    precision are. A perfect one has no interval; then the chance of such a ranking must be small.
    """
    area, num_items = report.test.roc_auc, report.split_sizes["test"]
    if area.value is None:
        return False
    if area.ci95 is not None:
        return area.ci95[0] > 0.5
    orders = (comb(num_items, label.support) for label in report.per_class)
    return area.value == 1.0 and prod(orders) >= _MIN_ORDERS


def _headline(report: MultilabelReport) -> str:
    said = sum(label.num_predicted for label in report.per_class)
    true = sum(label.support for label in report.per_class)
    right = sum(label.num_correct for label in report.per_class)
    num_items, (one, many) = report.split_sizes["test"], report.nouns
    if num_items < FEW_ITEMS or not said or not true:
        noun = many if num_items != 1 else one
        return (
            f"It gave {said} labels to {num_items} test {noun}, {right} of them rightly, and missed "
            f"{true - right} of {true}"
        )
    return (
        f"Of 100 labels that it gives to new {many}, about {100 * right / said:.0f} are right; of "
        f"100 that they have, it finds about {100 * right / true:.0f}"
    )


def _against_guessing(report: MultilabelReport, better: bool) -> str:
    value, guessing = report.test.map.value, report.baselines.shares.map.value
    if value is None or guessing is None:
        return "No label occurs among the test items, so that it cannot be judged."
    told = (
        f"Its mean average precision is {value:.2f}; a random order of the items has {guessing:.2f}"
    )
    if better:
        return told + "."
    return told + ": it is not reliably better than chance, so do not rely on this model yet."


def _against_probe(report: MultilabelReport) -> str:
    probe, value = report.baselines.probe, report.test.map.value
    if report.is_baseline or probe is None or probe.map.value is None or value is None:
        return ""
    gain = value - probe.map.value
    if abs(gain) < 0.005:
        return ""
    return (
        "Linear classifiers on features that were not trained for this task have "
        f"{probe.map.value:.2f}, {abs(gain):.2f} {'less' if gain > 0 else 'more'} than this model."
    )


def _by_label(report: MultilabelReport) -> tuple[str, ...]:
    """The labels of which there are too few items, the best ranked of the others and the worst."""
    few = [label for label in report.per_class if label.support < FEW_LABEL_ITEMS]
    told = [label for label in report.per_class if label.support >= FEW_LABEL_ITEMS]
    if len(told) < 2:
        return (_too_few(report, few),)
    ranked = sorted(told, key=_ranked_worst_first)
    worst, best = ranked[0], ranked[-1]
    return (
        _too_few(report, few),
        f"It is best at “{best.name}” (F1 {best.f1:.2f}) and weakest at “{worst.name}” "
        f"(F1 {worst.f1:.2f}).",
    )


def _too_few(report: MultilabelReport, few: Sequence[LabelReport]) -> str:
    """A word on the labels that have too few test items; nothing where there are none."""
    if not few:
        return ""
    many = report.nouns[1]
    if len(few) == len(report.per_class):
        return f"Every label has fewer than {FEW_LABEL_ITEMS} test {many}: too few to judge it."
    ranked = sorted(few, key=lambda label: label.support)
    named = [f"“{label.name}” ({label.support})" for label in ranked[:_NUM_NAMED]]
    if len(few) > _NUM_NAMED:
        named.append(f"{len(few) - _NUM_NAMED} more")
    return f"Too few test {many} to judge {', '.join(named)}."


def _ranked_worst_first(label: LabelReport) -> float:
    """The average precision to sort by; labels without test items come last."""
    value = label.average_precision.value
    return 2.0 if value is None else value
