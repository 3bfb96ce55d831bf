"""What a fit leaves in its run folder once the model is chosen: figures, files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.run.folder import HISTORY, PREDICTIONS, RunFolder
from striate.tasks import AnyCalibration, Task


def write_predictions(
    folder: RunFolder,
    task: Task,
    calibration: AnyCalibration,
    parts: Sequence[tuple[NDArray[np.int64], Tensor]],
) -> None:
    """Write `predictions.csv`.

    Args:
        folder: of the run.
        task: of the items.
        calibration: of the outputs.
        parts: positions of items and their uncalibrated outputs.
    """
    dataset = task.dataset

    def rows() -> Iterator[Sequence[object]]:
        for indices, outputs in parts:
            cells = task.prediction_rows(outputs, calibration, indices)
            for index, row in zip(indices, cells, strict=True):
                yield dataset.items[index].id, str(dataset.splits[index]), *row

    folder.write_csv(PREDICTIONS, ["item", "split", *task.prediction_columns()], rows())


def write_history(folder: RunFolder, history: Sequence[Mapping[str, float]]) -> None:
    """Write `history.csv`: a row an epoch, none where nothing was trained by epochs."""
    columns = list(history[0]) if history else ["epoch"]
    folder.write_csv(HISTORY, columns, [list(row.values()) for row in history])


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    names = ("striate", "torch", "numpy", "pillow", "scikit-learn")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}
