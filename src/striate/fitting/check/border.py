"""Whether the model of a fit follows what is at the border of its items, and what to do about it."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.data.source import Note
from striate.explain.exchange import (
    MIN_PAIRS,
    Followed,
    followed_border,
    judged_answers,
    num_passes,
)
from striate.fitting.candidate import REFIT_ANYWAY, Candidate
from striate.fitting.check.left_out import left_out
from striate.fitting.context import FitContext
from striate.report.schema import FollowedPart

NUM_CLASSES: Final = 8
"""Most classes whose items are looked at: those with the most."""

PER_CLASS: Final = 36
"""Most items of each of them: more than are exchanged, for some are taken for another class."""

_CODE: Final = "border-not-examined"
_WHAT: Final = (
    "whether the model follows the border (a mark in a corner, a frame) was not looked at"
)


def border_followed(
    context: FitContext, candidate: Candidate, seconds: float
) -> tuple[tuple[FollowedPart, ...], tuple[Note, ...]]:
    """What the model follows at the border, and remarks on it.

    Kinds without a border have none, nor have answers that are not one class of several.

    Args:
        context: The fit.
        candidate: Its result.
        seconds: Time that it may take; a few are taken anyway.
    """
    dataset, objective = context.dataset, context.objective
    one_of_several = (
        objective.values.ndim == 1 and objective.membership(dataset.indices("test")).shape[1] > 1
    )
    if not (context.kind.has_border and one_of_several):
        return (), ()
    indices, began = _looked_at(context), time.monotonic()
    seconds = max(REFIT_ANYWAY, seconds)
    if len(indices) > seconds * context.predicted_per_second:
        return (), _left_out(len(indices))
    pictures = candidate.predictor.inputs.inputs(dataset.store.take(indices))
    seen = _scores(candidate, pictures)
    judged = judged_answers(seen)
    if not judged:
        why = f"it takes {MIN_PAIRS} items of a class, and as many of others"
        return (), left_out(_WHAT, why, "gather more items of each class to have it", code=_CODE)
    # A few test items tell little of the speed: the first of them wait for the network.
    share = num_passes(len(judged)) / len(indices)
    if (1 + share) * (time.monotonic() - began) > seconds:
        return (), _left_out(num_passes(len(judged)))
    found = followed_border(
        lambda some: _scores(candidate, some), pictures, seen, seed=context.options.seed
    )
    told = tuple(_told(one, dataset.classes) for one in found)
    return told, tuple(map(_note, told))


def _left_out(num_predictions: int) -> tuple[Note, ...]:
    why = f"there was no time for {num_predictions:,} predictions"
    return left_out(_WHAT, why, "give the fit more time to have it", code=_CODE)


def _looked_at(context: FitContext) -> Int[np.ndarray, " n"]:
    """Positions of items of the most frequent classes, those that the model was not fitted to first."""
    dataset, values = context.dataset, context.objective.values
    held_out_first = np.concatenate([dataset.indices(part) for part in ("test", "val", "train")])
    labels = values[held_out_first]
    numbers, counts = np.unique(labels, return_counts=True)
    frequent = numbers[np.argsort(-counts, kind="stable")][:NUM_CLASSES]
    rows = [np.flatnonzero(labels == number)[:PER_CLASS] for number in frequent]
    return np.asarray(held_out_first[np.concatenate(rows)])


def _scores(candidate: Candidate, pictures: Tensor) -> Float[np.ndarray, "n k"]:
    """The logarithms of the probabilities of all classes."""
    predictor = candidate.predictor
    with torch.inference_mode():
        outputs = [
            predictor.answers(some).double().cpu()
            for some in torch.split(pictures, predictor.inputs.batch_size or len(pictures))
        ]
    answers = candidate.calibration.answers(torch.cat(outputs).numpy())
    return np.asarray(np.log(np.maximum(answers, np.finfo(np.float64).tiny)))


def _told(found: Followed, classes: tuple[str, ...]) -> FollowedPart:
    return FollowedPart(
        label=classes[found.answer],
        part=found.part,
        share=found.share,
        otherwise=found.otherwise,
        num_items=found.num_pairs,
        num_turned=found.num_turned,
    )


def _note(told: FollowedPart) -> Note:
    compared = f"by what was put in instead to compare {told.otherwise:.0%}"
    return Note(
        code="follows-border", message=f"{told.verdict()}; {compared}", advice=told.advice()
    )
