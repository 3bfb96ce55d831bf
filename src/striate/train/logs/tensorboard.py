"""Event files for TensorBoard, in the folder `tensorboard` of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from striate.train.history import EpochRow
from striate.train.logs.log import LOGS, Log, curves

FOLDER: Final = "tensorboard"


class TensorBoardLog(Log):
    """Writes event files, in which a resumed fit goes on.

    Args:
        folder: The run folder.
        settings: The options of the fit, shown as a text.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        # Imported by its name, since torch has no types for it.
        library: Any = import_module("torch.utils.tensorboard")
        self._writer = library.SummaryWriter(str(folder / FOLDER))
        text = json.dumps(settings, indent=4, default=str)
        self._writer.add_text("options", "\n".join(f"    {line}" for line in text.splitlines()))

    def epoch(self, row: EpochRow) -> None:
        """See `Log.epoch`."""
        for name, value in curves(row).items():
            self._writer.add_scalar(f"{self.part}/{name}", value, row.epoch)
        self._writer.flush()

    def figures(self, figures: Mapping[str, float]) -> None:
        """See `Log.figures`."""
        for name, value in figures.items():
            self._writer.add_scalar(f"test/{name}", value, 0)

    def close(self) -> None:
        """See `Log.close`."""
        self._writer.close()


LOGS.add("tensorboard", TensorBoardLog)
