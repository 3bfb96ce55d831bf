"""Making a network by name, with or without pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final, cast

from striate.errors import ArgumentError, UnknownNameError, WeightsError
from striate.models.catalog import find
from striate.models.graph_catalog import GRAPH_MODELS, create_graph_model
from striate.models.network import Network, NetworkConfig
from striate.typing import PathLike
from striate.weights.checkpoint import ANY_SOURCE, Checkpoint, load_checkpoint
from striate.weights.layout import check_shapes
from striate.weights.reshape import adapt_channels, as_filters, inflate, match_unit_axes

HEAD_WEIGHT: Final = "head.linear.weight"


def create_model(
    name: str,
    *,
    rank: int = 2,
    in_channels: int = 3,
    num_classes: int | None = None,
    weights: PathLike | None = None,
    **options: Any,
) -> Network:
    """Make a network.

    Weights of images fit every rank and number of channels: filters are inflated or collapsed
    (see `striate.weights.inflate`), the first one is summed or shared over channels. Where
    `num_classes` is not the number that the weights have, the head starts afresh.

    Args:
        name: one of `striate models`, the layers of a plain network as text (see
            `striate.models.text`), or `timm/NAME` for any network of timm. That of a network of
            graphs gives a `GraphNetwork`, with calls of the same names (`create_graph_model`).
        rank: number of spatial axes: 1 (series), 2 (images), 3 (volumes).
        in_channels: of the input.
        num_classes: logits; by default as many as the weights give, or 1000 without weights.
        weights: `imagenet` (the first source that can be had), the name of a source, or a file
            (safetensors, or a .pt with tensors only) with the keys of Striate, torchvision, timm
            or efficientnet_pytorch.
        options: fields of the network's configuration, over the variant's and the weights' own.
            `create_model(name, **asdict(network.config))` makes the same network again.

    Raises:
        UnknownNameError: no such network, weights or option.
        ArgumentError: a value is out of range.
        WeightsError: the file cannot be read, or is of another network.
        WeightsUnavailableError: neither on this machine nor to be had from the network.
    """
    if name in GRAPH_MODELS:
        if rank != 2:
            raise ArgumentError(f"rank={rank!r} for {name}", why="a graph has no axes of space")
        if num_classes is not None:
            options["num_classes"] = num_classes
        graph_network = create_graph_model(
            name, weights=weights, in_channels=in_channels, **options
        )
        # Typed as what all other names give; `create_graph_model` has the exact type.
        return cast(Network, graph_network)
    variant = find(name)
    asked = {**options, "rank": rank, "in_channels": in_channels}
    if num_classes is not None:
        asked["num_classes"] = num_classes
    config = configure(name, variant.config, asked)
    if weights == ANY_SOURCE and variant.pretrained is not None:
        return variant.pretrained(config)
    network = variant.build(config)
    if weights is None:
        return network
    checkpoint = load_checkpoint(variant.family, name, weights, list(network.state_dict()))
    found = {"num_classes": len(checkpoint.state[HEAD_WEIGHT]), **checkpoint.config}
    config = configure(name, variant.config, {**found, **asked})
    if config != network.config:
        network = variant.build(config)
    _load(network, checkpoint, weights)
    return network


def configure(name: str, base: NetworkConfig, options: Mapping[str, Any]) -> NetworkConfig:
    """A variant's configuration with some of its fields changed.

    Args:
        name: of the variant, for messages.
        base: the variant's own.
        options: new values; lists (from JSON) stand for tuples.

    Raises:
        UnknownNameError: the configuration has no such field.
        ArgumentError: a value is out of range.
    """
    known = [field.name for field in fields(base)]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of {name}", option, known)
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return replace(base, **values)


def _load(network: Network, checkpoint: Checkpoint, weights: PathLike) -> None:
    """Put a checkpoint of rank 2 into a network of any rank, channels and classes."""
    config = network.config
    expected = network.state_dict()
    state = as_filters(checkpoint.state, expected)
    filters = (key for key in state if key.startswith("stem.") and key.endswith(".weight"))
    first = next(filters, None)
    state = network.fit_weights(state)
    if first is not None:  # fixed features have no filters that are weights
        if state[first].ndim == 4:
            state = inflate(state, config.rank)
        state[first] = adapt_channels(state[first], config.in_channels)
    if len(state[HEAD_WEIGHT]) != config.num_classes:
        fresh = ("head.", "auxiliary.")
        state = {key: tensor for key, tensor in state.items() if not key.startswith(fresh)}
    state = match_unit_axes(state, expected)
    try:
        check_shapes(state, expected)
    except WeightsError as error:
        raise WeightsError(f"{weights}: {error.what}", why=error.why, fix=error.fix) from None
    network.load_state_dict({**expected, **state})
    if checkpoint.preprocessing is not None:
        network.preprocessing = checkpoint.preprocessing.for_channels(config.in_channels)
