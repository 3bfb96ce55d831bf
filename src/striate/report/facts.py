"""What there is to say of a run apart from its test items, whatever the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from striate.data.source import Note, Skip
from striate.metrics import Estimate
from striate.report.schema import Choice, DataIssue, Figure, Seconds
from striate.typing import Kind

NUM_MISTAKES = 12
"""Worst mistakes that are shown."""

_NUM_IDS = 20


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What there is to say of a run apart from its test items.

    Attributes:
        striate: version of Striate.
        task: name of the task.
        kind: what an item is.
        nouns: what one item and several are called ("molecule", "molecules"), where the nouns of
            the kind say too little.
        run: the run folder as the user would type it, for the commands at the end of the page.
        classes: names in the order of their numbers; none where numbers are predicted.
        class_counts: training items of each class.
        split_sizes: items in "train", "val" and "test".
        method: how the model was trained.
        model: its name.
        model_details: further facts, name to value, for display.
        seconds: where the time went.
        notes: what was found in the data.
        skipped: items that were left out.
        choices: decisions made for the user, and why.
        history: a row an epoch, as in `history.csv`.
        throughput: items per second, by what was done ("train", "predict").
    """

    striate: str
    task: str
    kind: Kind
    run: str
    classes: Sequence[str] = ()
    class_counts: Sequence[int] = ()
    split_sizes: Mapping[str, int]
    method: str
    model: str
    seconds: Seconds
    nouns: tuple[str, str] | None = None
    model_details: Mapping[str, str | int | float] = field(default_factory=dict)
    notes: Sequence[Note] = ()
    skipped: Sequence[Skip] = ()
    choices: Sequence[Choice] = ()
    history: Sequence[Mapping[str, float | None]] = ()
    throughput: Mapping[str, float] = field(default_factory=dict)


def shared_fields(facts: RunFacts) -> dict[str, Any]:
    """The fields of `RunReport`, by name."""
    return {
        "striate": facts.striate,
        "task": facts.task,
        "kind": facts.kind,
        "nouns": facts.nouns,
        "run": facts.run,
        "split_sizes": dict(facts.split_sizes),
        "method": facts.method,
        "model": facts.model,
        "model_details": dict(facts.model_details),
        "seconds": facts.seconds,
        "data_issues": _data_issues(facts),
        "throughput": dict(facts.throughput),
        "choices": tuple(facts.choices),
        "history": tuple({k: finite(v) for k, v in row.items()} for row in facts.history),
    }


def figure(estimate: Estimate) -> Figure:
    """An estimate as a part of the report."""
    return Figure(value=estimate.value, ci95=estimate.ci95, reason=estimate.reason)


def figures(estimates: Mapping[str, Estimate]) -> dict[str, Figure]:
    """Estimates as parts of the report, by name."""
    return {name: figure(estimate) for name, estimate in estimates.items()}


def finite(value: float | None) -> float | None:
    """The value, None where it is not a finite number."""
    return value if value is not None and isfinite(value) else None


def _data_issues(facts: RunFacts) -> tuple[DataIssue, ...]:
    """Warnings first; skipped items gathered by reason."""
    notes = sorted(facts.notes, key=lambda note: note.severity != "warning")
    reasons: dict[str, list[str]] = {}
    for skip in facts.skipped:
        reasons.setdefault(skip.reason, []).append(skip.id)
    skipped = [
        DataIssue(
            code="skipped",
            severity="warning",
            message=f"Left out: {reason}",
            count=len(ids),
            ids=tuple(ids[:_NUM_IDS]),
        )
        for reason, ids in reasons.items()
    ]
    found = [
        DataIssue(
            code=note.code,
            severity=note.severity,
            message=note.message,
            count=len(note.ids),
            ids=note.ids[:_NUM_IDS],
        )
        for note in notes
    ]
    return (*skipped, *found)
