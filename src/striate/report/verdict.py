"""What a report means, in plain English."""

from __future__ import annotations

from dataclasses import dataclass

from striate.report.schema import ClassReport, Figure, Report, RunReport
from striate.typing import Kind

NOUNS: dict[Kind, tuple[str, str]] = {
    "image": ("image", "images"),
    "signal": ("recording", "recordings"),
    "volume": ("volume", "volumes"),
    "graph": ("graph", "graphs"),
}
"""One item and several of them, for each kind."""

PERCENT = "\u00a0%"
"""The sign with the space before it, which never ends a line."""

_FEW_ITEMS = 100
_FEW_CLASS_ITEMS = 10


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a person who reads nothing else should know.

    Attributes:
        headline: how often the model is right, or how far off it is.
        better_than_guessing: the whole interval of that figure lies on the better side of the
            baseline that knows only the training labels.
        sentences: comparison, strengths, weaknesses, caveats.
    """

    headline: str
    better_than_guessing: bool
    sentences: tuple[str, ...]


def verdict(report: Report) -> Verdict:
    """Sum a report up."""
    accuracy, guessing = report.test.accuracy, report.baselines.majority.accuracy.value
    better = accuracy.ci95 is not None and guessing is not None and accuracy.ci95[0] > guessing
    sentences = (
        _against_guessing(report, better),
        _against_probe(report),
        *_by_class(report),
        _calibration(report),
        few_items(report),
    )
    return Verdict(
        headline=_headline(report),
        better_than_guessing=better,
        sentences=tuple(sentence for sentence in sentences if sentence),
    )


def nouns(report: RunReport) -> tuple[str, str]:
    """What one item and several of them are called."""
    return report.nouns or NOUNS[report.kind]


def few_items(report: RunReport) -> str:
    """A warning where the test set is small; else nothing."""
    num_items = report.split_sizes["test"]
    if num_items >= _FEW_ITEMS:
        return ""
    one, many = nouns(report)
    return f"The test set holds only {num_items} {many if num_items != 1 else one}: the figures are rough."


def percent(share: float | None) -> str:
    r"""A share as a percentage, with a decimal where rounding would hide what matters.

    >>> percent(0.883), percent(0.9973), percent(1.0), percent(None)
    ('88\xa0%', '99.7\xa0%', '100\xa0%', '–')
    """
    if share is None:
        return "–"
    edge = 0 < share < 0.01 or 0.99 < share < 1
    return f"{100 * share:.{1 if edge else 0}f}{PERCENT}"


def interval_text(figure: Figure) -> str:
    """The limits of a share, "85 to 90 %"; empty where there are none."""
    if figure.ci95 is None:
        return ""
    return f"{percent(figure.ci95[0]).removesuffix(PERCENT)} to {percent(figure.ci95[1])}"


def _headline(report: Report) -> str:
    value = report.test.accuracy.value
    assert value is not None, "an evaluated report has an accuracy"
    right = percent(value).removesuffix(PERCENT)
    one, many = nouns(report)
    if right == "100":
        return f"It classified every one of the {report.split_sizes['test']} test {many} correctly"
    noun = many if right != "1" else one
    return f"Of 100 new {noun}, about {right} are classified correctly"


def _against_guessing(report: Report, better: bool) -> str:
    guessing = report.baselines.majority.accuracy.value
    if guessing is None:
        return ""
    if better:
        return (
            f"Always answering with the most common class would be right for {percent(guessing)}."
        )
    return (
        "This is not reliably better than always answering with the most common class, which is "
        f"right for {percent(guessing)}: do not rely on this model yet."
    )


def _against_probe(report: Report) -> str:
    probe, accuracy = report.baselines.probe, report.test.accuracy.value
    if (
        report.method == "probe"
        or probe is None
        or probe.accuracy.value is None
        or accuracy is None
    ):
        return ""
    gain = 100 * (accuracy - probe.accuracy.value)
    if abs(gain) < 0.05:
        return ""
    points = f"{abs(gain):.1f} percentage points {'more' if gain > 0 else 'less'}"
    return f"That is {points} than a linear classifier on the untouched features."


def _by_class(report: Report) -> tuple[str, ...]:
    """The class found best and the one found worst, and what the latter is taken for."""
    told = [
        c for c in report.per_class if c.support >= _FEW_CLASS_ITEMS and c.recall.value is not None
    ]
    if len(told) < 2:
        return ()
    ranked = sorted(told, key=_recall)
    worst, best = ranked[0], ranked[-1]
    if _recall(best) - _recall(worst) < 0.02:
        return ("It finds all classes about equally well.",)
    return (
        f"It is best at “{best.name}” ({percent(_recall(best))} of them found) and weakest at "
        f"“{worst.name}” ({percent(_recall(worst))} found{_taken_for(report, worst)}).",
    )


def _recall(figures: ClassReport) -> float:
    return figures.recall.value or 0.0


def _taken_for(report: Report, figures: ClassReport) -> str:
    number = report.per_class.index(figures)
    wrong = [0 if c == number else count for c, count in enumerate(report.confusion[number])]
    if len(report.classes) == 2 or max(wrong) < 2:
        return ""
    return f", most often taken for “{report.classes[wrong.index(max(wrong))]}”"


def _calibration(report: Report) -> str:
    gap = report.test.ece.value
    if gap is None:
        return ""
    return f"Its stated probabilities are off by {100 * gap:.1f} percentage points on average" + (
        ", so they can be taken at face value." if gap <= 0.05 else "."
    )
