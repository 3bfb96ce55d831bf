"""What a log of a fit is: it is told each epoch and, at the end, the figures on the test items."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias

from striate.errors import MissingExtraError
from striate.registry import Registry, load_entry
from striate.train.history import EpochRow


class Log(ABC):
    """A log of one fit.

    Attributes:
        part: What is being trained, the name of a method; the curves of each stand apart.
    """

    part: str = ""

    def begin(self, part: str) -> None:
        """From now on the epochs are of another training.

        Args:
            part: Name of the method.
        """
        self.part = part

    @abstractmethod
    def epoch(self, row: EpochRow) -> None:
        """Log an epoch: its training loss, its validation metrics, its learning rate."""

    @abstractmethod
    def figures(self, figures: Mapping[str, float]) -> None:
        """Log the figures on the test items, by name."""

    @abstractmethod
    def close(self) -> None:
        """Write what is not written yet."""


class NoLog(Log):
    """Logs nothing."""

    def epoch(self, row: EpochRow) -> None:
        """See `Log.epoch`."""

    def figures(self, figures: Mapping[str, float]) -> None:
        """See `Log.figures`."""

    def close(self) -> None:
        """See `Log.close`."""


Opener: TypeAlias = Callable[[Path, Mapping[str, Any]], Log]
"""Opens a log, from the run folder and the options of the fit."""

LOGS: Final[Registry[Opener]] = Registry("log")
"""The logs by name, once their modules are imported."""

NO_LOG: Final = "none"

_PACKAGE: Final = "striate.train.logs"


def check_log(name: str) -> None:
    """Make sure that a log can be written.

    Args:
        name: "none", or the name of a log, which is that of its package and of its extra too.

    Raises:
        MissingExtraError: Its package is not installed.
    """
    if name != NO_LOG and find_spec(name) is None:
        raise MissingExtraError(name, name)


def open_log(name: str, folder: Path, settings: Mapping[str, Any]) -> Log:
    """Open a log.

    Args:
        name: "none", or the name of a log.
        folder: The run folder.
        settings: The options of the fit, by name.
    """
    if name == NO_LOG:
        return NoLog()
    return load_entry(LOGS, _PACKAGE, name)(folder, settings)


def curves(row: EpochRow) -> dict[str, float]:
    """The values of an epoch by name, as in `history.csv`."""
    validated = {f"val_{name}": value for name, value in row.metrics.items()}
    return {"train_loss": row.train_loss, **validated, "learning_rate": row.learning_rate}
