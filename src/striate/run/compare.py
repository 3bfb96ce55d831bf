"""`compare`: two finished runs on the test items that both have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striate.errors import RunError
from striate.files import utf8_text
from striate.metrics.paired import PairedComparison
from striate.run.folder import LOCK, PREDICTIONS
from striate.run.run import Run


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two runs on the same items.

    Attributes:
        first: Folder of the one.
        second: Folder of the other.
        num_items: Number of test items that both have.
        result: The second against the first.
        unit: Unit of what they predict; empty where it has none that is known.
    """

    first: str
    second: str
    num_items: int
    result: PairedComparison
    unit: str = ""

    def as_json(self) -> dict[str, Any]:
        """The document of `striate compare --json`."""
        runs = {"first": self.first, "second": self.second, "items": self.num_items}
        return runs | self.result.as_json()

    def as_text(self) -> str:
        """The result in a few lines."""
        head = (
            f"{self.num_items} test items of both; differences are {self.second} minus {self.first}"
        )
        return "\n".join([head, *self.result.as_lines(self.first, self.second, unit=self.unit)])


def compare(first: Run, second: Run) -> Compared:
    """Compare two finished runs by their predictions for the test items that both have.

    Args:
        first: A finished run.
        second: Another.

    Raises:
        RunError: A run is missing or damaged, the classes differ, or no test item is in both with
            one label.
    """
    task, classes = first.task, first.classes
    pairs = common_rows(first, second)
    result = task.compare([a for a, _ in pairs], [b for _, b in pairs], classes)
    return Compared(
        first=str(first.folder.path),
        second=str(second.folder.path),
        num_items=len(pairs),
        result=result,
        unit=first.calibration.unit,
    )


def common_rows(first: Run, second: Run) -> list[tuple[dict[str, str], dict[str, str]]]:
    """Rows of the `predictions.csv` of two finished runs for the test items that both have.

    Args:
        first: A finished run.
        second: Another.

    Raises:
        RunError: A run is missing or damaged, the classes differ, or no test item is in both with
            one label.
    """
    task, classes = first.task, first.classes
    names = [str(run.folder.path) for run in (first, second)]
    if second.task is not task:
        raise RunError(f"{names[0]} is of {task.name}, {names[1]} of {second.task.name}")
    if second.classes != classes:
        raise RunError(
            f"{names[1]} has other classes than {names[0]}",
            why=f"{', '.join(second.classes[:8])} against {', '.join(classes[:8])}",
        )
    tables = [_test_rows(run) for run in (first, second)]
    truth = task.truth_column
    # By content, so that runs on a moved folder or another listing of the same files compare too.
    pairs = [
        (row, tables[1][key])
        for key, row in tables[0].items()
        if key in tables[1] and row[truth] == tables[1][key][truth]
    ]
    if not pairs:
        raise RunError(
            f"{names[0]} and {names[1]} have no test item in common",
            fix="fit both with the same split: the same `seed=`, or a manifest with a split column",
        )
    return pairs


def _test_rows(run: Run) -> dict[str, dict[str, str]]:
    """Rows of the test items in `predictions.csv`, by the SHA-256 of the items."""
    items = run.folder.read_json(LOCK)["items"]
    hashes = {utf8_text(item["id"]): item["sha256"] for item in items}
    rows = run.folder.read_csv(PREDICTIONS)
    return {hashes[row["item"]]: row for row in rows if row["split"] == "test"}
