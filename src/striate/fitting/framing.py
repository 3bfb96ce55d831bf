"""How much of an item the network sees, where that is a choice."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.randomness import epoch_order
from striate.errors import OptionError, StriateError
from striate.fitting.baseline import Baseline
from striate.fitting.context import FitContext
from striate.fitting.select import STANDARD_ERRORS
from striate.kinds.inputs import Inputs
from striate.models import create_model
from striate.progress import duration
from striate.report.schema import Choice
from striate.transfer.features import PooledFeatures

MAX_JUDGES: Final = 256
"""Training items by which framings are compared, at most, unless more are needed for all classes."""

MAX_KNOWN: Final = 8192
"""Items whose features are taken where nothing but a choice depends on them, at most."""

MIN_JUDGES: Final = 32
"""Training items that are taken however little time there is."""

LEAST_ENLARGED: Final = 16
"""Side in pixels below which images are not enlarged for a network of photographs."""

TIME_SHARE: Final = 0.1
"""Largest share of the time for the fit that the features of the comparison may take."""

Extract: TypeAlias = Callable[[Any], Tensor]
"""From a batch of inputs to their features."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What cross-validation says of a framing.

    Attributes:
        loss: Mean calibrated loss of the held-out items.
        losses: Loss of each of them.
    """

    loss: float
    losses: NDArray[np.float64]


def choose_framing(context: FitContext) -> Inputs[Any]:
    """The fit's inputs with the framing that the user chose or that suits the training items.

    Args:
        context: The fit, its data read.

    Raises:
        ArgumentError: The requested symmetry is not one of such an input.
    """
    inputs, asked = context.inputs, context.options.framing
    ways = inputs.framings()
    if not ways:
        return inputs
    symmetry, first = context.options.symmetry, next(iter(ways.values()))
    if symmetry in first.sets and symmetry not in inputs.sets:
        fix = "choose flips, or another framing"
        raise OptionError("symmetry", symmetry, why="a rectangle cannot be transposed", fix=fix)
    if asked != "auto":
        why = f"chosen by the user; pixels seen: {inputs.details()['pixels seen']}"
        context.tell(Choice(topic="framing", choice=asked, why=why))
        return inputs
    return ways[context.decide("framing", lambda: _compared(context, ways))]


def choose_scale(context: FitContext) -> None:
    """Take the fit's inputs as pretrained networks want them, where that is better and affordable.

    Args:
        context: The fit, its data read; its inputs and defaults are changed where it is.
    """
    own, other = context.inputs, context.inputs.for_photographs()
    options = context.options
    if other.input_shape == own.input_shape or not options.chooses_freely:
        return
    # Of so few pixels nothing is left to enlarge.
    if min(own.input_shape[1:]) < LEAST_ENLARGED:
        return
    ways = {f"{way.input_shape[-1]} px": way for way in (own, other)}
    fits = {name: _seen_as(context, way) for name, way in ways.items()}
    first, second = ways

    def decide() -> Choice:
        baselines = {name: Baseline(fit) for name, fit in fits.items()}
        extracts = {
            name: baseline.extractor(PooledFeatures(baseline.network))
            for name, baseline in baselines.items()
        }
        train = context.dataset.indices("train")
        seconds = _seconds_per_item(fits[second], extracts[second], train)
        all_items = seconds * len(context.dataset.items)
        if all_items > fits[second].defaults.features_share * options.seconds:
            why = f"features of images enlarged to {second} would take {duration(all_items)}"
            return Choice(topic="seen at", choice=first, why=why)
        judges = _judges(fits[second], extracts[second], 1)
        if not context.objective.can_learn(judges):
            why = f"{len(judges)} training items are too few to compare sizes"
            return Choice(topic="seen at", choice=first, why=why)
        judged = {
            name: _judged(fits[name], extracts[name], name, way, judges)
            for name, way in ways.items()
        }
        choice, margin = preferred(judged)
        loss_name = context.objective.metrics[0].replace("_", " ")
        losses = ", ".join(f"{one.loss:.4f} at {name}" for name, one in judged.items())
        why = (
            f"cross-validation {loss_name} of a probe on {len(judges)} training items, on "
            f"pretrained features where they are enlarged: {losses}; chance gives differences of "
            f"{margin:.4f}"
        )
        return Choice(topic="seen at", choice=choice, why=why)

    chosen = context.decide("seen at", decide)
    context.inputs, context.defaults = ways[chosen], fits[chosen].defaults
    context.objective.quick = context.defaults.quick_probes


def _seen_as(context: FitContext, way: Inputs[Any]) -> FitContext:
    """The fit with other inputs, and what suits them."""
    other = copy.copy(context)
    other.inputs, other.defaults = way, context.kind.defaults(way)
    return other


def preferred(judged: Mapping[str, Judged]) -> tuple[str, float]:
    """The framing of the lowest loss, and by how much it had to be better than the first.

    The first is kept unless the gain is more than the chance of the items explains.

    Args:
        judged: What cross-validation says of each; the same items of all, the simplest first.
    """
    first, *others = judged
    best = min(others, key=lambda name: judged[name].loss)
    gains = judged[first].losses - judged[best].losses
    margin = STANDARD_ERRORS * float(gains.std() / np.sqrt(len(gains)))
    return (best if judged[first].loss - judged[best].loss > margin else first), margin


def _compared(context: FitContext, ways: Mapping[str, Inputs[Any]]) -> Choice:
    first = next(iter(ways))
    seen = f"pixels seen: {ways[first].details()['pixels seen']}"
    usable = {name: way for name, way in ways.items() if name == first or _suits(context, way)}
    if len(usable) == 1 or context.defaults.features is None:
        return Choice(topic="framing", choice=first, why=seen)
    baseline = default_baseline(context)
    extract = baseline.extractor(PooledFeatures(baseline.network))
    judges = _judges(context, extract, len(usable))
    if not context.objective.can_learn(judges):
        why = f"{seen}; {len(judges)} training items are too few to compare framings"
        return Choice(topic="framing", choice=first, why=why)
    judged = {name: _judged(context, extract, name, way, judges) for name, way in usable.items()}
    choice, margin = preferred(judged)
    loss_name = context.objective.metrics[0].replace("_", " ")
    losses = ", ".join(f"{one.loss:.4f} {name}" for name, one in judged.items())
    why = (
        f"cross-validation {loss_name} of a probe on {len(judges)} training items: {losses}; chance "
        f"gives differences of {margin:.4f}; {seen} by {first}"
    )
    return Choice(topic="framing", choice=choice, why=why)


def _suits(context: FitContext, way: Inputs[Any]) -> bool:
    """Whether symmetry and network that the user chose allow inputs of this shape."""
    if context.options.symmetry not in ("auto", *way.sets):
        return False
    name = context.options.model
    if name == "auto":
        return True
    options = way.network_options(name)
    try:
        with torch.device("meta"), torch.inference_mode():
            network = create_model(name, num_classes=context.objective.num_outputs, **options)
            network.eval()(torch.empty(1, *way.input_shape))
    except (StriateError, RuntimeError, ValueError, AssertionError):
        return False
    return True


def default_baseline(context: FitContext) -> Baseline:
    """The kind's own frozen features, of as many items as it takes to judge by them.

    They are those whatever network and weights the user chose.
    """
    judging = copy.copy(context)
    judging.options = replace(context.options, method="auto", model="auto", weights="auto")
    return Baseline(judging, most_items=MAX_KNOWN)


def _judges(context: FitContext, extract: Extract, num_ways: int) -> NDArray[np.int64]:
    """Training items at random: as many as the time allows."""
    train = context.dataset.indices("train")
    train = train[epoch_order(context.options.seed, 0, len(train))]

    def affordable() -> int:
        per_item = _seconds_per_item(context, extract, train)
        return int(TIME_SHARE * context.options.seconds / (num_ways * per_item))

    count = context.steps.step("items that judge framings", affordable)
    count = min(MAX_JUDGES, max(MIN_JUDGES, count))
    while count < len(train) and not context.objective.can_learn(train[:count]):
        count *= 2
    return train[:count]


def _seconds_per_item(context: FitContext, extract: Extract, indices: NDArray[np.int64]) -> float:
    """Seconds that the features of an item take, measured on the second of two equal batches."""
    some = indices[: context.inputs.batch_size]
    extract(context.inputs.inputs(context.dataset.store.take(some)))
    began = time.monotonic()
    extract(context.inputs.inputs(context.dataset.store.take(some)))
    return (time.monotonic() - began) / len(some)


def _judged(
    context: FitContext,
    extract: Extract,
    name: str,
    way: Inputs[Any],
    judges: NDArray[np.int64],
) -> Judged:
    """A cross-validation of the probe within these items, on what is seen this way."""
    objective = context.objective

    def judge() -> dict[str, Any]:
        found = torch.cat([extract(batch) for batch in context.batches(judges, way)])
        features = torch.zeros(len(context.dataset.items), found.shape[1])
        features[judges] = found
        config = objective.probe_config(context.options.seed)
        probe = objective.fit_probe(features, judges, config)
        outputs, covered = objective.cross_outputs(features, judges, replace(config, Cs=(probe.C,)))
        calibration, loss = objective.calibrate(outputs, covered)
        losses = objective.item_losses(outputs, calibration, covered)
        return {"loss": float(loss), "losses": losses.tolist()}

    found = context.steps.step(f"framing {name}", judge)
    return Judged(loss=found["loss"], losses=np.array(found["losses"]))
