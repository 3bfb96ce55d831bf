"""A linear probe as a proposal: the same for every set of frozen features."""

from __future__ import annotations

import copy

import numpy as np

from striate.fitting.baseline import Baseline
from striate.fitting.candidate import (
    Candidate,
    KeptFeatures,
    Proposal,
    featured_items,
    on_features,
    refitted,
    seconds_to_refit,
)
from striate.fitting.context import FitContext
from striate.metrics.novelty import FeaturedItems
from striate.models import Network
from striate.transfer.probe import LinearProbe


def probe_proposal(context: FitContext, baseline: Baseline, *, method: str, name: str) -> Proposal:
    """The probe on a baseline's features; as the result it learns from the validation items too.

    Args:
        context: The fit.
        baseline: The frozen features and their probe.
        method: Name of the method.
        name: What the user is told that it is.
    """
    train = baseline.known(context.dataset.indices("train"))
    learnt = baseline.known(np.flatnonzero(context.dataset.splits != "test"))

    everything = baseline.known(np.arange(len(context.dataset.items)))
    kept = KeptFeatures(indices=everything, features=baseline.pooled)

    def featured() -> FeaturedItems:
        return featured_items(context, learnt, baseline.pooled[learnt])

    def refit() -> Candidate:
        probe = baseline.fitted_probe(learnt, "final-probe")
        return refitted(
            context,
            method=method,
            model=baseline.model,
            network=with_head(baseline, probe),
            weights=baseline.weights,
            held_out=baseline.cross_outputs(learnt, probe.C),
            featured=featured(),
            kept=kept,
            details={},
        )

    outputs = baseline.probe.logits(baseline.pooled[context.dataset.indices("val")])
    calibration, loss = context.objective.calibrate(outputs, context.dataset.indices("val"))
    return Proposal(
        method=method,
        name=name,
        outputs=outputs,
        calibration=calibration,
        loss=loss,
        candidate=lambda: on_features(
            context,
            method=method,
            model=baseline.model,
            network=with_head(baseline, baseline.probe),
            weights=baseline.weights,
            outputs=outputs,
            calibration=calibration,
            featured=featured(),
            kept=kept,
        ),
        refit=refit,
        refit_seconds=seconds_to_refit(baseline.probe_seconds, len(train), len(learnt)),
        cross_outputs=lambda: baseline.cross_outputs(train, baseline.probe.C),
    )


def with_head(baseline: Baseline, probe: LinearProbe) -> Network:
    """A copy of the baseline's network that ends in a probe.

    Args:
        baseline: The frozen features.
        probe: Fitted to them.
    """
    network = copy.deepcopy(baseline.network)
    network.classifier.load_state_dict(probe.as_head().state_dict())
    return network
