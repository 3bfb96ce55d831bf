"""Labels that are likely wrong, found on the way of a fit."""

from __future__ import annotations

from typing import Final

from striate.data.source import Note
from striate.fitting.candidate import HeldOut
from striate.fitting.context import FitContext
from striate.progress import counted
from striate.run.folder import LABELS_TO_CHECK

MAX_NUMBERS: Final = 20_000_000
"""Largest number of features of all items together for which the check takes seconds."""


def check_labels(context: FitContext, held_out: HeldOut) -> tuple[Note, ...]:
    """A note of the labels that are likely wrong, which are written to a table; none where none are.

    Probes on frozen features say what they take each item for, fitted to items that it is not among.

    Args:
        context: The fit.
        held_out: The outputs of such probes, and the positions of the items.
    """
    dataset, objective = context.dataset, context.objective
    outputs, indices = held_out
    found = objective.doubtful_labels(outputs, indices)
    if not found:
        return ()
    ids = dataset.ids(indices)
    labels = objective.values[indices]
    rows = [
        (
            ids[one.item],
            dataset.classes[one.likely] if one.is_sure else "",
            dataset.classes[labels[one.item]],
            dataset.classes[one.likely],
            f"{one.probability:.4f}",
            f"{one.own_probability:.4f}",
        )
        for one in found
    ]
    context.folder.write_csv(
        LABELS_TO_CHECK, ("id", "label", "was", "likely", "probability", "probability_was"), rows
    )
    name, _, was, likely, *_ = rows[0]
    message = (
        f"{counted(len(rows), 'label')} may be wrong, by models that had not seen the items; the "
        f"most doubtful: {name} is labelled {was}, likely {likely}"
    )
    advice = (
        f"look through {context.folder.path / LABELS_TO_CHECK}, take out the rows whose labels are "
        "right, and give it to the next fit as --patch (an empty label leaves the item out)"
    )
    named = tuple(row[0] for row in rows)
    return (Note(code="doubtful-label", message=message, ids=named, advice=advice),)
