"""Training from random weights."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final, NamedTuple

from torch import Tensor

from striate.fitting.baseline import Baseline, fit_to_items, made
from striate.fitting.candidate import Proposal, trained
from striate.fitting.context import FitContext
from striate.fitting.framing import default_baseline
from striate.fitting.method import METHODS, Method
from striate.fitting.select import STANDARD_ERRORS
from striate.fitting.symmetry import choose_symmetry
from striate.fitting.training import (
    MIN_SECONDS,
    Training,
    run_training,
    training_rate,
    whole_network,
)
from striate.kinds.inputs import Inputs
from striate.kinds.kind import Defaults
from striate.models import Network
from striate.report.schema import Choice
from striate.run.predictor import Predictor

MIN_JUDGES: Final = 20
"""Validation items below which `auto` sets no network against a probe.

The validation items choose the network's best epoch; of so few each changes the accuracy by more
than five points.
"""


MIN_PASSES: Final = 3.0
"""Passes over the training items below which a smaller network learns more in the same time."""


class Scratch(Method):
    """All layers are learnt from the training items alone."""

    name = "scratch"
    description = "trained from random weights"
    uses = frozenset({"model", "epochs", "symmetry", "workers", "strategy"})
    implied: ClassVar[Mapping[str, object]] = {"weights": None}
    needs_baseline = False

    def network_of(self, asked: str, defaults: Defaults) -> str | None:
        """The network that suits the kind, or the one that was requested."""
        return defaults.network if asked == "auto" else asked

    def reasons(self, context: FitContext) -> list[str]:
        """There is a network for every kind."""
        return []

    def against(self, context: FitContext, baseline: Baseline) -> str:
        """A probe is there already, and a network has to be able to win clearly."""
        if context.options.epochs is not None or context.defaults.features is None:
            return ""
        val = context.dataset.indices("val")
        if len(val) < MIN_JUDGES:
            return f"{len(val)} validation items cannot tell whether a trained network is better"
        num_train, wanted = len(context.dataset.indices("train")), context.defaults.min_trained
        if num_train < wanted:
            return (
                f"a network on {num_train} training items does not promise to win, below {wanted}"
            )
        if reason := _no_room(context, baseline.probe.logits(baseline.pooled[val])):
            return reason
        return "" if context.seconds_to_train() >= MIN_SECONDS else "no time is left for training"

    def propose(self, context: FitContext, baseline: Baseline) -> Proposal:
        """The network of the best epoch."""
        symmetry = context.options.symmetry
        if context.defaults.judged_symmetry:
            # Those of a network that the user named are those of random filters.
            judge = default_baseline(context) if context.options.method == self.name else baseline
            symmetry = choose_symmetry(context, judge, context.inputs)
        end = time.monotonic() + context.seconds_to_train()
        name = self.network_of(context.options.model, context.defaults) or ""
        begun = _begun(context, name, symmetry)
        quicker = context.defaults.quick_network
        if quicker and context.options.model == "auto" and context.options.epochs is None:
            passes = context.steps.step("passes", lambda: _passes(context, begun, end))
            if passes < MIN_PASSES:
                why = f"the time allows {passes:.1f} passes over the training items with {name}"
                context.tell(Choice(topic="network", choice=quicker, why=why))
                name, begun = quicker, _begun(context, quicker, symmetry)
        for choice in begun.inputs.choices():
            context.tell(choice)
        run_training(context, begun.training, end)
        network, inputs = begun.network.eval(), begun.inputs
        predictor = Predictor(network=network, inputs=inputs, device=context.device)
        return trained(
            context,
            predictor,
            method=self.name,
            name="training from scratch",
            model=name,
            weights="random",
        )


class _Begun(NamedTuple):
    """A network before its first step, how items become its inputs, and its training."""

    network: Network
    inputs: Inputs[Any]
    training: Training


def _begun(context: FitContext, name: str, symmetry: str) -> _Begun:
    network = made(context, name, None)
    if network.fits_features:
        fit_to_items(context, network)
    inputs = context.inputs.with_symmetry(symmetry).for_network(network)
    rate = context.defaults.learning_rate
    return _Begun(network, inputs, whole_network(context, network, inputs, rate))


def _passes(context: FitContext, begun: _Begun, end: float) -> float:
    """How often the training items can be gone through until a moment, validation left out."""
    num_train = len(context.dataset.indices("train"))
    return training_rate(context, begun.training) * (end - time.monotonic()) / num_train


def _no_room(context: FitContext, outputs: Tensor) -> str:
    """Why no model could clearly beat one with these validation outputs; empty where one could.

    A trained network must win by so many standard errors of the gain, and the gain of one without
    any loss is the loss itself.
    """
    objective, val = context.objective, context.dataset.indices("val")
    calibration, _ = objective.calibrate(outputs, val)
    losses = objective.item_losses(outputs, calibration, val)
    if losses.mean() > STANDARD_ERRORS * losses.std() / len(val) ** 0.5:
        return ""
    name = objective.metrics[0].replace("_", " ")
    return (
        f"the probe's {name} of {losses.mean():.4f} is so small that {len(val)} validation items "
        f"could not tell a perfect network from it"
    )


METHODS.add(Scratch.name, Scratch())
