"""The task of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import Tensor

from striate.data.dataset import Dataset
from striate.data.source import Item
from striate.data.target import Target
from striate.errors import DataError, OptionError
from striate.metrics.paired import PairedComparison
from striate.metrics.regression import IN_UNIT, evaluate_regression
from striate.tasks.prediction import NOVELTY_COLUMNS, Judged, Prediction
from striate.tasks.regression.page import page_context
from striate.tasks.regression.report import RegressionReport
from striate.tasks.regression.scoring import NumberCalibration, compare_rows
from striate.tasks.regression.target import NumberTarget, RegressionObjective
from striate.tasks.task import TASKS, Classes, Items, Metrics, Rows, Task


class Regression(Task):
    """How large a number an item has."""

    name = "regression"
    truth_column = "target"
    report_type = RegressionReport
    template = Path(__file__).with_name("page.html")
    first_metrics = ("mae", "r2")
    digits = 4
    in_unit = IN_UNIT
    text_columns = ()

    def is_answered(self, item: Item) -> bool:
        """Whether the item has a target."""
        return item.target is not None

    def encode(self, items: Items, name: str) -> NumberTarget:
        """The numbers."""
        return NumberTarget.of(items)

    def objective(self, dataset: Dataset) -> RegressionObjective:
        """Squared error."""
        return RegressionObjective(dataset)

    def calibration(self, document: Mapping[str, Any]) -> NumberCalibration:
        """Mean, standard deviation, unit and interval."""
        return NumberCalibration.from_json(document)

    def predictions(
        self, ids: Sequence[str], outputs: Tensor, calibration: NumberCalibration, classes: Classes
    ) -> list[Prediction]:
        """The number of each item with its interval."""
        limits, unit = calibration.limits, calibration.unit
        return [
            Prediction(item=item, value=value, interval=limits(value), unit=unit)
            for item, value in zip(ids, calibration.answers(outputs.numpy()).tolist(), strict=True)
        ]

    def truth(self, target: Target, index: int) -> float:
        """The true number."""
        return _rounded(target.values[index])

    def columns(self, classes: Classes) -> list[str]:
        """The number, the limits of its interval, and how strange the item is."""
        return ["prediction", "low", "high", *NOVELTY_COLUMNS]

    def cells(self, prediction: Prediction) -> list[str | float]:
        """Nine significant digits; empty where there is no number or no interval."""
        numbers = (prediction.value, *(prediction.interval or (None, None)))
        told = ["" if number is None else _rounded(number) for number in numbers]
        return [*told, *prediction.novelty_cells()]

    def judged(self, row: Mapping[str, str]) -> Judged:
        """The number and the predicted one; wrong by their distance."""
        truth, answer = float(row["target"]), float(row["prediction"])
        return Judged(truth=truth, answer=answer, error=abs(truth - answer))

    def check_answers(self, items: Items, name: str, classes: Classes) -> None:
        """Make sure that there are items.

        Raises:
            DataError: There are none.
        """
        if not items:
            raise DataError(f"{name}: no item has a target", fix="add a column target")

    def evaluate(
        self, outputs: Tensor, calibration: NumberCalibration, items: Items, classes: Classes
    ) -> Metrics:
        """Errors, explained variance, correlation."""
        targets = np.array([item.target for item in items], np.float64)
        return evaluate_regression(calibration.answers(outputs.numpy()), targets)

    def compare(self, first: Rows, second: Rows, classes: Classes) -> PairedComparison:
        """Wilcoxon's signed-rank test, and the differences of the metrics."""
        return compare_rows(first, second)

    def context(self, report: RegressionReport) -> dict[str, Any]:
        """The verdict, tables and charts."""
        return page_context(report)

    def output_named(self, name: str, classes: Classes) -> int:
        """Nothing: the one output has no name.

        Raises:
            ArgumentError: Always.
        """
        raise OptionError("target", name, why="the run predicts a number", fix="leave it out")

    def mistakes(self, report: RegressionReport, classes: Classes) -> list[tuple[str, int]]:
        """The items that are furthest off, and the one output."""
        return [(mistake.id, 0) for mistake in report.worst_mistakes]


def _rounded(value: float) -> float:
    """Nine significant digits: a number, for a text that begins with a minus is escaped."""
    return float(f"{value:.9g}")


REGRESSION: Final = TASKS.add(Regression.name, Regression())
