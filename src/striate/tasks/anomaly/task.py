"""The task of anomalies: what is unlike the good items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from torch import Tensor

from striate.data.dataset import Dataset
from striate.data.source import Item, Source
from striate.data.target import Target
from striate.errors import DataError, OptionError
from striate.metrics.paired import PairedComparison
from striate.tasks.anomaly.good_items import good_alone, good_class, several_classes
from striate.tasks.anomaly.metrics import evaluate
from striate.tasks.anomaly.page import page_context
from striate.tasks.anomaly.prediction import AnomalyPrediction
from striate.tasks.anomaly.report import AnomalyReport
from striate.tasks.anomaly.scoring import (
    ODD,
    AnomalyCalibration,
    compare_rows,
    is_odd,
    verdict_of,
)
from striate.tasks.anomaly.target import AnomalyObjective, AnomalyTarget
from striate.tasks.prediction import Judged, Prediction
from striate.tasks.task import TASKS, Classes, Items, Metrics, Rows, Task


class Anomaly(Task):
    """Whether an item is like the good ones that alone were learnt from."""

    name = "anomaly"
    truth_column = "label"
    report_type = AnomalyReport
    template = Path(__file__).with_name("page.html")
    first_metrics = ("roc_auc", "recall", "false_alarms")
    text_columns = ("prediction",)
    prediction_type = AnomalyPrediction
    own_methods: ClassVar[tuple[str, ...]] = ("oneclass",)
    instead = "give the items of several classes"

    def arranged(self, source: Source, options: Mapping[str, Any]) -> Source:
        """Items of other classes than the one that is named as good are for the test."""
        good = options.get("good")
        return good_alone(source, good) if good else source

    def claims(self, items: Items) -> bool:
        """Whether all items have a class, and those of training one alone."""
        return good_class(items) is not None and not any(item.target is not None for item in items)

    def is_answered(self, item: Item) -> bool:
        """Whether the item has a label."""
        return item.label is not None

    def check_learnable(self, items: Items, name: str) -> None:
        """It must be known which class is the good one.

        Raises:
            DataError: It is not.
        """
        super().check_learnable(items, name)
        if good_class(items) is None:
            raise several_classes(items, name)

    def encode(self, items: Items, name: str) -> AnomalyTarget:
        """Whether each item is odd."""
        return AnomalyTarget.of(items, name)

    def objective(self, dataset: Dataset) -> AnomalyObjective:
        """A threshold from held-out good items."""
        return AnomalyObjective(dataset)

    def calibration(self, document: Mapping[str, Any]) -> AnomalyCalibration:
        """Good class and threshold."""
        return AnomalyCalibration.from_json(document)

    def predictions(
        self, ids: Sequence[str], outputs: Tensor, calibration: AnomalyCalibration, classes: Classes
    ) -> list[Prediction]:
        """The verdict on each item, and its score."""
        scores = calibration.answers(outputs.numpy())
        rows = zip(ids, scores.tolist(), is_odd(scores).tolist(), strict=True)
        return [
            AnomalyPrediction(item=item, label=verdict_of(odd), score=score)
            for item, score, odd in rows
        ]

    def truth(self, target: Target, index: int) -> str:
        """What the verdict should be."""
        return verdict_of(bool(target.values[index]))

    def columns(self, classes: Classes) -> list[str]:
        """The verdict and the score."""
        return ["prediction", "score"]

    def cells(self, prediction: Prediction) -> list[str | float]:
        """Nine significant digits."""
        if prediction.label is None:
            return ["", ""]
        return [prediction.label, float(f"{prediction.numbers()[0]:.9g}")]

    def judged(self, row: Mapping[str, str]) -> Judged:
        """The verdict; wrong by 1 where it should be the other."""
        truth, answer = row["label"], row["prediction"]
        return Judged(truth=truth, answer=answer, error=float(truth != answer))

    def check_answers(self, items: Items, name: str, classes: Classes) -> None:
        """Make sure that there are items.

        Raises:
            DataError: There are none.
        """
        if not items:
            fix = "put the items of each class in a folder of its own"
            raise DataError(f"{name}: no item has a label", fix=fix)

    def evaluate(
        self, outputs: Tensor, calibration: AnomalyCalibration, items: Items, classes: Classes
    ) -> Metrics:
        """Area under the ROC curve, recall, precision, false alarms."""
        odd = np.array([item.label != calibration.good for item in items])
        return evaluate(calibration.answers(outputs.numpy()), odd)

    def compare(self, first: Rows, second: Rows, classes: Classes) -> PairedComparison:
        """McNemar's test of the verdicts, and the differences of the metrics."""
        return compare_rows(first, second)

    def context(self, report: AnomalyReport) -> dict[str, Any]:
        """The verdict, table and chart."""
        return page_context(report)

    def output_named(self, name: str, classes: Classes) -> int:
        """Zero: there is one output, which is for odd.

        Raises:
            ArgumentError: The name is another one.
        """
        if name != ODD:
            why = "the run tells what is odd, and nothing else"
            raise OptionError("target", name, why=why, fix=f"leave it out, or write {ODD}")
        return 0

    def output_name(self, number: int, classes: Classes) -> str:
        """What the output is evidence for."""
        return ODD

    def mistakes(self, report: AnomalyReport, classes: Classes) -> list[tuple[str, int]]:
        """The items with a wrong verdict, and the one output."""
        return [(mistake.id, 0) for mistake in report.worst_mistakes]


ANOMALY: Final = TASKS.add(Anomaly.name, Anomaly())
