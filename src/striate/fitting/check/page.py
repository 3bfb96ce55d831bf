"""The page of `striate check`: what is wrong with the data, with pictures, and what to do about it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from striate.data.dataset import Dataset
from striate.data.source import Skip
from striate.errors import one_line
from striate.files import csv_text
from striate.fitting.check.checked import Checked
from striate.fitting.check.examine import against_giveaway, copies_of, sentence, telling
from striate.kinds.kind import Kind, kind_named
from striate.progress import counted
from striate.report.picture import data_url
from striate.report.render import render_page

MAX_SHOWN: Final = 24
"""Items or groups of a section that are shown."""

_MAX_COPIES: Final = 6

_MAX_ROWS: Final = 200
"""Rows of a patch that a section offers, at most."""


def check_page(checked: Checked) -> str:
    """The findings as one HTML document that needs nothing else."""
    dataset, kind = checked.dataset, kind_named(checked.dataset.kind)
    draw = _drawer(dataset, kind)
    parts = [part for part in _parts(checked, draw) if part]
    one, many = dataset.nouns or kind.nouns
    count = len(dataset.items)
    kinds_found = counted(len(parts), "kind")
    return render_page(
        "check.html",
        {
            "name": dataset.name,
            "data": shlex.quote(dataset.name),
            "version": version("striate"),
            "many": many,
            "headline": f"{kinds_found} of trouble in {count} {many if count != 1 else one}"
            if parts
            else f"Nothing was found wrong with {count} {many if count != 1 else one}",
            "composition": _composition(checked),
            "summary": [{"id": part["id"], "text": part["summary"]} for part in parts],
            "parts": parts,
            "left_out": _left_out(dataset.skipped),
            "patch": _patch(checked),
            "splits": {part: len(dataset.indices(part)) for part in ("train", "val", "test")},
            "notes": sorted(
                (*dataset.notes, *checked.notes), key=lambda note: note.severity != "warning"
            ),
        },
    )


def _composition(checked: Checked) -> str:
    counts = np.unique([str(item.label) for item in checked.dataset.items], return_counts=True)
    if not checked.dataset.classes or len(counts[0]) > 12:
        return counted(len(checked.dataset.classes), "class") if checked.dataset.classes else ""
    return ", ".join(f"{one_line(name)} {count}" for name, count in zip(*counts, strict=True))


def _drawer(dataset: Dataset, kind: Kind) -> Callable[[str, str], dict[str, Any]]:
    """A function from an item's name and a text to what a gallery shows of it."""
    places = {item.id: index for index, item in enumerate(dataset.items)}

    def draw(name: str, text: str) -> dict[str, Any]:
        drawing = kind.thumbnail(dataset.store[places[name]])
        image = None if drawing is None else data_url(drawing)
        return {"id": one_line(name), "text": one_line(text), "image": image}

    return draw


def _parts(
    checked: Checked, draw: Callable[[str, str], dict[str, Any]]
) -> Iterable[dict[str, Any] | None]:
    """The sections, each None where there is nothing to say."""
    dataset, found = checked.dataset, checked.findings
    labels = {item.id: item.label or "" for item in dataset.items}
    for one in found.giveaways:
        text = sentence(telling(one, dataset.classes))
        yield _part(
            f"giveaway-{one.trait}-{one.label}", "A class is given away", text, f"{text}.",
            against_giveaway(one), [], 0,
        )  # fmt: skip
    if found.label_errors:
        count = counted(len(found.label_errors), "label")
        items = [
            draw(e.item, f"labelled {e.label}, likely {e.suggested} ({e.score:.0%})")
            for e in found.label_errors[:MAX_SHOWN]
        ]
        yield _part(
            "labels", "Labels that are likely wrong", f"{count} may be wrong",
            "Told by models that had not seen the items; the likeliest first. Some are right labels "
            "of difficult items.",
            "look at each, and correct those that are wrong by the rows below",
            [("", items)], len(found.label_errors),
            rows=[error.patch_row for error in found.label_errors],
            rows_do="correct these labels, or leave the item out where the likely class is unsure",
        )  # fmt: skip
    groups = copies_of(dataset)
    if groups:
        groups.sort(key=lambda g: (len(set(g["labels"])) < 2, len(set(g["splits"])) < 2))
        shown = [
            (_about(g), [draw(name, labels[name]) for name in g["items"][:_MAX_COPIES]])
            for g in groups[:MAX_SHOWN]
        ]
        yield _part(
            "copies", "Copies", f"{len(groups)} groups of copies",
            "One thing stored several times; pictures also scaled, compressed anew, mirrored, brighter "
            "or cropped a little. Copies with one label do no harm: they stay on one side of a split "
            "that a fit makes.",
            "where copies have several labels, give all of them the right one; where they lie on "
            "several sides of your own split, leave those out that are in training",
            shown, len(groups), rows=_rows_of_copies(groups, labels),
            rows_do="keep one copy of each group with one label, and none of those with several",
        )  # fmt: skip
    for fault in found.faults:
        names = dataset.ids(np.flatnonzero(fault.found))
        whys = [""] * len(names) if fault.why is None else fault.why[fault.found].tolist()
        items = [
            draw(name, ", ".join(filter(None, (labels[name], why))))
            for name, why in zip(names[:MAX_SHOWN], whys, strict=False)
        ]
        says = f"{counted(len(names), 'item')} {fault.says}"
        yield _part(
            fault.code, fault.code.replace("-", " ").capitalize(), says, f"{says}.", fault.advice,
            [("", items)], len(names),
            rows=[(name, "", labels[name], fault.code) for name in names],
        )  # fmt: skip
    if found.outliers:
        items = [draw(name, labels[name]) for name, _ in found.outliers[:MAX_SHOWN]]
        yield _part(
            "odd", "Odd items", f"{counted(len(found.outliers), 'item')} unlike the rest of their class",
            "The oddest first. Rare is not wrong.",
            "look whether they show what their label says; leave out what does not belong there, and "
            "keep what will be met again",
            [("", items)], len(found.outliers),
            rows=[(name, "", labels[name], "odd") for name, _ in found.outliers],
        )  # fmt: skip


def _left_out(skipped: Sequence[Skip]) -> dict[str, Any]:
    """The items that could not be used, the first of them with their reasons."""
    more = len(skipped) - MAX_SHOWN
    return {
        "reasons": [
            {"id": one_line(skip.id), "reason": one_line(skip.reason)}
            for skip in skipped[:MAX_SHOWN]
        ],
        "more": f"{more} more in striate check --json" if more > 0 else "",
    }


def _patch(checked: Checked) -> dict[str, str]:
    """What the table of corrections holds, and a row of it that leaves an item out."""
    dataset = checked.dataset
    rows = checked.findings.patch(dataset)
    gone = sum(not label for _, label, _, _ in rows)
    corrected, left_out = counted(len(rows) - gone, "label"), counted(gone, "item")
    example = next((row for row in rows if not row[1]), None)
    if example is None:
        first = dataset.items[0]
        example = (first.id, "", first.label or "", "your reason")
    return {
        "holds": f"The table corrects {corrected} and leaves {left_out} out."
        if rows
        else "The table is empty so far.",
        "example": _line(example),
    }


def _about(group: dict[str, Any]) -> str:
    labels, splits = sorted(set(map(str, group["labels"]))), sorted(set(group["splits"]))
    about = ["exact copies" if group["exact"] else "near copies"]
    if len(labels) > 1:
        about.append(f"with several labels: {', '.join(labels)}")
    if len(splits) > 1:
        about.append(f"on several sides of the split: {', '.join(splits)}")
    return one_line("; ".join(about))


def _rows_of_copies(
    groups: Iterable[dict[str, Any]], labels: Mapping[str, str]
) -> list[tuple[str, str, str, str]]:
    """Rows that leave out all copies but the first, and all where they have several labels."""
    return [
        (name, "", labels[name], "copy")
        for group in groups
        for name in group["items"][len(set(group["labels"])) == 1 :]
    ]


def _part(
    name: str, title: str, summary: str, about: str, advice: str,
    groups: list[tuple[str, list[dict[str, Any]]]], count: int, *,
    rows: Sequence[tuple[str, str, str, str]] = (), rows_do: str = "leave all of these out",
) -> dict[str, Any]:  # fmt: skip
    shown = sum(len(items) for _, items in groups) if len(groups) == 1 else len(groups)
    return {
        "id": name,
        "title": title,
        "summary": summary,
        "about": about,
        "advice": advice,
        "groups": [{"about": which, "items": items} for which, items in groups],
        "more": f"{count - shown} more in striate check --json" if count > shown else "",
        "rows": "\n".join(_line(row) for row in rows[:_MAX_ROWS]),
        "rows_do": rows_do
        if len(rows) <= _MAX_ROWS
        else f"{rows_do} (the first {_MAX_ROWS} of {len(rows)})",
    }


def _line(row: tuple[str, str, str, str]) -> str:
    """A row of a patch."""
    return one_line(csv_text(row, ()).strip())
