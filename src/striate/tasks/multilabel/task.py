"""The task of several labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import Tensor

from striate.data.dataset import Dataset
from striate.data.names import in_order
from striate.data.readers.tables import LABELS
from striate.data.source import Item
from striate.data.target import Target
from striate.errors import DataError, UnknownNameError, one_line
from striate.metrics.paired import PairedComparison
from striate.tasks.multilabel.labels import (
    check_columns,
    has_columns,
    joined,
    label_sets,
    membership,
    named_labels,
    split_labels,
)
from striate.tasks.multilabel.metrics import evaluate
from striate.tasks.multilabel.page import page_context
from striate.tasks.multilabel.report import MultilabelReport
from striate.tasks.multilabel.scoring import PREFIX, LabelCalibration, compare_rows
from striate.tasks.multilabel.target import LabelTarget, MultilabelObjective
from striate.tasks.prediction import NOVELTY_COLUMNS, Judged, Prediction
from striate.tasks.task import TASKS, Classes, Items, Metrics, Rows, Task


class Multilabel(Task):
    """Which of some labels an item has: several, one or none."""

    name = "multilabel"
    truth_column = LABELS
    report_type = MultilabelReport
    template = Path(__file__).with_name("page.html")
    first_metrics = ("map", "micro_f1", "roc_auc")

    def claims(self, items: Items) -> bool:
        """Whether there is a column of labels, or one of 0 and 1 for each label.

        Raises:
            DataError: There are further columns and no other answers, but not all hold 0 and 1.
        """
        if any(LABELS in item.extra for item in items):
            return True
        in_columns = [item for item in items if has_columns(item)]
        check_columns(in_columns)
        return bool(in_columns)

    def is_answered(self, item: Item) -> bool:
        """Whether the item has labels, be they none; a single label is one too."""
        return LABELS in item.extra or item.label is not None or has_columns(item)

    def encode(self, items: Items, name: str) -> LabelTarget:
        """Whether each item has each label."""
        return LabelTarget.of(items, name)

    def objective(self, dataset: Dataset) -> MultilabelObjective:
        """Binary cross entropy."""
        return MultilabelObjective(dataset)

    def calibration(self, document: Mapping[str, Any]) -> LabelCalibration:
        """Scales, shifts and thresholds."""
        return LabelCalibration.from_json(document)

    def predictions(
        self, ids: Sequence[str], outputs: Tensor, calibration: LabelCalibration, classes: Classes
    ) -> list[Prediction]:
        """The labels of each item, and every probability."""
        probabilities = calibration.answers(outputs.numpy())
        decided = calibration.decided(probabilities)
        return [
            Prediction(
                item=item,
                labels=tuple(classes[k] for k in np.flatnonzero(said)),
                probabilities=row,
                classes=classes,
            )
            for item, row, said in zip(ids, probabilities, decided, strict=True)
        ]

    def truth(self, target: Target, index: int) -> str:
        """The names of the labels."""
        return target.text(index)

    def columns(self, classes: Classes) -> list[str]:
        """The predicted labels, how strange the item is, and a probability for each label."""
        return ["prediction", *NOVELTY_COLUMNS, *(PREFIX + name for name in classes)]

    def cells(self, prediction: Prediction) -> list[str | float]:
        """Labels as a manifest has them, and probabilities of nine significant digits."""
        if prediction.probabilities is None:
            return [""] * (3 + len(prediction.classes))
        digits = [f"{share:.9g}" for share in prediction.probabilities]
        return [joined(prediction.labels or ()), *prediction.novelty_cells(), *digits]

    def judged(self, row: Mapping[str, str]) -> Judged:
        """The labels and the predicted ones; wrong by the number of labels that differ."""
        truth, answer = row[LABELS], row["prediction"]
        wrong = split_labels(truth) ^ split_labels(answer)
        return Judged(truth=truth, answer=answer, error=float(len(wrong)))

    def check_answers(self, items: Items, name: str, classes: Classes) -> None:
        """Make sure that the run knows every label, and the data know every label of the run.

        Raises:
            DataError: It does not, there are no items, or a column is missing.
        """
        if not items:
            raise DataError(f"{name}: no item has labels", fix="add a column labels")
        known = set(named_labels(items))
        missing = in_order(set(classes) - known)
        if missing and has_columns(items[0]):
            raise DataError(
                f"{name} has no column {', '.join(missing[:8])}",
                why="it is not known which items have these labels",
                fix="add the columns, of 0 and 1",
            )
        unknown = in_order(known - set(classes))
        if unknown:
            raise DataError(
                f"{name} has labels the model does not know: {', '.join(unknown[:8])}",
                why=f"it was trained on {', '.join(classes[:8])}",
                fix="rename or remove them",
            )

    def evaluate(
        self, outputs: Tensor, calibration: LabelCalibration, items: Items, classes: Classes
    ) -> Metrics:
        """Mean average precision, F1 and areas under the ROC curve."""
        probabilities = calibration.answers(outputs.numpy())
        truth = membership(label_sets(items), classes)
        return evaluate(probabilities, calibration.decided(probabilities), truth).metrics

    def compare(self, first: Rows, second: Rows, classes: Classes) -> PairedComparison:
        """Wilcoxon's test of the numbers of wrong labels, and the differences of the metrics."""
        return compare_rows(first, second, classes)

    def context(self, report: MultilabelReport) -> dict[str, Any]:
        """The verdict and tables."""
        return page_context(report)

    def output_named(self, name: str, classes: Classes) -> int:
        """The number of a label.

        Raises:
            UnknownNameError: There is no such label.
        """
        if name not in classes:
            raise UnknownNameError("label", name, classes)
        return classes.index(name)

    def mistakes(self, report: MultilabelReport, classes: Classes) -> list[tuple[str, int]]:
        """The items with a wrong label, and that label."""
        # The report shows an odd name in another form than the data has it.
        number = {one_line(name): k for k, name in enumerate(classes)}
        return [(mistake.id, number[mistake.label]) for mistake in report.worst_mistakes]


MULTILABEL: Final = TASKS.add(Multilabel.name, Multilabel())
