"""The page of an anomaly detector: what the report means in plain English, its table and chart."""

from __future__ import annotations

from typing import Any, Final

from striate.report.charts import Line, line_chart
from striate.report.page import FEW_ITEMS, Metric, Verdict, figure_table, percent, verdict
from striate.tasks.anomaly.metrics import THRESHOLD
from striate.tasks.anomaly.report import AnomalyReport, Scores

_METRICS: Final = {
    "roc_auc": Metric("ROC AUC", "how often an odd one scores above a good one; 0.5 is chance"),
    "recall": Metric("Found (recall)", "share of the odd ones that are called odd"),
    "precision": Metric("Right when said (precision)", "share of those called odd that are; it follows how many odd ones the test has"),
    "false_alarms": Metric("False alarms", "share of the good ones that are called odd; lower is better"),
}  # fmt: skip


def page_context(report: AnomalyReport) -> dict[str, Any]:
    """The variables of `page.html`."""
    return {
        **figure_table(_METRICS, report.test, {}),
        "verdict": anomaly_verdict(report),
        "chart": scores_chart(report.scores),
        "number": lambda value: f"{value:.2f}",
    }


def scores_chart(scores: Scores) -> str:
    """The shares of the good and of the odd items above each score, over the range of scores."""

    def line(counts: tuple[int, ...], style: int, name: str) -> Line:
        total, above = max(1, sum(counts)), sum(counts)
        points: list[tuple[float, float | None]] = []
        for edge, count in zip(scores.edges, (*counts, 0), strict=True):
            points.append((edge, above / total))
            above -= count
        return Line(name=name, points=points, style=style)

    lines = [line(scores.good, 1, "good")]
    if sum(scores.odd):
        lines.append(line(scores.odd, 2, "odd"))
    lines.append(Line(name="threshold", points=[(THRESHOLD, 0.0), (THRESHOLD, 1.0)], style=3))
    return line_chart(lines, title="Share of the test items above each score", x_label="score")


def anomaly_verdict(report: AnomalyReport) -> Verdict:
    """Sum a report up."""
    area = report.test.roc_auc
    # Without odd items nothing says that it is not.
    better = area.value is None or (area.ci95 is not None and area.ci95[0] > 0.5)
    sentences = (_against_chance(report, better), _promise(report), _kept(report), _weakest(report))
    return verdict(report, _headline(report), better, sentences)


def _headline(report: AnomalyReport) -> str:
    test, many = report.test, report.nouns[1]
    alarms = test.false_alarms.value
    told = f"of 100 good ones it calls about {100 * (alarms or 0.0):.0f} odd"
    if alarms is None:
        told = f"there are no good {many} to test with"
    if test.recall.value is None:
        return f"It knows what good {many} look like: {told}"
    return f"Of 100 odd {many} it finds about {100 * test.recall.value:.0f}; {told}"


def _against_chance(report: AnomalyReport, better: bool) -> str:
    area, many = report.test.roc_auc.value, report.nouns[1]
    if area is None:
        return (
            f"There were no odd {many} among the test {many}, so that nothing is known of how many "
            f"it would find: try it on some (striate eval)."
        )
    told = f"An odd one scores above a good one in {percent(area)} of pairs (ROC AUC {area:.2f})"
    if better:
        return f"{told}; chance alone would be 50 %."
    return f"{told}: it is not reliably better than chance, so do not rely on it."


def _promise(report: AnomalyReport) -> str:
    promise, many = report.promise, report.nouns[1]
    told = (
        f"The threshold, from {promise.num_items} held-out good {many}, is to call "
        f"{percent(promise.share)} of new good ones odd; with so many held out the true share lies "
        f"between {percent(promise.low)} and {percent(promise.high)}"
    )
    if promise.num_items < FEW_ITEMS - 1:
        return f"{told}. More good {many} would make the promise both smaller and surer."
    return f"{told}."


def _kept(report: AnomalyReport) -> str:
    """Whether the test contradicts the promise."""
    alarms, promise = report.test.false_alarms, report.promise
    if alarms.ci95 is None or alarms.ci95[0] <= promise.high:
        return ""
    return (
        f"On the test it was {percent(alarms.value)}, clearly more than promised: its good "
        f"{report.nouns[1]} are not like those of the training."
    )


def _weakest(report: AnomalyReport) -> str:
    """The class that is found least, where there are several."""
    if len(report.odd_classes) < 2:
        return ""
    worst = report.odd_classes[0]
    return f"It finds “{worst.name}” least: {percent(worst.recall.value)} of {worst.support}."
