"""What is wrong with the items of some data: labels, odd items, quality, and what gives a class away."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.dataset import Dataset
from striate.data.folder_walk import few
from striate.data.source import Source
from striate.fitting.baseline import Baseline
from striate.fitting.check.labels import MAX_NUMBERS
from striate.fitting.context import FitContext
from striate.fitting.options import FitOptions
from striate.fitting.steps import Steps
from striate.kinds.inputs import Inputs
from striate.kinds.kind import Kind
from striate.kinds.quality import Fault, Traits
from striate.metrics.items.giveaway import GiveAway, giveaways
from striate.metrics.items.label_errors import SURE
from striate.metrics.items.outliers import odd_items
from striate.progress import Progress, counted
from striate.run.folder import RunFolder
from striate.tasks.objective import Objective
from striate.tasks.task import Task

PLAIN: Final = (
    "border",
    "brightness",
    "date",
    "depth",
    "format",
    "height",
    "length",
    "level",
    "loudness",
    "width",
)
"""Figures that say little of what an item shows."""

_MEANINGS: Final = {
    "bits": "the information in a pixel, in bits",
    "clipped": "the share of clipped samples",
    "colour": "the strength of the colours",
    "border": "the brightness of the border",
    "date": "the date of the file",
    "format": "the format of the file",
}
"""What a figure of an item is called, where its name says too little."""

MEASURED_ITEMS: Final = 64
"""Items after which it is known how long measuring all of them will take."""

_MENDED: Final = {
    "border": "cut the borders off",
    "brightness": "bring all classes to one brightness",
    "depth": "bring all to one size",
    "format": "store all in one format",
    "height": "bring all to one size",
    "length": "cut all to one length",
    "level": "take off each item's mean",
    "loudness": "bring all to one loudness",
    "width": "bring all to one size",
}
"""What makes a figure the same in all classes."""


@dataclass(frozen=True, kw_only=True)
class LabelError:
    """A label that is likely wrong: of which item, and the class it more likely belongs to."""

    item: str
    label: str
    suggested: str
    score: float

    @property
    def patch_row(self) -> tuple[str, str, str, str]:
        """The row of a patch: with the likely class where it is sure, else to leave the item out."""
        is_sure = self.score >= SURE
        reason = f"likely {self.suggested}, {self.score:.2f}"
        if not is_sure:
            reason += ", too unsure"
        return self.item, self.suggested if is_sure else "", self.label, reason


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found in the items of some data.

    Attributes:
        label_errors: Labels that are likely wrong, the likeliest first.
        outliers: Items unlike the others of their class, and how unlike, the oddest first.
        faults: What is wrong with the items themselves, such as blank pictures.
        giveaways: Figures that say nothing of the content and yet tell a class.
    """

    label_errors: tuple[LabelError, ...] = ()
    outliers: tuple[tuple[str, float], ...] = ()
    faults: tuple[Fault, ...] = ()
    giveaways: tuple[GiveAway, ...] = ()

    def as_json(self, dataset: Dataset) -> dict[str, Any]:
        """The parts of the document of `striate check --json` that tell of items."""
        return {
            "label_errors": [vars(error) for error in self.label_errors],
            "outliers": [{"item": item, "score": score} for item, score in self.outliers],
            "quality": [
                {
                    "code": fault.code,
                    "message": f"{counted(int(fault.found.sum()), 'item')} {fault.says}",
                    "advice": fault.advice,
                    "items": dataset.ids(np.flatnonzero(fault.found)),
                }
                for fault in self.faults
            ]
            + [
                {
                    "code": "gives-class-away",
                    "message": telling(one, dataset.classes),
                    "advice": against_giveaway(one),
                    "items": [],
                }
                for one in self.giveaways
            ],
        }

    def lines(self, dataset: Dataset) -> list[str]:
        """The findings for a person, a line each, with what to do about it."""
        lines = [
            f"warning: {telling(one, dataset.classes)}; {against_giveaway(one)}"
            for one in self.giveaways
        ]
        if self.label_errors:
            first = self.label_errors[0]
            lines.append(
                f"warning: {counted(len(self.label_errors), 'label')} may be wrong, the likeliest: "
                f"{first.item} is labelled {first.label}, likely {first.suggested}; look through "
                "them in a page (--html) or a patch (--patch-out)"
            )
        for fault in self.faults:
            named = few(dataset.ids(np.flatnonzero(fault.found)))
            count = int(fault.found.sum())
            lines.append(f"warning: {counted(count, 'item')} {fault.says}: {named}; {fault.advice}")
        if self.outliers:
            named = few([item for item, _ in self.outliers])
            lines.append(
                f"info: {counted(len(self.outliers), 'item')} unlike the others of their class: "
                f"{named}; look whether they belong there"
            )
        return lines

    def patch(self, dataset: Dataset) -> list[tuple[str, str, str, str]]:
        """Rows of a patch for the next fit: item, right label (empty: left out), label, reason."""
        rows: dict[str, tuple[str, str, str, str]] = {}
        labels = {item.id: item.label or "" for item in dataset.items}
        for error in self.label_errors:
            rows[error.item] = error.patch_row
        for copies in copies_of(dataset):
            if copies["exact"] and len(set(copies["labels"])) == 1:
                for item in copies["items"][1:]:
                    rows[item] = (item, "", labels[item], f"exact copy of {copies['items'][0]}")
        for fault in self.faults:
            if fault.useless:
                for item in dataset.ids(np.flatnonzero(fault.found)):
                    rows[item] = (item, "", labels[item], fault.code)
        return list(rows.values())


def copies_of(dataset: Dataset) -> list[dict[str, Any]]:
    """The groups of copies: items, their labels and splits, and whether all are exact copies."""
    groups = dataset.duplicate_groups
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return [
        {
            "items": dataset.ids(inside),
            "exact": len({dataset.sha256[i] for i in inside}) == 1,
            "labels": [dataset.items[i].label for i in inside],
            "splits": dataset.splits[inside].tolist(),
        }
        for inside in np.split(order, starts)
        if len(inside) > 1
    ]


def telling(one: GiveAway, classes: tuple[str, ...]) -> str:
    """What a figure tells of a class, as a sentence without an end."""
    return (
        f"{meaning_of(one.trait)} alone tells the class {classes[one.label]} from the others "
        f"(balanced accuracy {one.accuracy:.0%}, where a guess has 50%)"
    )


def against_giveaway(one: GiveAway) -> str:
    """What to do about a figure that tells a class, as a sentence without an end."""
    mended = _MENDED.get(one.trait)
    return (
        "unless new items will have it too, a model may learn this instead of what they show: "
        + (f"{mended}, or " if mended else "")
        + "test on items of another origin"
    )


def sentence(text: str) -> str:
    """The text with a capital letter, whatever the case of what follows."""
    return text[:1].upper() + text[1:]


def examine(
    source: Source, kind: Kind, task: Task, dataset: Dataset, inputs: Inputs[Any], *,
    seed: int, progress: Progress,
) -> Findings:  # fmt: skip
    """Look at every item, and compare it with the others in frozen features.

    Args:
        source: The data.
        kind: Kind of the items.
        task: What is predicted.
        dataset: The items, read and split.
        inputs: How items become inputs.
        seed: Seed of the probes.
        progress: Told of the work.
    """
    traits = item_traits(source, kind, dataset, progress) or {}
    faults = tuple(fault for fault in kind.faults(traits) if fault.found.any()) if traits else ()
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder.create(Path(name) / "check")
        context = FitContext(
            options=FitOptions(seed=seed),
            source=source,
            kind=kind,
            task=task,
            folder=folder,
            steps=Steps(folder, {}, resume=False),
            device=torch.device("cpu"),
            progress=progress,
            stop=lambda: False,
            began=time.monotonic(),
        )
        context.dataset, context.inputs = dataset, inputs
        context.objective, context.defaults = task.objective(dataset), kind.defaults(inputs)
        context.objective.quick = context.defaults.quick_probes
        label_errors, outliers = _compared(context)
    tell = telling_figures(traits, context.objective, dataset, seed=seed)
    return Findings(label_errors=label_errors, outliers=outliers, faults=faults, giveaways=tell)


def telling_figures(
    traits: Traits, objective: Objective, dataset: Dataset, *, seed: int
) -> tuple[GiveAway, ...]:
    """Plain figures that give a class away; none where items have several classes or none.

    Args:
        traits: The plain figures of all items.
        objective: The task on the data.
        dataset: The items.
        seed: Seed of the folds.
    """
    labels = objective.values
    if not dataset.classes or labels.ndim > 1:
        return ()
    plain = {name: traits[name] for name in PLAIN if name in traits}
    return tuple(giveaways(plain, labels, dataset.duplicate_groups, seed=seed))


def item_traits(
    source: Source,
    kind: Kind,
    dataset: Dataset,
    progress: Progress,
    *,
    seconds: float = math.inf,
) -> Traits | None:
    """The plain figures of all items, (items,) each, by name; NaN where an item has none.

    Args:
        source: The data.
        kind: Kind of the items.
        dataset: The items, read.
        progress: Told of the work.
        seconds: What it may take; None is given where it would take longer.
    """
    rows: list[dict[str, float]] = []
    began, num_items = time.monotonic(), len(dataset.items)
    with progress.track("looking", num_items, "items") as tracker:
        for index, item in enumerate(dataset.items):
            rows.append(kind.measured(dataset.store[index], source.path(item)))
            tracker.advance()
            spent = time.monotonic() - began
            if len(rows) % MEASURED_ITEMS == 0 and spent / len(rows) * num_items > seconds:
                return None
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}


def meaning_of(trait: str) -> str:
    """What a figure of an item is called in a sentence."""
    return _MEANINGS.get(trait, f"the {trait}")


def _compared(
    context: FitContext,
) -> tuple[tuple[LabelError, ...], tuple[tuple[str, float], ...]]:
    """Labels that are likely wrong and odd items, by frozen features; none where these would take long."""
    dataset, objective = context.dataset, context.objective
    if context.defaults.features is None:
        return (), ()
    baseline = Baseline(context)
    if baseline.pooled.numel() > MAX_NUMBERS:
        return (), ()
    known = baseline.known(np.arange(len(dataset.items)))
    outliers = odd_ones(context, baseline)
    if not objective.can_learn(known):
        return (), outliers
    outputs, indices = baseline.cross_outputs(known, baseline.probe.C)
    ids = dataset.ids(indices)
    values = objective.values[indices]
    errors = tuple(
        LabelError(
            item=ids[one.item],
            label=dataset.classes[values[one.item]],
            suggested=dataset.classes[one.likely],
            score=round(one.probability, 4),
        )
        for one in objective.doubtful_labels(outputs, indices)
    )
    return errors, outliers


def odd_ones(context: FitContext, baseline: Baseline) -> tuple[tuple[str, float], ...]:
    """Items unlike the others of their class in the frozen features, and how unlike.

    Args:
        context: The fit.
        baseline: The frozen features.
    """
    dataset = context.dataset
    known = baseline.known(np.arange(len(dataset.items)))
    labels = _classes_of(context.objective.values, dataset)
    scores = odd_items(baseline.pooled[torch.from_numpy(known)].numpy(), labels[known])
    return tuple((dataset.items[known[i]].id, score) for i, score in scores)


def _classes_of(values: NDArray[Any], dataset: Dataset) -> NDArray[np.int64]:
    """The number of each item's class; one class for all where items have several or none."""
    if dataset.classes and values.ndim == 1:
        return np.asarray(values, np.int64)
    return np.zeros(len(values), np.int64)
