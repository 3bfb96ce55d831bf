"""Good and odd items as a fit learns them: the good ones alone, a threshold from held-out ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Dataset
from striate.data.names import in_order
from striate.data.source import Item, Note
from striate.data.target import Target
from striate.errors import one_line
from striate.report import EvaluatedItems, RunFacts
from striate.tasks.anomaly.good_items import good_class, several_classes
from striate.tasks.anomaly.metrics import THRESHOLD, alarm_threshold
from striate.tasks.anomaly.report import AnomalyReport, build_report
from striate.tasks.anomaly.scoring import AnomalyCalibration, is_odd
from striate.tasks.objective import Indices, Objective
from striate.tasks.prediction import Calibration


@dataclass(frozen=True, kw_only=True)
class AnomalyTarget(Target):
    """Whether each item is odd: of another class than the good one.

    Attributes:
        good: Name of the class that is learnt from.
        labels: (items,) Name of each item's class.
    """

    good: str
    labels: tuple[str, ...]

    @classmethod
    def of(cls, items: Sequence[Item], name: str) -> Self:
        """The target of items that all have a class.

        Raises:
            DataError: The training items are of several classes.
        """
        good = good_class(items)
        if good is None:
            raise several_classes(items, name)
        labels = tuple(item.label or "" for item in items)
        names = in_order(labels)
        numbers = np.array([names.index(label) for label in labels], np.int64)
        odd = np.array([label != good for label in labels])
        return cls(good=good, labels=labels, values=odd, strata=numbers, answers=numbers)

    def text(self, index: int) -> str:
        """The name of an item's class."""
        return self.labels[index]

    def overview(self) -> dict[str, Any]:
        """The number of items of each class, and which is the good one."""
        counts = {name: self.labels.count(name) for name in in_order(self.labels)}
        return {"classes": counts, "good": self.good}

    def is_complete(self, members: NDArray[np.bool_]) -> bool:
        """Whether a part has good items, without which nothing can be judged in it."""
        return bool((members & ~self.values).any())

    def split_notes(self, items: Sequence[Item], splits: NDArray[np.str_]) -> tuple[Note, ...]:
        """What a user should know of odd items that are not tested, or of a lack of any."""
        notes = []
        unused = np.flatnonzero(self.values & (splits != "test"))
        if len(unused):
            ids = tuple(items[index].id for index in unused.tolist())
            message = (
                f"{len(ids)} items of other classes than {self.good!r} outside of test: not used"
            )
            advice = "put them into test, where they show what the detector finds"
            notes.append(Note(code="odd-items-not-tested", message=message, ids=ids, advice=advice))
        if not (self.values & (splits == "test")).any():
            message = "no odd item to test with: what share of them is found cannot be told"
            advice = "add a few in a folder of their own and name the good one with --good"
            note = Note(code="no-odd-items", message=message, severity="info", advice=advice)
            notes.append(note)
        return tuple(notes)


class AnomalyObjective(Objective):
    """Whether an item is like the good ones; odd items are tested with and never learnt from."""

    metrics = ("mean_score",)
    error_name = "share of wrong verdicts"
    num_outputs = 1

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        target = dataset.target
        self.good: str = target.good if isinstance(target, AnomalyTarget) else ""

    def learnt_from(self, indices: Indices) -> Indices:
        """The good ones."""
        return np.asarray(indices[~self.values[indices]], np.int64)

    def item_losses(
        self, outputs: Tensor, calibration: Calibration, indices: Indices
    ) -> NDArray[np.float64]:
        """The scores."""
        return np.asarray(calibration.answers(outputs.numpy()), np.float64)

    def item_errors(self, answers: NDArray[np.float64], indices: Indices) -> NDArray[np.float64]:
        """1 where the verdict is wrong."""
        return np.asarray(is_odd(answers) != self.values[indices], np.float64)

    def calibrate(self, outputs: Tensor, indices: Indices) -> tuple[AnomalyCalibration, float]:
        """A threshold from the good ones, of copies from one, and their mean score."""
        good = np.flatnonzero(~self.values[indices])
        groups = self.dataset.duplicate_groups[indices[good]]
        first = good[np.unique(groups, return_index=True)[1]]
        threshold = alarm_threshold(outputs.double().numpy()[first, 0])
        calibration = AnomalyCalibration(good=self.good, threshold=threshold)
        return calibration, float(calibration.answers(outputs.numpy()[good]).mean())

    def epoch_metrics(self, outputs: Tensor, indices: Indices) -> Mapping[str, float]:
        """The mean score of the good ones."""
        return {"mean_score": self.calibrate(outputs, indices)[1]}

    def null_loss(self, indices: Indices) -> float:
        """The score of an item at the threshold."""
        return THRESHOLD

    def composition(self) -> tuple[str, str]:
        """The good class, and the classes with their counts."""
        counts = self.dataset.target.overview()["classes"]
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        return f"of which {one_line(self.good)!r} is learnt from", one_line(told)

    def constant(self) -> NDArray[np.float64]:
        """The score of an item at the threshold."""
        return np.array([THRESHOLD])

    def uncalibrated_answers(self, outputs: Tensor) -> NDArray[np.float64]:
        """Distances."""
        return np.asarray(outputs.double().numpy()[:, 0])

    def report(self, facts: RunFacts, items: EvaluatedItems, *, seed: int) -> AnomalyReport:
        """The evaluation of a detector."""
        number = {one: k for k, one in enumerate(self.dataset.ids(np.arange(len(self.values))))}
        target = self.dataset.target
        labels = [target.text(number[one]) for one in items.ids]
        return build_report(facts, items, labels, seed=seed)
