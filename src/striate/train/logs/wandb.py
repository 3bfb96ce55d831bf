"""Weights & Biases: a run of the project `striate`; WANDB_PROJECT and WANDB_MODE are followed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from striate.files import write_atomic
from striate.train.history import EpochRow
from striate.train.logs.log import LOGS, Log, curves

FOLDER: Final = "wandb"

ID: Final = "striate-id"
"""File that holds the run's id, by which a resumed fit goes on with it."""


class WandbLog(Log):
    """Logs to Weights & Biases: to its server, or with WANDB_MODE=offline into the run folder.

    Args:
        folder: The run folder.
        settings: The options of the fit, sent as its configuration.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        path = folder / FOLDER / ID
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, uuid4().hex[:12].encode())
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "striate"),
            name=folder.name,
            id=path.read_text(),
            resume="allow",
            dir=str(folder),
            config=dict(settings),
        )

    def begin(self, part: str) -> None:
        """See `Log.begin`."""
        super().begin(part)
        # Each training counts its own epochs, and a step of W&B may not go back.
        self._run.define_metric(f"{part}/*", step_metric=f"{part}/epoch")

    def epoch(self, row: EpochRow) -> None:
        """See `Log.epoch`."""
        values = {"epoch": row.epoch, **curves(row)}
        self._run.log({f"{self.part}/{name}": value for name, value in values.items()})

    def figures(self, figures: Mapping[str, float]) -> None:
        """See `Log.figures`."""
        self._run.summary.update({f"test/{name}": value for name, value in figures.items()})

    def close(self) -> None:
        """See `Log.close`."""
        self._run.finish()


LOGS.add("wandb", WandbLog)
