"""`compare`: two finished runs on the test items that both have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RunError
from striate.metrics import PairedComparison
from striate.metrics import compare as compare_predictions
from striate.recipes.trained import Run
from striate.run import LOCK, PREDICTIONS
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
    result: PairedComparison

    def as_json(self) -> dict[str, Any]:
        """The document of `striate compare --json`."""
        differences = {
            name: {"value": estimate.value, "ci95": estimate.ci95}
            for name, estimate in self.result.differences.items()
        }
        return {
            "first": self.first,
            "second": self.second,
            "items": self.num_items,
            "only_first_right": self.result.only_first,
            "only_second_right": self.result.only_second,
            "p_value": self.result.p_value,
            "differences": differences,
        }

    def as_text(self) -> str:
        """The result in a few lines."""
        result = self.result
        lines = [
            f"{self.num_items} test items of both; differences are {self.second} minus {self.first}",
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
    if runs[1].classes != classes:
        raise RunError(
            f"{second} has other classes than {first}",
            why=f"{', '.join(runs[1].classes[:8])} against {', '.join(classes[:8])}",
        )
    tables = [_test_rows(run) for run in runs]
    # By content, so that runs on a moved folder or another listing of the same files compare too.
    common = [key for key in tables[0] if key in tables[1] and _label(tables, key)]
    if not common:
        raise RunError(
            f"{first} and {second} have no test item in common",
            fix="fit both with the same split: the same --seed, or a manifest with a split column",
        )
    number = {name: k for k, name in enumerate(classes)}
    labels = np.array([number[tables[0][key]["label"]] for key in common])
    probabilities = [_probabilities(table, common, classes) for table in tables]
    return Compared(
        first=str(first),
        second=str(second),
        num_items=len(common),
        result=compare_predictions(probabilities[0], probabilities[1], labels),
    )


def _test_rows(run: Run) -> dict[str, dict[str, str]]:
    """Rows of the test items in `predictions.csv`, by the SHA-256 of the items."""
    hashes = {item["id"]: item["sha256"] for item in run.folder.read_json(LOCK)["items"]}
    rows = run.folder.read_csv(PREDICTIONS)
    return {hashes[row["item"]]: row for row in rows if row["split"] == "test"}


def _label(tables: list[dict[str, dict[str, str]]], key: str) -> bool:
    """Whether both runs give the item one label."""
    return tables[0][key]["label"] == tables[1][key]["label"]


def _probabilities(
    table: dict[str, dict[str, str]], keys: list[str], classes: tuple[str, ...]
) -> NDArray[np.float64]:
    return np.array([[float(table[key][name]) for name in classes] for key in keys])
