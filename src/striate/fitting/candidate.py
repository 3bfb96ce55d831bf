"""What a method proposes, and what a fit keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.fitting.context import CHECK_STOP_EVERY, FitContext
from striate.metrics.novelty import (
    MAX_JUDGED,
    FeaturedItems,
    NoveltyDetector,
    evenly,
    fit_novelty,
)
from striate.models import Network
from striate.progress import duration
from striate.report.schema import Choice
from striate.run.predictor import Predictor
from striate.tasks.prediction import Calibration


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptFeatures:
    """Features that were kept of items, as the head of a model on frozen features takes them.

    Attributes:
        indices: Positions in the data set of the items whose features are known.
        features: (items, features) Of all items; the rows of the others mean nothing.
    """

    indices: NDArray[np.int64]
    features: Tensor


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that can be the result.

    Attributes:
        method: Name of the method that made it.
        model: Name of its network.
        predictor: Network and inputs.
        calibration: Makes answers of its outputs.
        outputs: Uncalibrated outputs of the validation items; None where it learnt from them too.
        weights: What the network started from, for the report.
        details: Further facts for the report.
        featured: Items whose labels and gradients did not make the network's features, with these.
        kept: The frozen features that it was fitted to; None of a network that made its own.
    """

    method: str
    model: str
    predictor: Predictor
    calibration: Calibration
    outputs: Tensor | None
    weights: str
    details: Mapping[str, str] = field(default_factory=dict)
    featured: FeaturedItems | None = None
    kept: KeptFeatures | None = None

    @cached_property
    def novelty_detector(self) -> NoveltyDetector | None:
        """What tells how strange an item is; None where there are too few items for it."""
        return None if self.featured is None else fit_novelty(self.featured)


REFIT_ANYWAY: Final = 5.0
"""Seconds that fitting the result again may take however little time is left."""


HeldOut = tuple[Tensor, NDArray[np.int64]]
"""Uncalibrated outputs of items that the model was not fitted to, and their positions."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A fitted model that is compared with others before one is finished.

    Attributes:
        method: Name of the method.
        name: What the user is told that it is.
        outputs: Uncalibrated outputs of the validation items, by what learnt from training alone.
        calibration: Fitted to those outputs.
        loss: Calibrated loss on the validation items.
        cross_outputs: Gives outputs of a cross-validation within the training items; None where
            that would take too long.
        chosen_by_validation: Whether the validation items chose the model's epoch, so that their
            judgement flatters it.
        candidate: Makes the model as it was judged.
        refit: Makes the result where it differs from that: a model on frozen features is fitted
            again, to the validation items too. None where it does not.
        refit_seconds: About how long that takes.
    """

    method: str
    name: str
    outputs: Tensor
    calibration: Calibration
    loss: float
    cross_outputs: Callable[[], HeldOut] | None = None
    chosen_by_validation: bool = False
    candidate: Callable[[], Candidate]
    refit: Callable[[], Candidate] | None = None
    refit_seconds: float = 0.0

    def finish(self, context: FitContext) -> Candidate:
        """The result; it learns from the validation items too where the time allows.

        Args:
            context: The fit.
        """
        if self.refit is None:
            return self.candidate()
        most = max(REFIT_ANYWAY, context.seconds_to_train())
        if context.steps.step("refit", lambda: self.refit_seconds <= most):
            return self.refit()
        why = f"to fit the {self.name} to them too would take about {duration(self.refit_seconds)}"
        context.tell(Choice(topic="validation items", choice="not learnt from", why=why))
        return self.candidate()


def seconds_to_refit(seconds: float, num_learnt: int, num_final: int) -> float:
    """About how long a model takes to be fitted again to more items, and to all but those of a fold.

    Args:
        seconds: How long it took, its choices included.
        num_learnt: Number of items that it was fitted to.
        num_final: Number of those that it is fitted to again.
    """
    return seconds * (num_final / max(1, num_learnt)) ** 2


def predicted(
    context: FitContext,
    predictor: Predictor,
    indices: NDArray[np.int64],
    label: str,
    look: Callable[[Tensor], object] = lambda features: None,
) -> Tensor:
    """(items, outputs) uncalibrated outputs of some items, in their order.

    Args:
        context: The fit.
        predictor: Network and inputs.
        indices: Positions of the items in the data set.
        label: What the progress says.
        look: Given the features of each batch in turn.

    Raises:
        StoppedError: The user asked to stop.
    """

    def compute() -> Tensor:
        parts = [torch.empty(0, context.objective.num_outputs)]
        with context.progress.track(label, len(indices), "items") as tracker:
            done = 0
            for part in predictor.parts(context.dataset.store.each(indices)):
                count = len(part.outputs)
                if done % CHECK_STOP_EVERY < count:
                    context.check_stop()
                done += count
                parts.append(part.outputs)
                look(part.features)
                tracker.advance(count)
        return torch.cat(parts)

    return context.steps.timed("evaluate", compute)


def trained(
    context: FitContext,
    predictor: Predictor,
    *,
    method: str,
    name: str,
    model: str,
    weights: str,
) -> Proposal:
    """A network that was trained by steps, as a proposal.

    Args:
        context: The fit.
        predictor: The network with the weights of its best epoch.
        method: Name of the method.
        name: What the user is told that it is.
        model: Name of the network.
        weights: What it started from.
    """
    context.trained = method
    val = context.dataset.indices("val")
    features: list[Tensor] = []
    outputs = predicted(context, predictor, val, "predicting validation", features.append)
    calibration, loss = context.objective.calibrate(outputs, val)
    candidate = Candidate(
        method=method,
        model=model,
        predictor=predictor,
        calibration=calibration,
        outputs=outputs,
        weights=weights,
        featured=featured_items(context, val, torch.cat(features)) if features else None,
    )
    return Proposal(
        method=method,
        name=name,
        outputs=outputs,
        calibration=calibration,
        loss=loss,
        chosen_by_validation=True,
        candidate=lambda: candidate,
    )


def featured_items(
    context: FitContext, indices: NDArray[np.int64], features: Tensor
) -> FeaturedItems:
    """Some items with their features, of many a part.

    Args:
        context: The fit.
        indices: Positions of the items in the data set.
        features: (items, features) Features of these items, as the network's head takes them.
    """
    dataset = context.dataset
    kept = evenly(dataset.target.strata[indices], MAX_JUDGED)
    return FeaturedItems(
        features=features[torch.from_numpy(kept)].numpy(),
        groups=dataset.duplicate_groups[indices[kept]],
        strata=dataset.target.strata[indices[kept]],
    )


def on_features(
    context: FitContext,
    *,
    method: str,
    model: str,
    network: Network,
    weights: str,
    outputs: Tensor | None,
    calibration: Calibration,
    featured: FeaturedItems | None = None,
    kept: KeptFeatures | None = None,
    details: Mapping[str, str] | None = None,
) -> Candidate:
    """A model on frozen features.

    Args:
        context: The fit.
        method: Name of the method.
        model: Name of the network.
        network: Ends in what was fitted to the features.
        weights: What the network started from.
        outputs: Uncalibrated outputs of the validation items; None where it learnt from them too.
        calibration: Makes answers of its outputs.
        featured: Items with their features, by which strange ones are told; None without that.
        kept: The frozen features; None where they are not to be had.
        details: Further facts for the report.
    """
    inputs = context.inputs.for_network(network)
    return Candidate(
        method=method,
        model=model,
        predictor=Predictor(network=network.eval(), inputs=inputs, device=context.device),
        calibration=calibration,
        outputs=outputs,
        weights=weights,
        details=details or {},
        featured=featured,
        kept=kept,
    )


def refitted(
    context: FitContext,
    *,
    method: str,
    model: str,
    network: Network,
    weights: str,
    held_out: HeldOut,
    details: Mapping[str, str],
    featured: FeaturedItems | None = None,
    kept: KeptFeatures | None = None,
) -> Candidate:
    """A model on frozen features that was fitted again, to the validation items too.

    Small data have no item to spare. The model is calibrated on what models like it answer for
    items that each was not fitted to.

    Args:
        context: The fit.
        method: Name of the method.
        model: Name of the network.
        network: Ends in what was fitted to training and validation items.
        weights: What the network started from.
        held_out: Outputs of a cross-validation, and the positions of their items.
        details: Further facts for the report.
        featured: Items with their features, by which strange ones are told; None without that.
        kept: The frozen features; None where they are not to be had.
    """
    why = "a model on frozen features needs them for nothing else"
    context.tell(Choice(topic="validation items", choice="learnt from in the end", why=why))
    return on_features(
        context,
        method=method,
        model=model,
        network=network,
        weights=weights,
        outputs=None,
        calibration=context.objective.calibrate(*held_out)[0],
        featured=featured,
        kept=kept,
        details=details,
    )
