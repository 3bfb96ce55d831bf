"""What a report is made of, whatever the task: facts of the run, and its test items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from striate.data.source import Note, Skip
from striate.report.schema import (
    Candidate,
    Choice,
    DataIssue,
    Folds,
    FollowedPart,
    LearningCurve,
    NoveltyFigures,
    Seconds,
    SliceReport,
)
from striate.typing import Kind

NUM_MISTAKES = 12
"""Number of worst mistakes that are shown."""

_NUM_IDS = 20


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What there is to say of a run apart from its test items.

    Attributes:
        striate: Version of Striate.
        task: Name of the data.
        kind: Name of the kind of the items.
        nouns: What one item and several are called ("molecule", "molecules").
        run: The run folder as the user would type it, for the commands at the end of the page.
        classes: Names of the classes, in the order of their numbers; empty where there are none.
        split_sizes: Number of items in "train", "val" and "test".
        method: Name of the method that made the model.
        method_summary: How the method works, in a few words.
        is_baseline: Whether the result is the baseline itself, with which it is not compared.
        model: Name of the network.
        weights: What the network started from, such as "random start".
        model_details: Further facts, name to value, for display.
        seconds: Where the time went.
        notes: What was found in the data.
        skipped: Items that were left out.
        choices: Decisions that were made for the user, and why.
        candidates: The models that were tried.
        history: A row for each epoch, as in `history.csv`.
        history_of: What was trained in those epochs, where its network is not the result.
        throughput: Items per second, by what was done ("train", "predict").
        novelty: How many test items are taken for unlike all that the model knows; None where that
            cannot be told.
        data_command: The command that shows what was found in the data with pictures; empty where
            there is none.
        folds: The figures of each fold of a cross-validation; None without one.
        slices: Where the model is clearly worse; None where that was not looked for.
        learning_curve: What more items would bring; None where that was not estimated.
        followed: Parts at the border of the items that the model follows, of some classes.
        hardware: What computed.
        energy_joules: Energy that the processors took meanwhile; None where it cannot be read.
    """

    striate: str
    task: str
    kind: Kind
    nouns: tuple[str, str]
    run: str
    classes: Sequence[str] = ()
    split_sizes: Mapping[str, int]
    method: str
    method_summary: str = ""
    is_baseline: bool = False
    model: str
    weights: str = ""
    model_details: Mapping[str, str | int | float] = field(default_factory=dict)
    seconds: Seconds
    notes: Sequence[Note] = ()
    skipped: Sequence[Skip] = ()
    choices: Sequence[Choice] = ()
    candidates: Sequence[Candidate] = ()
    history: Sequence[Mapping[str, float | None]] = ()
    history_of: str = ""
    throughput: Mapping[str, float] = field(default_factory=dict)
    novelty: NoveltyFigures | None = None
    data_command: str = ""
    folds: Folds | None = None
    slices: SliceReport | None = None
    learning_curve: LearningCurve | None = None
    followed: tuple[FollowedPart, ...] = ()
    hardware: str = ""
    energy_joules: float | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of `RunReport` that they give, by name."""
        shared = dict(vars(self))
        del shared["notes"], shared["skipped"]
        shared["classes"] = tuple(self.classes)
        shared["history"] = [{k: finite(v) for k, v in row.items()} for row in self.history]
        shared["data_issues"] = self._data_issues()
        return shared

    def _data_issues(self) -> tuple[DataIssue, ...]:
        """Warnings first; skipped items gathered by reason."""
        reasons: dict[str, list[str]] = {}
        for skip in self.skipped:
            reasons.setdefault(skip.reason, []).append(skip.id)
        skipped = [
            Note(
                code="skipped",
                message=f"Left out: {reason}",
                ids=tuple(ids),
                advice="replace what should be learnt from; the others may stay",
            )
            for reason, ids in reasons.items()
        ]
        notes = sorted(self.notes, key=lambda note: note.severity != "warning")
        return tuple(
            DataIssue(
                code=note.code,
                severity=note.severity,
                message=note.message,
                count=len(note.ids),
                ids=note.ids[:_NUM_IDS],
                advice=note.advice,
            )
            for note in (*skipped, *notes)
        )


@dataclass(frozen=True, kw_only=True)
class EvaluatedItems:
    """The test items and what the model says of them.

    Attributes:
        ids: The items' ids.
        truth: The true answers, as the task's target has them.
        outputs: Uncalibrated outputs of the network.
        calibration: The calibration of the outputs, fitted on the validation items.
        constant: The shares of the training classes, or the mean of the training targets: the best
            answer that knows nothing of an item.
        groups: Items of one number (copies) count as one fact; all apart where None.
        probe: Answers of the linear probe, where one was trained.
        leaked: Items with a copy in another split; nothing leaked where None.
    """

    ids: Sequence[str]
    truth: Shaped[np.ndarray, "n ..."]
    outputs: Float[np.ndarray, "n outputs"]
    calibration: Any
    constant: Float[np.ndarray, " outputs"]
    groups: Int[np.ndarray, " n"] | None = None
    probe: Float[np.ndarray, "n ..."] | None = None
    leaked: Bool[np.ndarray, " n"] | None = None

    def without_leaks(self) -> EvaluatedItems | None:
        """The items that did not leak; None where none did, or all."""
        if self.leaked is None or not self.leaked.any() or self.leaked.all():
            return None
        kept = ~self.leaked
        return replace(
            self,
            ids=[name for name, stays in zip(self.ids, kept, strict=True) if stays],
            truth=self.truth[kept],
            outputs=self.outputs[kept],
            groups=None if self.groups is None else self.groups[kept],
        )


def finite(value: float | None) -> float | None:
    """The value, None where it is not a finite number."""
    return value if value is not None and isfinite(value) else None
