"""Beside each of the worst mistakes the training items that are most like it to the model."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import one_line
from striate.fitting.candidate import Candidate, predicted
from striate.fitting.check.in_fit import TIME_SHARE
from striate.fitting.check.labels import MAX_NUMBERS
from striate.fitting.context import REPORT_SECONDS, FitContext
from striate.metrics.neighbours import nearest_neighbours, standardization
from striate.metrics.novelty import evenly
from striate.report.schema import NearItem, R

NEIGHBOURS: Final = 4
"""Training items that are shown beside a mistake."""


def with_nearest(context: FitContext, candidate: Candidate, report: R) -> R:
    """The report with the training items nearest to each of its worst mistakes.

    Features that were kept are compared as they are, so that the nearest of all training items are
    found. A network that made its own features computes them anew, of as many training items as
    a small share of the time allows, and of none where the time is over.

    Args:
        context: The fit.
        candidate: Its result.
        report: Its report.
    """
    dataset = context.dataset
    position = {one_line(item.id): index for index, item in enumerate(dataset.items)}
    mistakes = [position[mistake.id] for mistake in report.worst_mistakes]
    train = _compared(context, candidate)
    if not mistakes or len(train) == 0:
        return report
    known = _features(context, candidate, train)
    judged = _features(context, candidate, np.array(mistakes))
    if not known.shape[1] or not (np.isfinite(known).all() and np.isfinite(judged).all()):
        return report
    mean, scale = standardization(known)
    place = {index: row for row, index in enumerate(train.tolist())}
    rows, similarities = nearest_neighbours(
        (judged - mean) * scale,
        np.asarray((known - mean) * scale, np.float32),
        NEIGHBOURS,
        # Of folds, whose test items the result has learnt from.
        own=np.array([place.get(index, -1) for index in mistakes]),
    )
    found = tuple(
        mistake.model_copy(update={"nearest": _items(context, train, near, alike)})
        for mistake, near, alike in zip(report.worst_mistakes, rows, similarities, strict=True)
    )
    return report.model_copy(update={"worst_mistakes": found, "nearest_among": len(train)})


def _items(
    context: FitContext,
    train: Int[np.ndarray, " r"],
    near: Int[np.ndarray, " k"],
    alike: Float[np.ndarray, " k"],
) -> tuple[NearItem, ...]:
    """The training items of some rows, with their true answers."""
    dataset = context.dataset
    return tuple(
        NearItem(
            id=dataset.items[train[row]].id,
            label=context.task.truth(dataset.target, int(train[row])),
            similarity=similarity,
        )
        for row, similarity in zip(near.tolist(), alike.tolist(), strict=True)
        if row >= 0
    )


def _compared(context: FitContext, candidate: Candidate) -> Int[np.ndarray, " r"]:
    """Positions of the training items that mistakes are compared with, all kinds alike in a part."""
    train, kept = context.dataset.indices("train"), candidate.kept
    most = MAX_NUMBERS // max(1, candidate.predictor.network.num_features)
    if kept is not None:
        train = np.intersect1d(train, kept.indices)
    elif context.finishing:
        return train[:0]
    else:
        seconds = min(TIME_SHARE * context.options.seconds, context.seconds_left() - REPORT_SECONDS)
        most = min(most, max(0, int(seconds * context.predicted_per_second)))
    return train[evenly(context.dataset.target.strata[train], most)]


def _features(
    context: FitContext, candidate: Candidate, indices: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n f"]:
    """Features of some items: those that were kept, else computed."""
    kept = candidate.kept
    if kept is not None and np.isin(indices, kept.indices).all():
        return np.asarray(kept.features[torch.from_numpy(indices)].numpy())
    found: list[Tensor] = []
    predicted(context, candidate.predictor, indices, "nearest items", found.append)
    return torch.cat(found).numpy()
