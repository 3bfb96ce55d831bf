"""A second run beside the first, on the test items that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from striate.data.snapshot import SnapshotItem
from striate.explorer.data.items import Column
from striate.files import utf8_text
from striate.metrics.intervals import Estimate
from striate.run.compare import Compared, common_rows, compare
from striate.run.run import Run
from striate.tasks.prediction import Judged

BOTH, FIRST, SECOND, NEITHER = (
    "both right",
    "right in the first only",
    "right in the second only",
    "both wrong",
)

CLOSER: Final = ("equally close", "closer in the first", "closer in the second")


class Comparison:
    """Two runs on the same items.

    Args:
        first: The run that is looked at.
        second: The other.
        items: Items of the first.

    Raises:
        RunError: They cannot be compared.
    """

    def __init__(self, first: Run, second: Run, items: Sequence[SnapshotItem]) -> None:
        self.compared: Compared = compare(first, second)
        task = first.task
        number = {utf8_text(item.id): n for n, item in enumerate(items)}
        self._num_items = len(items)
        self.pairs: dict[int, tuple[Judged, Judged]] = {
            number[mine["item"]]: (task.judged(mine), task.judged(theirs))
            for mine, theirs in common_rows(first, second)
            if mine["item"] in number
        }

    def columns(self) -> list[Column]:
        """The answer of the second run, and how the two agree, by item."""
        answers: list[str | float | None] = [None] * self._num_items
        agreement: list[str | float | None] = [None] * self._num_items
        for number, (mine, theirs) in self.pairs.items():
            answers[number] = theirs.answer
            agreement[number] = agreement_of(mine, theirs)
        order = CLOSER if CLOSER[0] in agreement or CLOSER[1] in agreement else ()
        return [
            Column(key="answer2", title="predicted by the second run", values=answers),
            Column(
                key="agreement",
                title="the two runs",
                values=agreement,
                order=order or (BOTH, FIRST, SECOND, NEITHER),
            ),
        ]

    def document(self) -> dict[str, Any]:
        """The paired test and the differences with their intervals, and how many items agree."""
        counts: dict[str, int] = {}
        same = 0
        for mine, theirs in self.pairs.values():
            name = agreement_of(mine, theirs)
            counts[name] = counts.get(name, 0) + 1
            same += mine.answer == theirs.answer
        result = self.compared.result
        return {
            **self.compared.as_json(),
            "better": result.better,
            "counts": counts,
            "same": same,
            "lines": _lines(result.differences),
            "text": self.compared.as_text().splitlines(),
        }


def agreement_of(mine: Judged, theirs: Judged) -> str:
    """Which of two runs is right on an item, or closer where numbers are predicted."""
    if isinstance(mine.truth, float):
        if mine.error == theirs.error:
            return CLOSER[0]
        return CLOSER[1] if mine.error < theirs.error else CLOSER[2]
    if mine.error == 0:
        return BOTH if theirs.error == 0 else FIRST
    return SECOND if theirs.error == 0 else NEITHER


def _lines(differences: Mapping[str, Estimate]) -> list[dict[str, Any]]:
    """A row for each metric: the difference, second minus first, with its 95 % interval."""
    return [
        {"metric": name, "value": estimate.value, "ci95": estimate.ci95}
        for name, estimate in differences.items()
    ]
