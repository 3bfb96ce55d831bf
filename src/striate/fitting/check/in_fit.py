"""What `check` finds in the items, found on the way of a fit and told in its report.

The fit has the features, so that labels and odd items cost a cross-validation of a probe; the plain
figures of each item are measured while they take no more than a small share of the time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import few
from striate.data.source import Note
from striate.fitting.baseline import Baseline
from striate.fitting.candidate import REFIT_ANYWAY, Candidate
from striate.fitting.check.border import border_followed
from striate.fitting.check.examine import (
    against_giveaway,
    item_traits,
    odd_ones,
    sentence,
    telling,
    telling_figures,
)
from striate.fitting.check.labels import MAX_NUMBERS, check_labels
from striate.fitting.check.learning import learning_curve
from striate.fitting.check.left_out import left_out
from striate.fitting.check.slices import slice_report
from striate.fitting.context import REPORT_SECONDS, FitContext
from striate.kinds.quality import Traits
from striate.progress import counted, duration
from striate.report.facts import EvaluatedItems
from striate.report.schema import FollowedPart, LearningCurve, SliceReport
from striate.transfer.probe import FOLDS

TIME_SHARE: Final = 0.05
"""Largest share of the time for a fit that measuring the items may take."""

_PRODUCTS_PER_SECOND: Final = 1e10
"""Multiplications that a core does in a second, about."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found in the items on the way of a fit.

    Attributes:
        notes: For the report, each with what to do about it.
        slices: Where the model is clearly worse; None where that was not looked for.
        learning_curve: What more items would bring; None where that was not estimated.
        followed: Parts at the border of the items that the model follows.
    """

    notes: tuple[Note, ...] = ()
    slices: SliceReport | None = None
    learning_curve: LearningCurve | None = None
    followed: tuple[FollowedPart, ...] = ()


def found_in_fit(
    context: FitContext,
    baseline: Baseline | None,
    items: EvaluatedItems,
    indices: NDArray[np.int64],
    candidate: Candidate,
) -> Found:
    """What is wrong with the items of a fit, and where its model is, as far as its time allows.

    Args:
        context: The fit, whose model is made.
        baseline: The frozen features; None where it has none.
        items: The test items with what the model says of them.
        indices: Their positions in the data set.
        candidate: The model.
    """
    if context.finishing or context.seconds_left() < REPORT_SECONDS:
        return Found(notes=left_out("the items were not examined", "there was no time for it"))
    notes: list[Note] = []
    curve = None
    if baseline is not None and context.defaults.features is not None:
        notes += _compared(context, baseline)
        began, seconds = time.monotonic(), _seconds(context)
        curve = learning_curve(context, baseline, seconds)
        if curve is None and time.monotonic() - began >= seconds:
            why = f"it would take more than {TIME_SHARE:.0%} of the time"
            what = "what more data would bring was not estimated"
            advice = "give the fit more time to have it"
            notes += left_out(what, why, advice)
    traits = _measured(context)
    if traits is None:
        why = f"it would take more than {TIME_SHARE:.0%} of the time"
        notes += left_out("blank, dark, blurred and silent items were not looked for", why)
    else:
        notes += _plain(context, traits)
    followed, told = border_followed(context, candidate, _seconds(context))
    return Found(
        notes=(*notes, *told),
        followed=followed,
        slices=slice_report(context, items, indices, traits or {}),
        learning_curve=curve,
    )


def _compared(context: FitContext, baseline: Baseline) -> Sequence[Note]:
    """Labels that are likely wrong, and odd items, by the features."""
    if baseline.pooled.numel() > MAX_NUMBERS:
        why = f"the features of {counted(len(context.dataset.items), 'item')} are too many for it"
        return left_out("wrong labels and odd items were not looked for", why)
    known = baseline.known(np.arange(len(context.dataset.items)))
    needed = FOLDS * len(known) ** 2 * baseline.pooled.shape[1] / _PRODUCTS_PER_SECOND
    if needed > max(REFIT_ANYWAY, _seconds(context)):
        why = f"it would take about {duration(needed)}"
        return left_out("wrong labels and odd items were not looked for", why)
    notes = check_labels(context, baseline.cross_outputs(known, baseline.probe.C))
    odd = [item for item, _ in odd_ones(context, baseline)]
    if odd:
        message = f"{counted(len(odd), 'item')} unlike the others of their class: {few(odd)}"
        advice = "look whether they belong there; leave out by --patch what does not"
        notes += (
            Note(code="odd-item", message=message, ids=tuple(odd), severity="info", advice=advice),
        )
    return notes


def _measured(context: FitContext) -> Traits | None:
    """The plain figures of all items; None where they would take long."""
    source, kind, dataset = context.source, context.kind, context.dataset
    return item_traits(source, kind, dataset, context.progress, seconds=_seconds(context))


def _seconds(context: FitContext) -> float:
    """Seconds that one part of this may take."""
    return min(TIME_SHARE * context.options.seconds, context.seconds_left() - REPORT_SECONDS)


def _plain(context: FitContext, traits: Traits) -> list[Note]:
    """What is wrong with items by themselves, and what gives a class away."""
    dataset = context.dataset
    notes = [
        Note(
            code="gives-class-away",
            message=sentence(telling(one, dataset.classes)),
            advice=against_giveaway(one),
        )
        for one in telling_figures(traits, context.objective, dataset, seed=context.options.seed)
    ]
    for fault in context.kind.faults(traits) if traits else ():
        if fault.found.any():
            ids = dataset.ids(np.flatnonzero(fault.found))
            message = f"{counted(len(ids), 'item')} {fault.says}: {few(ids)}"
            notes.append(
                Note(code=fault.code, message=message, ids=tuple(ids), advice=fault.advice)
            )
    return notes
