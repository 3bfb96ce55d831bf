"""What more items would bring, by linear probes on growing parts of the data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.prepare import join_groups
from striate.data.randomness import epoch_order
from striate.data.splits import fold_numbers
from striate.fitting.baseline import Baseline, evenly_mixed
from striate.fitting.context import FitContext
from striate.metrics import learning_curve as curves
from striate.report.schema import LearningCurve

MIN_ITEMS: Final = 100
"""Items to learn from, at least: of fewer, parts are too small to tell."""

MIN_PART: Final = 20
"""Items of the smallest part, at least."""

NUM_FOLDS: Final = 5

_NUM_SIZES: Final = 5
_HALVINGS: Final = 4
_FACTORS: Final = (0.1, 1.0, 10.0)
"""Times the probe's C that are tried at each size: a smaller part may want another."""


def learning_curve(context: FitContext, baseline: Baseline, seconds: float) -> LearningCurve | None:
    """The learning curve of the linear probe; None where there are too few items or too little time.

    In each of five folds probes learn from growing, evenly mixed parts of the other items and are
    judged on the fold. The test items take no part.

    Args:
        context: The fit.
        baseline: The frozen features and their probe.
        seconds: What it may take.
    """
    dataset, objective = context.dataset, context.objective
    learnt = baseline.known(np.flatnonzero(dataset.splits != "test"))
    if len(learnt) < MIN_ITEMS:
        return None
    groups = join_groups(dataset.duplicate_groups, dataset.items)[learnt]
    strata = dataset.target.strata
    folds = fold_numbers(strata[learnt], groups, NUM_FOLDS, seed=context.options.seed)
    smallest = min(int((folds != fold).sum()) for fold in range(NUM_FOLDS))
    first = max(MIN_PART, smallest >> _HALVINGS)
    sizes = np.geomspace(first, max(first, smallest), _NUM_SIZES).round().astype(int).tolist()
    parts = [
        evenly_mixed(shuffled(learnt[folds != fold], context.options.seed, fold), strata)
        for fold in range(NUM_FOLDS)
    ]
    sizes = [
        s for s in dict.fromkeys(sizes) if all(objective.can_learn(part[:s]) for part in parts)
    ]
    if len(sizes) < curves.MIN_SIZES:
        return None
    errors = _errors(context, baseline, learnt, folds, parts, sizes, seconds)
    if errors is None:
        return None
    found = curves.learning_curve(
        tuple(sizes), errors, folds, groups, num_items=len(learnt), seed=context.options.seed
    )
    if found is None:
        return None
    return LearningCurve(
        error_name=objective.error_name,
        is_share=objective.error_is_share,
        is_supported=found.is_supported,
        **vars(found),
    )


def shuffled(indices: NDArray[np.int64], seed: int, fold: int) -> NDArray[np.int64]:
    """The items in a random order of their own for each fold."""
    return indices[epoch_order(seed, fold, len(indices))]


def _errors(
    context: FitContext,
    baseline: Baseline,
    learnt: NDArray[np.int64],
    folds: NDArray[np.int64],
    parts: Sequence[NDArray[np.int64]],
    sizes: Sequence[int],
    seconds: float,
) -> NDArray[np.float64] | None:
    """(items, sizes) The error of each item by probes of so many others; None where it takes long."""
    objective, pooled = context.objective, baseline.pooled
    began = time.monotonic()
    errors = np.zeros((len(_FACTORS), len(learnt), len(sizes)))
    for column, size in enumerate(sizes):
        for row, factor in enumerate(_FACTORS):
            config = replace(baseline.config(), Cs=(factor * baseline.probe.C,))
            for fold, part in enumerate(parts):
                if time.monotonic() - began > seconds:
                    return None
                probe = objective.fit_probe(pooled, part[:size], config)
                judged = learnt[folds == fold]
                answers = objective.uncalibrated_answers(probe.logits(pooled[judged]))
                errors[row, folds == fold, column] = objective.item_errors(answers, judged)
    best = errors.mean(1).argmin(0)
    return errors[best, :, np.arange(len(sizes))].T
