"""Under which mirrorings and turns a label stays what it is, and how many are averaged."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch

from striate.fitting.baseline import Baseline, plain_batches
from striate.fitting.context import EVALUATION_SHARE, FitContext
from striate.kinds.inputs import Inputs
from striate.models import Network
from striate.progress import duration
from striate.report.schema import Choice
from striate.run.predictor import Predictor
from striate.transfer.features import PooledFeatures

MAX_JUDGES: Final = 256
"""Validation items that are looked at transformed, about."""

TOLERATED_LOSS: Final = 0.25
"""Share of what the probe has learnt that may be lost on transformed items."""

GENERATORS: Final = {"mirror": 1, "upside down": 2, "transposed": 4}
"""The symmetries that generate all eight, by what they do to an image."""


def choose_symmetry(context: FitContext, baseline: Baseline, inputs: Inputs[Any]) -> str:
    """The set of symmetries of augmentation: what the user chose, or what the probe tolerates.

    Args:
        context: The fit.
        baseline: The probe is shown transformed items.
        inputs: How items become inputs.
    """
    asked = context.options.symmetry

    def decide() -> Choice:
        if asked != "auto":
            return Choice(topic="symmetry", choice=asked, why="chosen by the user")
        val = context.dataset.indices("val")
        judges = val[:: max(1, len(val) // MAX_JUDGES)]
        logits, loss = baseline.probe.logits, context.objective.uncalibrated_loss
        losses = {"identity": loss(logits(baseline.pooled[judges]), judges)}
        known = set().union(*inputs.sets.values())
        for name, number in GENERATORS.items():
            if number not in known:
                continue
            batches = (inputs.transformed(x, number) for x in plain_batches(context, judges))
            parts = list(baseline.extracted(PooledFeatures(baseline.network), batches))
            losses[name] = loss(logits(torch.cat(parts)), judges)
        return tolerated_symmetry(losses, context.objective.null_loss(judges))

    return context.decide("symmetry", decide)


def tolerated_symmetry(losses: Mapping[str, float], null_loss: float) -> Choice:
    """The largest set of symmetries under which the items stay recognizable.

    Mirrored or turned items are shown to the probe, which never saw one. Where it loses little of
    what it knows about them, a label does not depend on the orientation, and training and
    prediction may use the symmetry.

    Args:
        losses: Losses of held-out items by transformation: "identity", "mirror", "upside down"
            and, where inputs can be, "transposed".
        null_loss: Loss of the best constant prediction.
    """
    learnt = max(null_loss - losses["identity"], 1e-9)
    lost = {name: (value - losses["identity"]) / learnt for name, value in losses.items()}
    symmetry = "identity"
    for name, generator in zip(("mirror", "flips", "dihedral"), GENERATORS, strict=True):
        if generator not in lost or lost[generator] > TOLERATED_LOSS:
            break
        symmetry = name
    words = dict(zip(GENERATORS, ("mirrored", "upside down", "transposed"), strict=True))
    figures = ", ".join(f"{lost[key]:+.0%} {words[key]}" for key in GENERATORS if key in lost)
    why = f"loss of the probe on validation items, relative to what it has learnt: {figures}"
    return Choice(topic="symmetry", choice=symmetry, why=why)


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
