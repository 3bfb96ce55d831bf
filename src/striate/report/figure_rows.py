"""The table of figures: a row a metric, the model beside its baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from striate.metrics import number_text
from striate.report.schema import Figure, Record


@dataclass(frozen=True)
class Metric:
    """How a metric is shown.

    Attributes:
        name: for a person.
        meaning: in a few words.
        scale: what values are multiplied with.
        decimals: None for three significant digits.
        unit: behind the last value, with the space before it.
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


def figure_rows(
    metrics: Mapping[str, Metric], test: Record, baselines: Sequence[Record]
) -> list[dict[str, object]]:
    """A row a metric: the model's value and interval, and the baselines' values.

    Args:
        metrics: by the name of their field.
        test: the model's figures.
        baselines: those of the baselines, a column each.
    """
    rows: list[dict[str, object]] = []
    for key, metric in metrics.items():
        figure: Figure = getattr(test, key)
        rows.append(
            {
                "name": metric.name,
                "meaning": metric.meaning,
                "value": _text(metric, figure),
                "interval": "" if figure.ci95 is None else metric.text(*figure.ci95),
                "reason": figure.reason,
                "baselines": [_text(metric, getattr(baseline, key)) for baseline in baselines],
            }
        )
    return rows


def _text(metric: Metric, figure: Figure) -> str:
    return "–" if figure.value is None else metric.text(figure.value)
