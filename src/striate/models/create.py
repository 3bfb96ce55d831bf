"""Making a network by name, with or without pretrained weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final

from striate.errors import ArgumentError, UnknownNameError, WeightsError
from striate.models.catalog import Variant, find
from striate.models.network import Network, NetworkConfig
from striate.typing import PathLike
from striate.weights.checkpoint import ANY_SOURCE, Checkpoint, load_checkpoint
from striate.weights.layout import CLASSES, check_shapes
from striate.weights.reshape import adapt_channels, as_filters, inflate, match_unit_axes

HEAD_WEIGHT: Final = "head.linear.weight"


def create_model(
    name: str,
    *,
    rank: int | None = None,
    in_channels: int | None = None,
    num_classes: int | None = None,
    weights: PathLike | None = None,
    **options: Any,
) -> Network:
    """Make a network.

    Weights of images fit every rank and number of channels: filters are inflated or collapsed
    (see `striate.weights.inflate`), the first one is adapted to the channels as in timm (see
    `striate.weights.adapt_channels`). Where `num_classes` is not the number that the weights have,
    the head starts afresh.

    Args:
        name: One of `list_models()`, the layers of a plain network as text (see
            `striate.models.text`), or `timm/NAME` for any network of timm. The name of a network
            of graphs gives a `GraphNetwork`, any other a `GridNetwork`.
        rank: Number of spatial axes: 1 (series), 2 (images), 3 (volumes). By default 2, or the
            only one that the network has.
        in_channels: Number of channels of the input, or of features of a node. By default 3, of
            networks of series, volumes or graphs alone 1.
        num_classes: Number of logits. By default as many as the weights give, or 1000 (of graphs
            2) without weights.
        weights: `imagenet` (the first source that can be had), the name of a source, or a file of
            any name (safetensors or what `torch.save` wrote, with tensors and plain values only)
            with the keys of Striate, torchvision, timm or efficientnet_pytorch, also under the
            keys and prefixes that training scripts put before them. By default weights are random.
        options: Fields of the network's configuration, over the variant's and the weights' own.
            `create_model(name, **asdict(network.config))` makes the same network again.

    Raises:
        UnknownNameError: There is no such network, weights or option.
        ArgumentError: A value is out of range.
        WeightsError: The file cannot be read, or is of another network.
        WeightsUnavailableError: The weights are neither on this machine nor to be had.
    """
    if not (weights is None or isinstance(weights, str | os.PathLike)) or "pretrained" in options:
        wrong = "pretrained" if "pretrained" in options else "weights"
        what = f"{wrong}={options.get(wrong, weights)!r}"
        raise ArgumentError(what, fix='write weights="imagenet", the path of a file, or nothing')
    variant = find(name)
    _check_rank(name, variant, rank)
    given = {"rank": rank, "in_channels": in_channels, "num_classes": num_classes}
    asked = {**options, **{key: value for key, value in given.items() if value is not None}}
    config = configure(name, variant.config, asked)
    if weights == ANY_SOURCE and variant.pretrained is not None:
        return variant.pretrained(config)
    network = variant.build(config)
    if weights is None:
        return network
    checkpoint = load_checkpoint(
        variant.family, name, weights, list(network.state_dict()), network.layouts()
    )
    head = checkpoint.state.get(HEAD_WEIGHT)
    found = {**({} if head is None else {"num_classes": len(head)}), **checkpoint.config}
    config = configure(name, variant.config, {**found, **asked})
    if config != network.config:
        network = variant.build(config)
    _load(network, checkpoint, weights)
    if "input_size" in asked and checkpoint.preprocessing is not None:
        network.preprocessing = replace(network.preprocessing, size=asked["input_size"])
    return network


def configure(name: str, base: NetworkConfig, options: Mapping[str, Any]) -> NetworkConfig:
    """A variant's configuration with some of its fields changed.

    Args:
        name: Name of the variant, for messages.
        base: The variant's own configuration.
        options: New values; lists (from JSON) stand for tuples.

    Raises:
        UnknownNameError: The configuration has no such field.
        ArgumentError: A value is out of range.
    """
    known = [field.name for field in fields(base)]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of {name}", option, known)
    # Numbers of NumPy do not fit into JSON.
    plain = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in options.items()}
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
    return replace(base, **values)


def _check_rank(name: str, variant: Variant, rank: int | None) -> None:
    if rank is not None and rank not in variant.ranks:
        ranks = " or ".join(map(str, variant.ranks))
        raise ArgumentError(
            f"rank={rank!r} for {name}",
            why=f"the network has rank {ranks}" if ranks else "a graph has no spatial axes",
            fix="leave the rank out",
        )


def _load(network: Network, checkpoint: Checkpoint, weights: PathLike) -> None:
    """Put a checkpoint of rank 2 into a network of any rank, channels and classes."""
    config = network.config
    expected = network.state_dict()
    state = as_filters(checkpoint.state, expected)
    stem = (key for key in state if key.startswith("stem.") and key.endswith(".weight"))
    first = next((key for key in stem if state[key].ndim > 2), None)
    state = network.fit_weights(state)
    if first is not None:  # graph networks and fixed features have no filters that are weights
        if state[first].ndim == 4:
            state = inflate(state, config.rank)
        state[first] = adapt_channels(state[first], config.in_channels)
    notes = checkpoint.notes
    if HEAD_WEIGHT in state and len(state[HEAD_WEIGHT]) != config.num_classes:
        notes = (*notes, f"their layer for {len(state[HEAD_WEIGHT])} classes starts afresh")
        state = {key: tensor for key, tensor in state.items() if not key.startswith(CLASSES)}
    state = match_unit_axes(state, expected)
    try:
        check_shapes(state, expected)
    except WeightsError as error:
        raise WeightsError(f"{weights}: {error.what}", why=error.why, fix=error.fix) from None
    network.load_state_dict({**expected, **state})
    network.origin = checkpoint.origin
    network.notes = () if checkpoint.origin else notes
    if checkpoint.preprocessing is not None:
        network.preprocessing = checkpoint.preprocessing.for_channels(config.in_channels)
