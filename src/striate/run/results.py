"""What a fit leaves in its run folder once the model is chosen: figures, files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Dataset
from striate.files import write_atomic
from striate.metrics.novelty import is_unknown
from striate.report import Picture, RunReport, render_html
from striate.run.folder import HISTORY, PREDICTIONS, REPORT_HTML, REPORT_JSON, RunFolder
from striate.tasks import Calibration, Prediction, Task

_INDENTED_CLASSES = 20
"""Up to so many classes `report.json` is written to be read; their matrix is the most of it."""


@dataclass(frozen=True, kw_only=True)
class PredictedItems:
    """Items that one model predicted.

    Attributes:
        indices: Their positions in the data set.
        outputs: (items, outputs) Their uncalibrated outputs.
        calibration: The calibration of the outputs.
        novelty: (items,) Their novelty; None where it is not known.
        fold: The fold of a cross-validation in which they were tested, from 1; None without one.
    """

    indices: NDArray[np.int64]
    outputs: Tensor
    calibration: Calibration
    novelty: NDArray[np.float64] | None = None
    fold: int | None = None


def write_predictions(
    folder: RunFolder, task: Task, dataset: Dataset, parts: Sequence[PredictedItems]
) -> None:
    """Write `predictions.csv`, which `folder.read_csv` reads back.

    Args:
        folder: The run folder.
        task: The task of the run.
        dataset: The data set of the run.
        parts: The items, in the order of the rows. Those of folds have a column that names it.
    """
    with_folds = any(part.fold is not None for part in parts)

    def rows() -> Iterator[Sequence[object]]:
        for part in parts:
            ids = dataset.ids(part.indices)
            predictions = task.predictions(ids, part.outputs, part.calibration, dataset.classes)
            if part.novelty is not None:
                predictions = with_novelty(predictions, part.novelty)
            for index, prediction in zip(part.indices, predictions, strict=True):
                truth = task.truth(dataset.target, index)
                where = [str(dataset.splits[index])] if part.fold is None else ["test", part.fold]
                yield prediction.item, *where, truth, *task.cells(prediction)

    where = ["split", "fold"] if with_folds else ["split"]
    columns = ["item", *where, task.truth_column, *task.columns(dataset.classes)]
    folder.write_csv(PREDICTIONS, columns, rows())


def with_novelty(
    predictions: Sequence[Prediction], novelty: NDArray[np.float64]
) -> list[Prediction]:
    """Predictions that also say how strange each item is.

    Args:
        predictions: What is predicted for some items.
        novelty: (items,) Their novelty.
    """
    unknown = is_unknown(novelty).tolist()
    rows = zip(predictions, novelty.tolist(), unknown, strict=True)
    return [replace(told, novelty=value, unknown=strange) for told, value, strange in rows]


def write_history(folder: RunFolder, history: Sequence[Mapping[str, float]]) -> None:
    """Write `history.csv`: a row an epoch, none where nothing was trained by epochs."""
    columns = list(history[0]) if history else ["epoch"]
    folder.write_csv(HISTORY, columns, [list(row.values()) for row in history])


def write_report(
    folder: RunFolder, task: Task, report: RunReport, pictures: Mapping[str, Picture]
) -> None:
    """Write `report.json` and `report.html`, each whole or not at all.

    Args:
        folder: The run folder.
        task: The task of the run.
        report: The report, of this task.
        pictures: Pictures of test items by id; those of the worst mistakes are shown.

    Raises:
        StorageError: A file could not be written.
    """
    page = render_html(report, task.template, task.context(report), pictures)
    text = report.model_dump_json(indent=2 if len(report.classes) <= _INDENTED_CLASSES else None)
    write_atomic(folder.path / REPORT_JSON, text.encode())
    write_atomic(folder.path / REPORT_HTML, page.encode())


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    names = ("striate", "torch", "numpy", "pillow", "scikit-learn")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}
