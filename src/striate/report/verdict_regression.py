"""What a report on predicted numbers means, in plain English."""

from __future__ import annotations

from striate.metrics import number_text
from striate.report.schema_regression import RegressionReport
from striate.report.verdict import Verdict, few_items, nouns, percent


def regression_verdict(report: RegressionReport) -> Verdict:
    """Sum a report up."""
    error, guessing = report.test.mae, report.baselines.mean.mae.value
    better = error.ci95 is not None and guessing is not None and error.ci95[1] < guessing
    sentences = (
        _against_mean(report, better),
        _against_probe(report),
        _explained(report),
        _interval(report),
        few_items(report),
    )
    return Verdict(
        headline=f"Its predictions are off by {with_unit(report, _error(report))} on average",
        better_than_guessing=better,
        sentences=tuple(sentence for sentence in sentences if sentence),
    )


def with_unit(report: RegressionReport, value: float) -> str:
    """A number of the targets' kind, with their unit behind a space that never ends a line."""
    return number_text(value) + (f"\u00a0{report.unit}" if report.unit else "")


def _error(report: RegressionReport) -> float:
    value = report.test.mae.value
    assert value is not None, "an evaluated report has a mean absolute error"
    return value


def _against_mean(report: RegressionReport, better: bool) -> str:
    guessing = report.baselines.mean.mae.value
    assert guessing is not None, "a mean absolute error is always defined"
    off = f"off by {with_unit(report, guessing)}"
    if better:
        less = percent(1 - _error(report) / guessing)
        return f"That is {less} less than always predicting the training mean, which is {off}."
    return (
        f"This is not reliably better than always predicting the training mean, which is {off}: "
        "do not rely on this model yet."
    )


def _against_probe(report: RegressionReport) -> str:
    probe = report.baselines.probe
    if report.method == "probe" or probe is None or not probe.mae.value:
        return ""
    gain = 1 - _error(report) / probe.mae.value
    if abs(gain) < 0.005:
        return ""
    amount = f"{percent(abs(gain))} {'less' if gain > 0 else 'more'}"
    return f"It errs {amount} than a linear model of the untouched features."


def _explained(report: RegressionReport) -> str:
    explained = report.test.r2.value
    if explained is None:
        return ""
    if explained <= 0:
        return "It explains nothing of how the true values vary (R² is not above 0)."
    return f"It explains {percent(explained)} of how the true values vary (R²)."


def _interval(report: RegressionReport) -> str:
    interval = report.interval
    many = nouns(report)[1]
    if interval is None:
        return (
            f"The validation part is too small to say how far off a single prediction may be: it "
            f"needs nine {many} at least."
        )
    told = (
        f"For {percent(interval.level)} of new {many} the true value should lie within "
        f"{with_unit(report, interval.half_width)} of the prediction; among the test {many} it "
        f"did for {percent(interval.coverage.value)}"
    )
    limits = interval.coverage.ci95
    if limits is not None and limits[1] < interval.level:
        return told + ", which is less than promised: allow for more."
    return told + "."
