"""The sample of held-out items that a run keeps, which new items are later compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.fitting.candidate import Candidate
from striate.fitting.context import FitContext
from striate.metrics.novelty import MAX_JUDGED
from striate.metrics.unlabelled.held_out import (
    MAX_MEASURED,
    FeatureSample,
    HeldOutItems,
    capacity,
    drawn,
)

NOT_KEPT = frozenset({"date", "format"})
"""Plain figures that are of files and not of what they hold, as the folder of a run has them."""


def held_out_items(
    context: FitContext,
    candidate: Candidate,
    sample: FeatureSample | None,
    outputs: Tensor,
    novelty: NDArray[np.float64] | None,
) -> HeldOutItems | None:
    """The sample of a finished fit; None where there are no test items, or no features of them.

    Test items come first. Where there is room, items follow whose labels and gradients did not
    make the features, unless they are a part of many, which is drawn with all classes alike.

    Args:
        context: The fit.
        candidate: Its result.
        sample: Features of some of the test items; None where there are none to keep.
        outputs: (items, outputs) The result's outputs of the test items.
        novelty: (items,) Their novelty; None where it is not known.
    """
    test = context.dataset.indices("test")
    if sample is None or not sample.features.size:
        return None
    rows = [sample.features]
    groups = [context.dataset.duplicate_groups[test[sample.positions]]]
    further, room = candidate.featured, capacity(sample.features.shape[1]) - len(sample.features)
    if further is not None and room > 0 and len(further.features) < MAX_JUDGED:
        kept = drawn(len(further.features), room)
        rows.append(further.features[kept])
        groups.append(further.groups[kept])
    return HeldOutItems.of(
        np.concatenate(rows),
        np.concatenate(groups),
        outputs.numpy()[sample.positions],
        np.empty(0) if novelty is None else novelty[sample.positions],
        _traits(context, test[sample.positions][:MAX_MEASURED]),
    )


def _traits(context: FitContext, indices: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Plain figures of some items by name, NaN where an item has none."""
    dataset, kind, source = context.dataset, context.kind, context.source
    found = [kind.measured(dataset.store[i], source.path(dataset.items[i])) for i in indices]
    names = dict.fromkeys(name for row in found for name in row if name not in NOT_KEPT)
    return {name: np.array([row.get(name, np.nan) for row in found]) for name in names}
