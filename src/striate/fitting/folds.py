"""Cross-validation of a whole fit: every item is tested once, by a model that was made without it.

It is nested: a fold is a fit of its own on the other items, with their own training and validation
parts, and whatever is chosen (inputs, method, epochs, calibration) is chosen within them. The run's
model is then fitted to all items.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.prepare import join_groups
from striate.data.splits import fold_numbers, learning_splits
from striate.errors import DataError, OptionError
from striate.fitting.baseline import Baseline
from striate.fitting.candidate import Candidate
from striate.fitting.context import REPORT_SECONDS, FitContext
from striate.fitting.framing import choose_scale
from striate.fitting.outcome import Tested, evaluated
from striate.fitting.prepare import resplit, settle
from striate.fitting.steps import Steps
from striate.metrics.intervals import fold_widening
from striate.progress import duration
from striate.report import EvaluatedItems
from striate.report.schema import FoldFigures, Folds
from striate.run.folder import CHECKPOINTS, RunFolder
from striate.run.results import PredictedItems

MIN_SECONDS: Final = 1.0
"""Seconds that a fold has, at least, however little time is left."""

Learn: TypeAlias = Callable[[FitContext], tuple[Candidate, Baseline | None]]
"""Makes the best model of a fit whose items are read and split."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What a fold gave.

    Attributes:
        figures: Its figures.
        indices: Positions of its test items.
        outputs: (items, outputs) Their uncalibrated outputs.
        calibration: The calibration of the outputs, as JSON.
        probe: Answers of its linear probe; None where there is none.
        novelty: (items,) Novelty of the items; None where it is not known.
    """

    figures: FoldFigures
    indices: NDArray[np.int64]
    outputs: Tensor
    calibration: dict[str, Any]
    probe: NDArray[np.float64] | None
    novelty: NDArray[np.float64] | None


def cross_validated(context: FitContext, learn: Learn) -> list[Fold]:
    """Fit and test every fold, within an equal share each of the time that is left.

    A fold that is done is kept, so that a resumed fit goes on with the next; one that was
    interrupted goes on after the last of its own steps.

    Args:
        context: The fit, its items read.
        learn: Makes the best model of a fold.

    Raises:
        OptionError: There are too few items for so many folds.
        DataError: A class is in one group, so that no fold could learn it and be tested on it.
        StoppedError: The user asked to stop.
    """
    numbers = _numbers(context)
    num_folds = int(numbers.max()) + 1
    return [
        _fold(context, learn, number, numbers == number, num_folds) for number in range(num_folds)
    ]


def pooled(context: FitContext, candidate: Candidate, folds: Sequence[Fold]) -> Tested:
    """The test items of all folds, as if one model had been tested on them.

    Their outputs are put on the scale of the final model, which makes of them the answers that the
    fold's model gave.

    Args:
        context: The fit.
        candidate: The final model.
        folds: What each fold gave.
    """
    dataset, task = context.dataset, context.task
    indices = np.concatenate([fold.indices for fold in folds])
    calibrations = [task.calibration(fold.calibration) for fold in folds]
    answers = [
        calibration.answers(fold.outputs.numpy())
        for fold, calibration in zip(folds, calibrations, strict=True)
    ]
    plain = candidate.calibration.without_promises()
    items = EvaluatedItems(
        ids=dataset.ids(indices),
        truth=context.objective.values[indices],
        outputs=plain.outputs_of(np.concatenate(answers)),
        calibration=plain,
        constant=context.objective.constant(),
        groups=dataset.duplicate_groups[indices],
        probe=_joined([fold.probe for fold in folds]),
    )
    parts = [
        PredictedItems(
            indices=fold.indices,
            outputs=fold.outputs,
            calibration=calibration,
            novelty=fold.novelty,
            fold=fold.figures.fold,
        )
        for fold, calibration in zip(folds, calibrations, strict=True)
    ]
    return Tested(
        indices=indices,
        items=items,
        parts=parts,
        novelty=_joined([fold.novelty for fold in folds]),
        folds=Folds(
            num_folds=len(folds),
            widening=fold_widening(len(folds)),
            by_fold=tuple(fold.figures for fold in folds),
        ),
    )


def _joined(parts: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    """The parts in one; None where one is not there."""
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if len(there) == len(parts) else None


def _numbers(context: FitContext) -> NDArray[np.int64]:
    """(items,) The fold in which each item is tested."""
    dataset, num_folds = context.dataset, context.options.folds or 0
    groups = join_groups(dataset.duplicate_groups, dataset.items)
    num_groups = len(np.unique(groups))
    if num_groups < num_folds:
        why = f"there are only {num_groups} items that are no copies of others"
        raise OptionError("folds", num_folds, why=why, fix=f"choose {num_groups} or fewer")
    _check_classes(context, groups)
    numbers = fold_numbers(dataset.target.strata, groups, num_folds, seed=context.options.seed)
    # A fold may be empty where few groups hold most items.
    found: NDArray[np.int64] = np.unique(numbers, return_inverse=True)[1]
    return found


def _check_classes(context: FitContext, groups: NDArray[np.int64]) -> None:
    """Refuse classes that no fold could learn and be tested on."""
    everything = np.arange(len(groups))
    members = context.objective.membership(everything)
    for name, inside in zip(context.dataset.classes, members.T, strict=True):
        if len(np.unique(groups[inside])) == 1:
            raise DataError(
                f"class {name!r} has one item or group: no fold can learn it and be tested on it",
                fix="add items of it, or leave it out",
            )


def _fold(
    context: FitContext, learn: Learn, number: int, tested: NDArray[np.bool_], num_folds: int
) -> Fold:
    """A fold: fitted and tested, or as it was kept."""
    name = f"fold-{number + 1}"
    steps, share = context.steps, 1 / (num_folds - number + 1)  # the final model has a share too
    seconds = steps.step(
        f"{name} seconds",
        lambda: max(share * (context.seconds_left() - REPORT_SECONDS), MIN_SECONDS),
    )

    @cache
    def made() -> Fold:
        what = f"fold {number + 1} of {num_folds}"
        context.progress.say(f"{what}: {int(tested.sum())} items to test, {duration(seconds)}")
        return _made(context, learn, number, tested, seconds)

    def tensors() -> dict[str, Tensor]:
        fold = made()
        arrays = {"probe": fold.probe, "novelty": fold.novelty}
        known = {key: torch.from_numpy(a) for key, a in arrays.items() if a is not None}
        return {"outputs": fold.outputs, **known}

    kept = steps.step(
        f"{name} figures",
        lambda: {
            "figures": json.loads(made().figures.model_dump_json()),
            "calibration": made().calibration,
        },
    )
    stored = steps.tensors(name, tensors)
    if context.strategy.is_writer:
        shutil.rmtree(context.folder.path / CHECKPOINTS / name, ignore_errors=True)
    arrays = {key: tensor.numpy() for key, tensor in stored.items() if key != "outputs"}
    return Fold(
        figures=FoldFigures.model_validate(kept["figures"]),
        indices=np.flatnonzero(tested),
        outputs=stored["outputs"],
        calibration=kept["calibration"],
        probe=arrays.get("probe"),
        novelty=arrays.get("novelty"),
    )


def _made(
    context: FitContext, learn: Learn, number: int, tested: NDArray[np.bool_], seconds: float
) -> Fold:
    """Fit one fold and test it."""
    inner = _context_of(context, number, tested, seconds)
    candidate, baseline = inner.steps.timed("total", lambda: learn(inner))
    found = evaluated(inner, candidate, baseline)
    dataset, calibration = inner.dataset, candidate.calibration
    items = [dataset.items[i] for i in found.indices]
    outputs = torch.from_numpy(found.items.outputs)
    metrics = inner.task.evaluate(outputs, calibration, items, dataset.classes)
    return Fold(
        figures=FoldFigures(
            fold=number + 1,
            num_items=len(items),
            method=candidate.method,
            model=candidate.model,
            seconds=inner.seconds(),
            metrics={name: metrics[name] for name in inner.task.first_metrics},
        ),
        indices=found.indices,
        outputs=outputs,
        calibration=calibration.to_json(),
        probe=found.items.probe,
        novelty=found.novelty,
    )


def _context_of(
    context: FitContext, number: int, tested: NDArray[np.bool_], seconds: float
) -> FitContext:
    """A fit of the items that a fold does not test."""
    path = context.folder.path / CHECKPOINTS / f"fold-{number + 1}"
    strategy, dataset = context.strategy, context.dataset
    if strategy.is_writer:
        (RunFolder.create(path).path / CHECKPOINTS).mkdir(exist_ok=True)
    strategy.barrier()
    folder = RunFolder(path)
    steps = Steps(
        folder, {"fold": number}, resume=True, say=context.progress.say, strategy=strategy
    )
    inner = FitContext(
        options=replace(context.options, time=seconds),
        source=context.source,
        kind=context.kind,
        task=context.task,
        folder=folder,
        steps=steps,
        device=context.device,
        progress=context.progress,
        # A cross-validation that is cut short has no figures: what is done is kept instead.
        stop=lambda: bool(context.stop()),
        strategy=strategy,
        began=time.monotonic() - steps.seconds("total"),
        first_baseline=0.0,
        is_fold=True,
        shared=context.shared,
    )
    inner.input_options, inner.dataset = context.input_options, dataset
    groups = join_groups(dataset.duplicate_groups, dataset.items)
    seed = context.options.seed + number
    resplit(inner, learning_splits(dataset.target.strata, groups, tested, seed=seed))
    settle(inner)
    choose_scale(inner)
    return inner
