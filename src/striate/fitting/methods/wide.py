"""A linear layer on many more frozen features than the baseline takes."""

from __future__ import annotations

import time
from typing import Final

import torch

from striate.device import use_free_cores
from striate.errors import OptionError
from striate.fitting.baseline import MAX_FEATURES, Baseline, made
from striate.fitting.candidate import Proposal
from striate.fitting.context import FitContext
from striate.fitting.linear import probe_proposal
from striate.fitting.method import METHODS, Method
from striate.kinds.kind import Defaults
from striate.models import create_model
from striate.progress import duration
from striate.transfer.features import PooledFeatures

TIME_SHARE: Final = 0.25
"""Largest share of the time left that the features and their probes may take."""

_MEASURED: Final = 4
"""Items by which the time is estimated."""

_FITS: Final = 16
"""Probes that are fitted in all, in the cross-validations and in the end."""

_PRODUCTS_PER_SECOND: Final = 1e10
"""Multiplications in double precision that a core does in a second, about."""


class Wide(Method):
    """The baseline's probe, on a network with many more features."""

    name = "wide"
    description = "a linear layer on a wide set of frozen features"
    uses = frozenset[str]()

    def network_of(self, asked: str, defaults: Defaults) -> str | None:
        """The wide network, whatever network the user names."""
        return defaults.wide_features

    def reasons(self, context: FitContext) -> list[str]:
        """It needs a second, wider set of features."""
        if context.defaults.wide_features is None:
            return [f"no wide set of frozen features is known for {context.kind.name}s"]
        return []

    def against(self, context: FitContext, baseline: Baseline) -> str:
        """A network that the user named is the only one; and features and probes take time."""
        if context.options.model != "auto":
            return f"the user chose the features of {context.options.model}"
        if reason := _too_many(context, _width(context)):
            return reason
        seconds = _seconds(context)
        if seconds <= TIME_SHARE * context.seconds_left():
            return ""
        return f"{context.defaults.wide_features} would take about {duration(seconds)}"

    def propose(self, context: FitContext, baseline: Baseline) -> Proposal:
        """A probe whose regularization cross-validation chooses."""
        if reason := _too_many(context, _width(context)):
            raise OptionError("method", self.name, why=reason, fix="choose auto or probe")
        wide = Baseline(
            context,
            model=context.defaults.wide_features,
            prefix="wide-",
            name="wide features",
            squared=True,
        )
        return probe_proposal(context, wide, method=self.name, name="probe on wide features")


def _width(context: FitContext) -> int:
    """Number of features; nothing is computed."""
    name = str(context.defaults.wide_features)
    with torch.device("meta"):
        return create_model(name, **context.inputs.network_options(name)).num_features


def _too_many(context: FitContext, width: int) -> str:
    """Why the features of all items cannot be kept; empty where they can."""
    items = len(context.dataset.items)
    if items * width <= MAX_FEATURES:
        return ""
    return f"{width} features of each of {items} items are too many to keep"


def _seconds(context: FitContext) -> float:
    """About how long the features of all items and the probes on them take."""
    dataset, inputs = context.dataset, context.inputs
    network = made(context, str(context.defaults.wide_features), None).eval()
    some = inputs.inputs(dataset.store.take(dataset.indices("train")[:_MEASURED]))
    use_free_cores()
    began = time.monotonic()
    with torch.inference_mode():
        # Fetched, for a GPU says that it is done before it is.
        PooledFeatures(network)(inputs.normalized(some.to(context.device))).cpu()
    features = (time.monotonic() - began) / len(some) * len(dataset.items)
    learnt = len(dataset.items) - len(dataset.indices("test"))
    products = _FITS * learnt**2 * network.num_features
    return features + products / _PRODUCTS_PER_SECOND


METHODS.add(Wide.name, Wide())
