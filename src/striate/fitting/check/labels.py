"""Labels that are likely wrong, found on the way of a fit."""

from __future__ import annotations

from typing import Final

import numpy as np

from striate.data.source import Note
from striate.fitting.baseline import Baseline
from striate.fitting.context import REPORT_SECONDS, FitContext
from striate.progress import counted
from striate.run.folder import LABELS_TO_CHECK

MAX_NUMBERS: Final = 20_000_000
"""Largest number of features of all items together for which the check takes seconds."""


def check_labels(context: FitContext, baseline: Baseline) -> tuple[Note, ...]:
    """A note of the labels that are likely wrong, which are written to a table; none where none are.

    Probes on frozen features say what they take each item for, fitted to items that it is not among.

    Args:
        context: The fit.
        baseline: The frozen features.
    """
    if baseline.pooled.numel() > MAX_NUMBERS or context.seconds_left() < REPORT_SECONDS:
        return ()
    dataset, objective = context.dataset, context.objective
    known = baseline.known(np.arange(len(dataset.items)))
    outputs, indices = baseline.cross_outputs(known, baseline.probe.C)
    found = objective.doubtful_labels(outputs, indices)
    if not found:
        return ()
    ids = dataset.ids(indices)
    labels = objective.values[indices]
    rows = [
        (
            ids[one.item],
            dataset.classes[one.likely],
            dataset.classes[labels[one.item]],
            f"{one.probability:.4f}",
            f"{one.own_probability:.4f}",
        )
        for one in found
    ]
    context.folder.write_csv(
        LABELS_TO_CHECK, ("id", "label", "was", "probability", "probability_was"), rows
    )
    name, likely, was, *_ = rows[0]
    message = (
        f"{counted(len(rows), 'label')} may be wrong, by models that had not seen the items; the "
        f"most doubtful: {name} is labelled {was}, likely {likely}. Look through "
        f"{context.folder.path / LABELS_TO_CHECK}, take out the rows whose labels are right, and "
        "give it to the next fit as --patch"
    )
    return (Note(code="doubtful-label", message=message, ids=tuple(row[0] for row in rows)),)
