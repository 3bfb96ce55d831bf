"""Where the model is worst, by what is known of the test items."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.fitting.check.examine import PLAIN, meaning_of
from striate.fitting.context import FitContext
from striate.kinds.quality import Traits
from striate.metrics.intervals import Estimate
from striate.metrics.slices import Column, worst_slices
from striate.report.facts import EvaluatedItems
from striate.report.schema import SliceFigures, SliceReport

MORE: Final = ("contrast", "sharpness", "bits", "colour", "clipped", "channels")
"""Plain figures beside those that say little of the content."""

_NOT_HERE: Final = ("format", "date")
"""Figures whose values mean nothing to a person."""


def slice_report(
    context: FitContext, items: EvaluatedItems, indices: NDArray[np.int64], traits: Traits
) -> SliceReport:
    """The slices of the test items in which the model is clearly worse.

    Args:
        context: The fit.
        items: The test items with what the model says of them.
        indices: Their positions in the data set.
        traits: The plain figures of all items; none where they were not measured.
    """
    objective = context.objective
    answers = items.calibration.answers(items.outputs)
    found = worst_slices(
        objective.item_errors(answers, indices),
        columns_of(context, indices, traits),
        items.groups,
        seed=context.options.seed,
    )
    return SliceReport(
        error_name=objective.error_name,
        is_share=objective.error_is_share,
        num_tried=found.num_tried,
        found=tuple(
            SliceFigures(
                column=one.column,
                value=one.value,
                num_items=one.num_items,
                error=Estimate(value=one.error, ci95=one.interval),
                others=one.others,
                p_value=one.p_value,
            )
            for one in found.found
        ),
    )


def columns_of(
    context: FitContext, indices: NDArray[np.int64], traits: Traits
) -> dict[str, Column]:
    """What is known of some items, by name: answer, group, columns of the manifest, plain figures.

    Args:
        context: The fit.
        indices: Positions of the items.
        traits: The plain figures of all items.
    """
    dataset, values = context.dataset, context.objective.values
    items = [dataset.items[i] for i in indices]
    columns: dict[str, Column] = {}
    if values.ndim == 1 and dataset.classes:
        columns["class"] = [dataset.classes[k] for k in values[indices].tolist()]
    elif values.ndim == 1:
        columns["true value"] = np.asarray(values[indices], np.float64)
    if any(item.group for item in items):
        columns["group"] = [item.group or "" for item in items]
    for name in dict.fromkeys(name for item in items for name in item.extra):
        columns[name] = [item.extra.get(name, "") for item in items]
    for name in (*PLAIN, *MORE):
        if name in traits and name not in _NOT_HERE:
            columns[meaning_of(name).removeprefix("the ")] = traits[name][indices]
    return columns
