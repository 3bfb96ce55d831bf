"""What the pages of all tasks say and show alike: the verdict, shares, the table of figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from striate.metrics.intervals import Estimate, number_text
from striate.report.schema import Record, RunReport

NBSP = "\u00a0"
"""A space that never ends a line."""

PERCENT = f"{NBSP}%"

FEW_ITEMS = 20
"""Number of test items below which a figure is too rough to speak of new items."""

_ROUGH_ITEMS = 100

_ROUNDING = 1e-9
"""Difference from 0 or 1 below which a share is either."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a person who reads nothing else should know.

    Attributes:
        headline: How often the model is right, or how far off it is.
        better_than_guessing: Whether the whole interval of that figure lies on the better side of
            the baseline that knows only the training labels.
        sentences: Comparison, strengths, weaknesses, caveats.
    """

    headline: str
    better_than_guessing: bool
    sentences: tuple[str, ...]


def sentence(text: str) -> str:
    """A message of one line as a sentence: with a capital letter and an end.

    >>> sentence("2 labels are missing"), sentence("nothing is wrong"), sentence("left out: a, …")
    ('2 labels are missing.', 'Nothing is wrong.', 'Left out: a, …')
    """
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")


def verdict(report: RunReport, headline: str, better: bool, sentences: Iterable[str]) -> Verdict:
    """A verdict of some sentences, of which empty ones are left out, and a word on small data."""
    num_items, (one, many) = report.split_sizes["test"], report.nouns
    if num_items < _ROUGH_ITEMS:
        noun = many if num_items != 1 else one
        where = "All folds together test" if report.folds else "The test set holds"
        few = f"{where} only {num_items} {noun}: the figures are rough."
        sentences = (*sentences, few)
    return Verdict(
        headline=headline,
        better_than_guessing=better,
        sentences=tuple(sentence for sentence in sentences if sentence),
    )


def percent(share: float | None) -> str:
    r"""A share as a percentage, with a decimal where rounding would hide what matters.

    >>> percent(0.883), percent(0.9973), percent(0.99999), percent(1.0), percent(None)
    ('88\xa0%', '99.7\xa0%', '99.9\xa0%', '100\xa0%', '–')
    """
    if share is None:
        return "–"
    if _ROUNDING < share < 0.01 or 0.99 < share < 1 - _ROUNDING:
        return f"{min(max(100 * share, 0.1), 99.9):.1f}{PERCENT}"
    return f"{100 * share:.0f}{PERCENT}"


def interval_text(figure: Estimate) -> str:
    """The limits of a share, "85 to 90 %"; empty where there are none."""
    if figure.ci95 is None:
        return ""
    return f"{percent(figure.ci95[0]).removesuffix(PERCENT)} to {percent(figure.ci95[1])}"


@dataclass(frozen=True)
class Metric:
    """How a metric is shown.

    Attributes:
        name: Its name for a person.
        meaning: What it means, in a few words.
        scale: Factor by which values are multiplied.
        decimals: Number of decimals; None for three significant digits.
        unit: What stands behind the last value, with the space before it.
    """

    name: str
    meaning: str
    scale: float = 1.0
    decimals: int | None = 3
    unit: str = ""

    def text(self, *values: float) -> str:
        """Values with the unit behind the last."""
        return " to ".join(self._number(self.scale * value) for value in values) + self.unit

    def _number(self, value: float) -> str:
        if self.decimals is None:
            return number_text(value)
        return f"{round(value, self.decimals) + 0.0:.{self.decimals}f}"  # never "-0.000"


def figure_table(
    metrics: Mapping[str, Metric], test: Record, baselines: Mapping[str, Record | None]
) -> dict[str, Any]:
    """The variables `columns` and `metrics` of the page: a row a metric, a column a baseline.

    Args:
        metrics: How each is shown, by the name of its field.
        test: The model's figures.
        baselines: The figures of the baselines by name; None where there is no such baseline.
    """
    shown = {name: figures for name, figures in baselines.items() if figures is not None}
    rows: list[dict[str, Any]] = []
    for key, metric in metrics.items():
        figure: Estimate = getattr(test, key)
        rows.append(
            {
                "name": metric.name,
                "meaning": metric.meaning,
                "value": _text(metric, figure),
                "interval": "" if figure.ci95 is None else metric.text(*figure.ci95),
                "reason": figure.reason,
                "baselines": [_text(metric, getattr(each, key)) for each in shown.values()],
            }
        )
    return {"columns": list(shown), "metrics": rows}


def _text(metric: Metric, figure: Estimate) -> str:
    return "–" if figure.value is None else metric.text(figure.value)
