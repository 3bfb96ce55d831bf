"""The items of a run in columns: what each is, what is predicted for it, how wrong that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from striate.data.snapshot import SnapshotItem
from striate.data.source import Item
from striate.errors import StriateError
from striate.explorer.numbers import packed
from striate.files import utf8_text
from striate.run.folder import PREDICTIONS
from striate.run.results import with_novelty
from striate.run.run import Run
from striate.tasks.prediction import Judged

Row = Mapping[str, str]

RESULTS: Final = ("right", "wrong")
SPLITS: Final = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A fact of every item.

    Attributes:
        key: What the page calls it.
        title: What a person is told that it is.
        values: Text or number of each item; None where it is not known.
        order: Names that come first among the texts, in this order.
    """

    key: str
    title: str
    values: Sequence[str | float | None]
    order: Sequence[str] = ()

    def document(self) -> dict[str, Any]:
        """The column as the page takes it: texts by number (-1: none), numbers with NaN for none."""
        known = [value for value in self.values if value is not None]
        head = {"key": self.key, "title": self.title}
        if all(isinstance(value, float) for value in known):
            numbers = [math.nan if value is None else value for value in self.values]
            return {**head, "numbers": packed(np.array(numbers, np.float32))}
        texts = {str(value) for value in known}
        names = [*self.order, *sorted(texts - set(self.order))]
        number = {name: k for k, name in enumerate(names)}
        codes = [-1 if value is None else number[str(value)] for value in self.values]
        return {
            **head,
            "names": names,
            "codes": packed(np.array(codes, np.float32)),
        }


def rows_on_file(run: Run, items: Sequence[SnapshotItem]) -> list[Row | None]:
    """The row of `predictions.csv` of each item; None where it has none."""
    try:
        rows = {row["item"]: row for row in run.folder.read_csv(PREDICTIONS)}
    except StriateError:
        return [None] * len(items)
    return [rows.get(utf8_text(item.id)) for item in items]


def made_rows(run: Run, items: Sequence[SnapshotItem], outputs: Tensor, features: Any) -> list[Row]:
    """Rows as `predictions.csv` would have them, of items whose outputs were computed.

    Args:
        run: The run.
        items: The items.
        outputs: (items, outputs) Uncalibrated outputs.
        features: (items, features) Pooled features, for the novelty.
    """
    predictions = run.answers([Item(id=item.id) for item in items], outputs)
    detector = run.novelty_detector
    if detector is not None and len(items):
        predictions = with_novelty(predictions, detector.novelty(features))
    columns = run.task.columns(run.classes)
    return [
        {
            "item": utf8_text(item.id),
            "split": item.split,
            run.task.truth_column: utf8_text(item.label),
            **dict(zip(columns, map(str, run.task.cells(prediction)), strict=True)),
        }
        for item, prediction in zip(items, predictions, strict=True)
    ]


def columns_of(run: Run, items: Sequence[SnapshotItem], rows: Sequence[Row | None]) -> list[Column]:
    """What the page colours, sorts and filters by.

    Args:
        run: The run.
        items: Its items.
        rows: The row of predictions of each; None where it has none.
    """
    judged = [None if row is None else run.task.judged(row) for row in rows]
    classes = list(map(utf8_text, run.classes))
    truth = [
        _truth(run, item) if one is None else one.truth
        for item, one in zip(items, judged, strict=True)
    ]
    name = run.task.truth_column
    found = [
        Column(key="split", title="split", values=[i.split for i in items], order=SPLITS),
        Column(key="truth", title=f"true {name}", values=truth, order=classes),
        Column(
            key="answer",
            title=f"predicted {name}",
            values=[None if one is None else one.answer for one in judged],
            order=classes,
        ),
        _result(judged),
    ]
    found += [
        Column(key=key, title=key, values=[_number(row, key) for row in rows])
        for key in ("confidence", "novelty")
        if any(row is not None and row.get(key) for row in rows)
    ]
    if any(row is not None and row.get("unknown") for row in rows):
        words = {"true": "unlike all known items", "false": "like known items"}
        strange = [None if row is None else words.get(row.get("unknown", "")) for row in rows]
        found.append(Column(key="unknown", title="none of these", values=strange))
    if any(row is not None and row.get("undecided") for row in rows):
        words = {"true": "I don't know", "false": "answered"}
        unsure = [None if row is None else words.get(row.get("undecided", "")) for row in rows]
        found.append(Column(key="undecided", title="sure enough", values=unsure))
    return found


def _truth(run: Run, item: SnapshotItem) -> str | float:
    """The true answer of an item without a prediction, in the form that it has with one."""
    row = {run.task.truth_column: utf8_text(item.label), "prediction": utf8_text(item.label)}
    return run.task.judged(row).truth


def _result(judged: Sequence[Judged | None]) -> Column:
    """Right or wrong; where numbers are predicted how far off."""
    known = [one for one in judged if one is not None]
    if any(isinstance(one.truth, float) for one in known):
        errors = [None if one is None else one.error for one in judged]
        return Column(key="error", title="error", values=errors)
    results = [None if one is None else RESULTS[one.error > 0] for one in judged]
    return Column(key="result", title="result", values=results, order=RESULTS)


def _number(row: Row | None, key: str) -> float | None:
    """A number of a row; None where it has none."""
    text = "" if row is None else row.get(key, "")
    return float(text) if text else None


def probabilities(run: Run, row: Row | None, count: int) -> list[dict[str, Any]]:
    """The most probable classes of an item with their calibrated probabilities.

    Args:
        run: The run.
        row: The item's row of predictions.
        count: Number of classes.
    """
    if row is None:
        return []
    columns = run.task.columns(run.classes)[-len(run.classes) or len(run.task.columns(())) :]
    shares: Float[np.ndarray, " classes"] = np.array(
        [float(row[utf8_text(column)]) for column in columns if row.get(utf8_text(column))]
    )
    if len(shares) != len(run.classes):
        return []
    order = np.argsort(-shares, kind="stable")[:count]
    return [{"class": utf8_text(run.classes[k]), "probability": float(shares[k])} for k in order]
