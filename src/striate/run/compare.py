"""`compare`: two finished runs on the test items that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RunError
from striate.metrics import PairedComparison, PairedRegression, compare_regression
from striate.metrics import compare as compare_predictions
from striate.run.folder import LOCK, PREDICTIONS
from striate.run.run import Run
from striate.typing import PathLike


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two runs on the same items.

    Attributes:
        first: folder of the one.
        second: folder of the other.
        num_items: test items of both.
        result: the second against the first.
    """

    first: str
    second: str
    num_items: int
    result: PairedComparison | PairedRegression

    def as_json(self) -> dict[str, Any]:
        """The document of `striate compare --json`."""
        runs = {"first": self.first, "second": self.second, "items": self.num_items}
        if isinstance(self.result, PairedRegression):
            return runs | self.result.as_json()
        differences = {
            name: {"value": estimate.value, "ci95": estimate.ci95}
            for name, estimate in self.result.differences.items()
        }
        return {
            **runs,
            "only_first_right": self.result.only_first,
            "only_second_right": self.result.only_second,
            "p_value": self.result.p_value,
            "differences": differences,
        }

    def as_text(self) -> str:
        """The result in a few lines."""
        result = self.result
        head = (
            f"{self.num_items} test items of both; differences are {self.second} minus {self.first}"
        )
        if isinstance(result, PairedRegression):
            return "\n".join([head, *result.as_lines(self.first, self.second)])
        lines = [
            head,
            f"right only in {self.first}: {result.only_first}, only in {self.second}: "
            f"{result.only_second} (McNemar's exact test: p = {result.p_value:.3g})",
        ]
        for name, estimate in result.differences.items():
            lines.append(f"{name:18} {estimate.as_text(signed=True)}")
        return "\n".join(lines)


def compare(first: PathLike, second: PathLike) -> Compared:
    """Compare two finished runs by their predictions for the test items that both have.

    Args:
        first: folder of a run.
        second: folder of another.

    Raises:
        RunError: a run is missing, the classes differ, or no test item is in both with one label.
    """
    runs = Run(first), Run(second)
    classes = runs[0].classes
    tasks = [run.record.task for run in runs]
    if tasks[0] != tasks[1]:
        raise RunError(f"{first} is of {tasks[0]}, {second} of {tasks[1]}")
    if runs[1].classes != classes:
        raise RunError(
            f"{second} has other classes than {first}",
            why=f"{', '.join(runs[1].classes[:8])} against {', '.join(classes[:8])}",
        )
    tables = [_test_rows(run) for run in runs]
    # By content, so that runs on a moved folder or another listing of the same files compare too.
    common = [key for key in tables[0] if key in tables[1] and _agree(tables, key)]
    if not common:
        raise RunError(
            f"{first} and {second} have no test item in common",
            fix="fit both with the same split: the same --seed, or a manifest with a split column",
        )
    result: PairedComparison | PairedRegression
    if classes:
        number = {name: k for k, name in enumerate(classes)}
        labels = np.array([number[tables[0][key]["label"]] for key in common])
        probabilities = [_numbers(table, common, classes) for table in tables]
        result = compare_predictions(probabilities[0], probabilities[1], labels)
    else:
        targets = _numbers(tables[0], common, ["target"])[:, 0]
        predictions = [_numbers(table, common, ["prediction"])[:, 0] for table in tables]
        result = compare_regression(predictions[0], predictions[1], targets)
    return Compared(first=str(first), second=str(second), num_items=len(common), result=result)


def _test_rows(run: Run) -> dict[str, dict[str, str]]:
    """Rows of the test items in `predictions.csv`, by the SHA-256 of the items."""
    hashes = {item["id"]: item["sha256"] for item in run.folder.read_json(LOCK)["items"]}
    rows = run.folder.read_csv(PREDICTIONS)
    return {hashes[row["item"]]: row for row in rows if row["split"] == "test"}


def _agree(tables: list[dict[str, dict[str, str]]], key: str) -> bool:
    """Whether both runs give the item one label, or one number."""
    answer = "label" if "label" in tables[0][key] else "target"
    return tables[0][key][answer] == tables[1][key][answer]


def _numbers(
    table: dict[str, dict[str, str]], keys: list[str], columns: Sequence[str]
) -> NDArray[np.float64]:
    return np.array([[float(table[key][name]) for name in columns] for key in keys])
