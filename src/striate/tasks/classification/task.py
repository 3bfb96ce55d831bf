"""The task of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from striate.data.dataset import Dataset
from striate.data.folder_walk import few
from striate.data.names import in_order
from striate.data.readers.tables import SEPARATOR
from striate.data.source import Item
from striate.data.splits import SPLITS
from striate.data.target import Target
from striate.errors import DataError, UnknownNameError, nearest, one_line
from striate.metrics.classification import evaluate
from striate.metrics.deciding.aim import Aim
from striate.metrics.paired import PairedComparison
from striate.tasks.classification.page import page_context
from striate.tasks.classification.report import ClassificationReport
from striate.tasks.classification.scoring import PREFIX, ClassCalibration, compare_rows
from striate.tasks.classification.target import ClassificationObjective, ClassTarget
from striate.tasks.prediction import Judged, Prediction
from striate.tasks.task import TASKS, Classes, Items, Metrics, Rows, Task


class Classification(Task):
    """Which of some classes an item belongs to."""

    name = "classification"
    truth_column = "label"
    report_type = ClassificationReport
    template = Path(__file__).with_name("page.html")
    first_metrics = ("accuracy", "roc_auc", "ece")
    one_class = True

    def is_answered(self, item: Item) -> bool:
        """Whether the item has a label."""
        return item.label is not None

    def check_learnable(self, items: Items, name: str) -> None:
        """A classifier needs two classes, and every class of another split in training.

        Raises:
            DataError: It is not so.
        """
        super().check_learnable(items, name)
        labels = {item.label for item in items} - {None}
        if len(labels) == 1:
            raise DataError(
                f"{name} has 1 class ({next(iter(labels))!r})",
                why="a classifier needs two or more",
                fix="put the items of each class in a folder of its own",
            )
        splits: dict[str, set[str]] = {split: set() for split in SPLITS}
        for item in items:
            if item.label is not None:
                splits[item.split or "train"].add(item.label)
        for split in ("val", "test"):
            if extra := in_order(splits[split] - splits["train"]):
                lacking = in_order(splits["train"] - splits[split])
                only_in_train = f"; only in train: {few(lacking)}" if lacking else ""
                raise DataError(
                    f"train and {split} of {name} have different classes",
                    why=f"only in {split}: {few(extra)}{only_in_train}",
                    fix=f"add items of them to train, or leave them out of {split}",
                )

    def check_aim(self, aim: Aim, items: Items) -> None:
        """Classes that are named must be there.

        Raises:
            UnknownNameError: One is not.
        """
        there = {item.label for item in items if item.label is not None}
        for name, option in aim.named.items():
            if name not in there:
                raise UnknownNameError(f"class of `{option}`", name, there)

    def encode(self, items: Items, name: str) -> ClassTarget:
        """The class numbers."""
        return ClassTarget.of([item.label or "" for item in items])

    def objective(self, dataset: Dataset) -> ClassificationObjective:
        """Cross entropy."""
        return ClassificationObjective(dataset)

    def calibration(self, document: Mapping[str, Any]) -> ClassCalibration:
        """Temperature, shifts and prediction sets."""
        return ClassCalibration.from_json(document)

    def predictions(
        self, ids: Sequence[str], outputs: Tensor, calibration: ClassCalibration, classes: Classes
    ) -> list[Prediction]:
        """The class that each item is taken for, its set of classes, and every probability."""
        probabilities = calibration.answers(outputs.numpy())
        sets = _named_sets(probabilities, calibration, classes)
        chosen = calibration.chosen(probabilities).tolist()
        undecided = calibration.undecided(probabilities)
        rows = zip(ids, probabilities, chosen, sets, undecided, strict=True)
        return [
            Prediction(
                item=item,
                label=classes[number],
                confidence=float(row[number]),
                probabilities=row,
                classes=classes,
                prediction_set=likely,
                undecided=unsure,
            )
            for item, row, number, likely, unsure in rows
        ]

    def truth(self, target: Target, index: int) -> str:
        """The name of the class."""
        return target.text(index)

    def columns(self, classes: Classes) -> list[str]:
        """The class, whether it is too unsure, how strange the item is, its set, the probabilities."""
        names = (PREFIX + name for name in classes)
        return ["prediction", "confidence", "undecided", "unknown", "set", "novelty", *names]

    def cells(self, prediction: Prediction) -> list[str | float]:
        """Nine significant digits; the classes of a set as a manifest has several labels."""
        if prediction.probabilities is None:
            return [""] * (6 + len(prediction.classes))
        likely = SEPARATOR.join(prediction.prediction_set or ())
        digits = [f"{share:.9g}" for share in prediction.probabilities]
        unknown, novelty = prediction.novelty_cells()
        unsure = "" if prediction.undecided is None else str(prediction.undecided).lower()
        answer = [prediction.label or "", f"{prediction.confidence:.9g}", unsure]
        return [*answer, unknown, likely, novelty, *digits]

    def judged(self, row: Mapping[str, str]) -> Judged:
        """The class and the predicted one; wrong by 1 where they differ."""
        truth, answer = row["label"], row["prediction"]
        return Judged(truth=truth, answer=answer, error=float(truth != answer))

    def check_answers(self, items: Items, name: str, classes: Classes) -> None:
        """Make sure that the run knows every class.

        Raises:
            DataError: It does not, or there are no items.
        """
        if not items:
            fix = "put the items of each class in a folder of its own, or add a column label"
            raise DataError(f"{name}: no item has a label", fix=fix)
        unknown = in_order({item.label or "" for item in items} - set(classes))
        if unknown:
            meant = {label: nearest(label, classes)[:1] for label in unknown}
            pairs = [f"{label} may be {near[0]}" for label, near in meant.items() if near]
            raise DataError(
                f"{name} has classes the model does not know: {', '.join(unknown[:8])}",
                why=f"it was trained on {', '.join(classes[:8])}",
                fix="rename or remove them" + (f" ({few(pairs)})" if pairs else ""),
            )

    def evaluate(
        self, outputs: Tensor, calibration: ClassCalibration, items: Items, classes: Classes
    ) -> Metrics:
        """Accuracy and its kin, log loss, calibration error."""
        number = {name: k for k, name in enumerate(classes)}
        labels = np.array([number[item.label or ""] for item in items])
        probabilities = calibration.answers(outputs.numpy())
        chosen = calibration.chosen(probabilities)
        return evaluate(probabilities, labels, predictions=chosen).metrics

    def answer_notes(self, items: Items, classes: Classes) -> tuple[str, ...]:
        """Classes without an item."""
        there = {item.label for item in items}
        absent = [name for name in classes if name not in there]
        return (f"no item of {few(absent)}: the figures leave them out",) if absent else ()

    def compare(self, first: Rows, second: Rows, classes: Classes) -> PairedComparison:
        """McNemar's test, and the differences of the metrics."""
        return compare_rows(first, second, classes)

    def context(self, report: ClassificationReport) -> dict[str, Any]:
        """The verdict, tables and charts."""
        return page_context(report)

    def output_named(self, name: str, classes: Classes) -> int:
        """The number of a class.

        Raises:
            UnknownNameError: There is no such class.
        """
        if name not in classes:
            raise UnknownNameError("class", name, classes)
        return classes.index(name)

    def mistakes(self, report: ClassificationReport, classes: Classes) -> list[tuple[str, int]]:
        """The items that were taken for another class, and that class."""
        # The report shows an odd name in another form than the data has it.
        number = {one_line(name): k for k, name in enumerate(classes)}
        return [(mistake.id, number[mistake.prediction]) for mistake in report.worst_mistakes]


def _named_sets(
    probabilities: Float[np.ndarray, "n c"], calibration: ClassCalibration, classes: Classes
) -> list[tuple[str, ...] | None]:
    """The prediction set of each item, the most probable class first; None where there are none."""
    if calibration.sets is None:
        return [None] * len(probabilities)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    members = np.take_along_axis(calibration.sets.members(probabilities), order, 1)
    rows = zip(order, members, strict=True)
    return [tuple(classes[k] for k in row[inside].tolist()) for row, inside in rows]


CLASSIFICATION: Final = TASKS.add(Classification.name, Classification())
