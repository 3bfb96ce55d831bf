"""Whether a label survives mirroring, and how many symmetries are averaged in prediction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.randomness import epoch_order
from striate.fitting.baseline import Baseline
from striate.fitting.context import EVALUATION_SHARE, FitContext
from striate.kinds.inputs import Inputs
from striate.models import Network
from striate.progress import duration
from striate.report.schema import Choice
from striate.run.predictor import Predictor
from striate.transfer.features import PooledFeatures

MAX_JUDGES: Final = 768
"""Items that are looked at mirrored, at most."""

TOLERATED_LOSS: Final = 0.25
"""Share of what the probe has learnt that may be lost on mirrored items."""

ERRORS: Final = 2.0
"""Standard errors within which a difference may be chance."""

MIRROR: Final = 1
"""Number of the symmetry that exchanges left and right."""

OTHERWISE: Final = "say otherwise with --symmetry"


@dataclass(frozen=True, kw_only=True)
class Mirrored:
    """Held-out items as they are and mirrored, judged by probes that were fitted to neither.

    Attributes:
        losses: (items,) Loss of each item as it is.
        mirrored: (items,) Loss of its mirror image.
        null_loss: Loss of the best constant prediction.
        membership: (items, classes) Which items belong to which class; no columns without classes.
        classes: Names of the classes.
        not_told_apart: Two classes that the probes cannot tell apart, for a person; or empty.
    """

    losses: NDArray[np.float64]
    mirrored: NDArray[np.float64]
    null_loss: float
    membership: NDArray[np.bool_]
    classes: Sequence[str]
    not_told_apart: str = ""


def choose_symmetry(context: FitContext, baseline: Baseline, inputs: Inputs[Any]) -> str:
    """The set of symmetries of augmentation: what the user chose, or whether items may be mirrored.

    Args:
        context: The fit.
        baseline: Probes of its features judge mirrored items.
        inputs: How items become inputs.
    """
    requested = context.options.symmetry

    def decide() -> Choice:
        if requested != "auto":
            return Choice(topic="symmetry", choice=requested, why="chosen by the user")
        return mirror_or_identity(_judged(context, baseline, inputs))

    return context.decide("symmetry", decide)


def mirror_or_identity(judged: Mirrored) -> Choice:
    """Whether items are mirrored in training and prediction; nothing beyond that is tried unasked.

    Mirrored items are shown to probes that never saw one. Where these lose clearly less than a
    quarter of what they know about the items, a label does not depend on left and right. It stays
    with the identity where that may be chance, where a single class clearly loses more, and where
    two classes are not told apart: left and right may be all that separates them, as b and d.

    Args:
        judged: The losses of held-out items.
    """

    def identity(why: str) -> Choice:
        return Choice(topic="symmetry", choice="identity", why=f"{why}; {OTHERWISE}")

    if len(judged.losses) < 2:
        return identity("too few items to judge mirror images by")
    learnt = judged.null_loss - judged.losses
    more = judged.mirrored - judged.losses
    excess = more - TOLERATED_LOSS * learnt
    share, error = excess.mean(), ERRORS * standard_error(excess)
    if judged.not_told_apart:
        return identity(f"the probe does not tell {judged.not_told_apart} apart")
    if learnt.mean() <= ERRORS * standard_error(learnt):
        return identity("the probe has learnt too little to judge mirror images")
    figures = f"mirrored, {len(excess)} items lose {more.mean() / learnt.mean():.0%} of what the probe has learnt about them"
    if share + error >= 0:
        return identity(figures)
    sure = NormalDist().inv_cdf(1 - 0.025 / max(1, judged.membership.shape[1]))
    for name, members in zip(judged.classes, judged.membership.T, strict=True):
        own, known = more[members], max(0.0, learnt[members].mean()) if members.any() else 0.0
        if len(own) > 2 and own.mean() - sure * standard_error(own) > TOLERATED_LOSS * known:
            return identity(
                f"mirrored, items of {name!r} lose what the probe has learnt about them"
            )
    return Choice(topic="symmetry", choice="mirror", why=f"{figures}; {OTHERWISE}")


def standard_error(values: NDArray[np.float64]) -> float:
    """Standard error of the mean of two values or more."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _judged(context: FitContext, baseline: Baseline, inputs: Inputs[Any]) -> Mirrored:
    """Training and validation items, or a random part of them, under probes of the others."""
    objective, seed = context.objective, context.options.seed
    known = baseline.known(np.flatnonzero(context.dataset.splits != "test"))
    judges = np.sort(known[epoch_order(seed, 0, len(known))[:MAX_JUDGES]])
    batches = (inputs.transformed(x, MIRROR) for x in context.batches(judges))
    mirrored = baseline.pooled.clone()
    mirrored[judges] = torch.cat(
        list(baseline.extracted(PooledFeatures(baseline.network), batches))
    )
    config = replace(objective.probe_config(seed), Cs=(baseline.probe.C,))
    outputs, covered = objective.cross_outputs(baseline.pooled, judges, config)
    turned, _ = objective.cross_outputs(baseline.pooled, judges, config, judged=mirrored)
    calibration, _ = objective.calibrate(outputs, covered)
    return Mirrored(
        losses=objective.item_losses(outputs, calibration, covered),
        mirrored=objective.item_losses(turned, calibration, covered),
        null_loss=objective.null_loss(covered),
        membership=objective.membership(covered),
        classes=context.dataset.classes,
        not_told_apart=objective.not_told_apart(outputs, covered),
    )


def choose_views(context: FitContext, network: Network, inputs: Inputs[Any]) -> str:
    """The symmetries that are averaged in prediction: as many as the time allows.

    Args:
        context: The fit.
        network: The network to be used.
        inputs: With the symmetry of the augmentation, which is the largest set.
    """
    one_view = seconds_per_view(context, network, inputs)

    def decide() -> Choice:
        views = "identity"
        for name, numbers in inputs.sets.items():
            if len(numbers) * one_view <= EVALUATION_SHARE * context.options.seconds:
                views = name
            if name == inputs.symmetry:
                break
        why = f"{duration(one_view)} for the held-out items under each of {len(inputs.sets[views])}"
        return Choice(topic="symmetries averaged in prediction", choice=views, why=why)

    return context.decide("views", decide)


def seconds_per_view(context: FitContext, network: Network, inputs: Inputs[Any]) -> float:
    """Seconds that predicting the held-out items takes under one symmetry, measured on a batch."""

    def measure() -> float:
        predictor = Predictor(network=network.eval(), inputs=inputs, device=context.device)
        held_out = np.flatnonzero(context.dataset.splits != "train")
        readings = context.dataset.store.take(held_out[: inputs.batch_size])
        predictor.outputs(readings)
        began = time.monotonic()
        predictor.outputs(readings)
        return (time.monotonic() - began) / len(readings) * len(held_out)

    return context.steps.step("seconds per view", measure)
