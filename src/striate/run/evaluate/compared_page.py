"""The page of `compare`: which of two runs is better, by how much, how fast, where they disagree."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from striate.data.layouts.layout import open_source
from striate.data.source import Item, Reading, Source
from striate.errors import StriateError, one_line
from striate.metrics.intervals import Estimate, number_text
from striate.metrics.paired import CLEAR
from striate.report.picture import data_url
from striate.report.render import render_page
from striate.run.compare import Compared, common_rows
from striate.run.run import Run

MAX_SHOWN: Final = 24
"""Items of a section that are shown."""

MAX_TIMED: Final = 64
"""Items that both predict, at most, to see how fast each is."""

_TURNS: Final = 3

_NAMES: Final = {
    "ece": "calibration error",
    "macro_f1": "macro F1",
    "mae": "MAE",
    "r2": "R²",
    "rmse": "RMSE",
    "roc_auc": "ROC AUC",
}
"""What figures are called whose names say too little."""

_OTHERWISE: Final = ("ece",)
"""Figures that a report frees from noise, so that their difference is not that of the reports."""

_ABOUT_FIGURES: Final = (
    "Both runs are judged on the same draws of the items, so that hard items do not blur the "
    "difference, which is the second's figure less the first's. An interval on one side of 0 speaks "
    "for a difference. Less is better of log loss, calibration error and errors of numbers."
)


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """An item for which the two give different answers, and how wrong each is."""

    item: str
    text: str
    errors: tuple[float, float]


def compared_page(first: Run, second: Run, result: Compared) -> str:
    """What `compare` found as one HTML document that needs nothing else.

    The items are read again for their pictures and for the speed, from the data of the first run;
    where they are gone the page has neither.

    Args:
        first: The one run.
        second: The other.
        result: What `compare` gave for them.
    """
    names = (result.first, result.second)
    pairs = _disagreements(first, second)
    source = _source(first)
    figures = _part(
        "figures",
        "By how much",
        _ABOUT_FIGURES,
        head=("figure", *_heads(first, second, result), "difference", "95 % interval"),
        rows=_rows(first, second, result),
    )
    parts = [figures, _speed(first, second, names, source)]
    parts += [_led(at, first, source, pairs, result) for at in range(2)]
    made_by = [f"{run.record.method} of {run.record.model.name}" for run in (first, second)]
    return render_page(
        "items.html",
        {
            "title": one_line(f"{names[0]} and {names[1]}"),
            "version": version("striate"),
            "headline": _headline(result),
            "verdict": _verdict(result),
            "points": [
                one_line(f"{which}: {name}, {by}")
                for which, name, by in zip(("First", "Second"), names, made_by, strict=True)
            ],
            "parts": [part for part in parts if part],
            "commands": [
                "# labels that may be wrong: they blur the difference",
                f"striate check {shlex.quote(first.record.data)} --html check.html",
                "# both on more items with labels: they tell smaller differences apart",
                *(f"striate eval {shlex.quote(name)} LABELLED" for name in names),
            ],
        },
    )


def _led(
    at: int, run: Run, source: Source | None, pairs: Sequence[_Pair], result: Compared
) -> dict[str, Any] | None:
    """The items on which the first (0) or the second (1) does better; None where there are none."""
    led = [pair for pair in pairs if pair.errors[at] < pair.errors[1 - at]]
    if not led:
        return None
    led.sort(key=lambda pair: min(pair.errors) - max(pair.errors))
    shown = _pictures(run, source, led[:MAX_SHOWN])
    more = len(led) - len(shown)
    name, better = (result.first, result.second)[at], result.result.better.capitalize()
    return _part(
        f"only-{at + 1}",
        f"{better} in {one_line(name)}: {len(led)}",
        f"Below each: its true {run.task.truth_column}, and what the two runs say. Look whether the "
        "labels are right, and what these items have in common: more such items with labels would "
        "help the other run.",
        pictures=shown,
        more=f"{more} more in the predictions.csv of both runs" if more else "",
    )


def _headline(result: Compared) -> str:
    better = {"first": result.first, "second": result.second, None: None}
    name = better[result.result.clearly_better]
    return one_line(f"{name} is clearly better" if name else "Neither is clearly better")


def _verdict(result: Compared) -> str:
    """What says so, in a sentence, and what to do."""
    found = result.result
    counts = (
        f"Of {result.num_items} test items of both, the first is {found.better} on "
        f"{found.first_better} and the second on {found.second_better} ({found.test}, "
        f"p = {found.p_value:.3g}, where {CLEAR:g} or less is clear)."
    )
    if found.clearly_better:
        return f"{counts} Use it, unless the other is faster and the differences below do not matter to you."  # fmt: skip
    return f"{counts} Take the faster or the simpler one; to tell smaller differences apart, test both on more items."  # fmt: skip


def _heads(first: Run, second: Run, result: Compared) -> tuple[str, ...]:
    return ("first", "second") if _same_items(first, second, result) else ()


def _same_items(first: Run, second: Run, result: Compared) -> bool:
    """Whether the test items of both are the same, so that the figures of their reports are told."""
    return all(
        run.report.split_sizes["test"] == result.num_items and not run.report.folds
        for run in (first, second)
    )


def _rows(first: Run, second: Run, result: Compared) -> list[tuple[str, ...]]:
    found, rows = result.result, []
    reports = [dict(run.report.test) for run in (first, second)]
    both = _same_items(first, second, result)

    def text(estimate: Estimate | None, *, signed: bool = False) -> str:
        value = None if estimate is None else estimate.value
        return "–" if value is None else _number(value, found.digits, signed=signed)

    for name, difference in found.differences.items():
        own: tuple[str, ...] = ()
        if both:
            known = name not in _OTHERWISE
            own = tuple(text(report.get(name) if known else None) for report in reports)
        limits = " to ".join(_number(v, found.digits, signed=True) for v in difference.ci95 or ())
        label = _NAMES.get(name, name.replace("_", " ")) + (f", {result.unit}" if result.unit and name in found.in_unit else "")  # fmt: skip
        rows.append((label, *own, text(difference, signed=True), limits or difference.reason))
    return rows


def _number(value: float, digits: int | None, *, signed: bool = False) -> str:
    if digits is None:
        return f"{value:{'+' if signed else ''}.4f}"
    return number_text(value, digits, signed=signed)


def _disagreements(first: Run, second: Run) -> list[_Pair]:
    """The items of which one run does better."""
    task, pairs = first.task, []
    for row, other in common_rows(first, second):
        one, two = task.judged(row), task.judged(other)
        if one.error != two.error:
            said = [_answer(judged.answer) for judged in (one, two)]
            text = f"{_answer(one.truth)}; first: {said[0]}, second: {said[1]}"
            pairs.append(_Pair(item=row["item"], text=text, errors=(one.error, two.error)))
    return pairs


def _answer(value: str | float) -> str:
    return (value or "none") if isinstance(value, str) else number_text(value, 4)


def _source(run: Run) -> Source | None:
    """The data of a run; None where they are gone."""
    try:
        return open_source(run.record.data, run.record.kind)
    except (StriateError, OSError):
        return None


def _pictures(run: Run, source: Source | None, pairs: Sequence[_Pair]) -> list[dict[str, Any]]:
    """What a gallery shows of some items, with pictures as far as their data are there."""
    images: dict[str, str] = {}
    if source is not None:
        names = {pair.item for pair in pairs}
        wanted = [item for item in source.listing.items if item.id in names]
        for item, reading in run.read(source, wanted):
            drawing = run.kind.thumbnail(reading) if isinstance(reading, Reading) else None
            if drawing is not None:
                images[item.id] = data_url(drawing)
    return [
        {"id": one_line(pair.item), "text": one_line(pair.text), "image": images.get(pair.item)}
        for pair in pairs
    ]


def _speed(
    first: Run, second: Run, names: tuple[str, str], source: Source | None
) -> dict[str, Any] | None:
    """How many items each predicts a second, here; nothing where there is none to predict."""
    if source is None:
        return None
    items = source.listing.items[:MAX_TIMED]
    readings = [_readable(run, source, items) for run in (first, second)]
    if not all(readings):
        return None
    rates = [0.0, 0.0]
    for _ in range(_TURNS):
        for at, run in enumerate((first, second)):
            began = time.perf_counter()
            run.outputs(iter(readings[at]))
            rates[at] = max(rates[at], len(readings[at]) / (time.perf_counter() - began))
    return _part(
        "speed", "How fast they are",
        f"Items that are predicted a second once they are read: the best of {_TURNS} turns over "
        f"{len(readings[0])} items, on this machine, beside whatever else it did.",
        head=("run", "items a second"),
        rows=[(one_line(name), f"{rate:,.0f}") for name, rate in zip(names, rates, strict=True)],
    )  # fmt: skip


def _readable(run: Run, source: Source, items: Iterable[Item]) -> list[Reading]:
    return [reading for _, reading in run.read(source, items) if isinstance(reading, Reading)]


def _part(
    name: str,
    title: str,
    about: str,
    *,
    head: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    pictures: Sequence[Mapping[str, Any]] = (),
    more: str = "",
) -> dict[str, Any]:
    return {
        "id": name, "title": title, "about": about, "chart": "", "head": head, "rows": rows,
        "pictures": pictures, "more": more,
    }  # fmt: skip
