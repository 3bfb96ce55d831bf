"""The networks of a fit: made for its inputs, fitted to its items, or only checked."""

from __future__ import annotations

from typing import Any, Final

import torch

from striate.fitting.context import FitContext
from striate.kinds.inputs import Inputs
from striate.models import GridNetwork, Network, create_model

MAX_FITTED: Final = 10_000
"""Training items, evenly spread, that what depends on them in the features is fitted to, at most."""


def made(context: FitContext, name: str, weights: str | None) -> Network:
    """A network for the fit's inputs, on its device.

    Args:
        context: The fit.
        name: Name of the network.
        weights: What it starts from; None for random weights.

    Raises:
        WeightsError: The weights do not fit.
        WeightsUnavailableError: They are not on this machine, nor to be had.
    """
    torch.manual_seed(context.options.seed)
    network = create_model(
        name,
        num_classes=context.objective.num_outputs,
        weights=weights,
        **context.inputs.network_options(name),
    )
    return network.to(context.device)


def fit_to_items(context: FitContext, network: Network) -> None:
    """Fit what in a network depends on the training items, though no gradient sets it.

    Args:
        context: The fit.
        network: Changed in place.
    """
    inputs = context.inputs.for_network(network)
    train = context.dataset.indices("train")
    some = context.dataset.store.take(train[:: -(-len(train) // MAX_FITTED)])
    network.fit_features(inputs.normalized(inputs.inputs(some)), context.options.seed)


def check_network(name: str, inputs: Inputs[Any], num_outputs: int) -> None:
    """Make sure that a network takes the fit's inputs; nothing is allocated or computed.

    Args:
        name: Name of the network.
        inputs: The fit's.
        num_outputs: Number of outputs.

    Raises:
        ArgumentError: It does not.
    """
    with torch.device("meta"):
        network = create_model(name, num_classes=num_outputs, **inputs.network_options(name))
        if isinstance(network, GridNetwork):
            network.check_shape((1, *inputs.input_shape))
