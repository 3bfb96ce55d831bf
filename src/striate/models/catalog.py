"""Every network by name, and what there is to know of it without computing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import torch

from striate.errors import UnknownNameError
from striate.models.graph_catalog import GRAPH_MODELS
from striate.models.network import Network, NetworkConfig
from striate.registry import Registry
from striate.weights.manifest import sources


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One named network.

    Attributes:
        family: names the weights' manifest too.
        config: of rank 2, without weights.
        build: makes the network from a configuration of this type.
        pretrained: makes it with weights that another package keeps; None where ours are used.
    """

    family: str
    config: NetworkConfig
    build: Callable[[Any], Network]
    pretrained: Callable[[Any], Network] | None = None


MODELS: Final[Registry[Variant]] = Registry("model")


def register(
    family: str, variants: Mapping[str, NetworkConfig], build: Callable[[Any], Network]
) -> None:
    """Enter the variants of a family."""
    for name, config in variants.items():
        MODELS.add(name, Variant(family=family, config=config, build=build))


_OPEN: Final[list[tuple[Callable[[str], bool], Callable[[str], Variant]]]] = []


def register_open(matches: Callable[[str], bool], make: Callable[[str], Variant]) -> None:
    """Enter a family without a list of names: `make` gives the variant of a name that matches."""
    _OPEN.append((matches, make))


def find(name: str) -> Variant:
    """The variant of a name, listed or of an open family.

    Raises:
        UnknownNameError: there is none; the message suggests the nearest.
    """
    for matches, make in _OPEN:
        if name not in MODELS and matches(name):
            return make(name)
    return MODELS.get(name)


@dataclass(frozen=True, kw_only=True)
class Description:
    """A row of the table of networks.

    Attributes:
        name: what `create_model` takes.
        family: the architecture it is a size of.
        parameters: count, at rank 2 with three channels and 1000 classes; of graphs with one
            feature a node and two classes.
        input_size: side it was designed for; None for graphs.
        weights: names of pretrained weights, the preferred first.
    """

    name: str
    family: str
    parameters: int
    input_size: int | None
    weights: tuple[str, ...]


def describe(pattern: str = "*") -> list[Description]:
    """Networks whose name matches, with `*` and `?` as wildcards.

    Raises:
        UnknownNameError: none matches.
    """
    grids = [
        Description(
            name=name,
            family=variant.family,
            parameters=count_parameters(variant),
            input_size=variant.config.input_size,
            weights=tuple(source.name for source in sources(variant.family, name)),
        )
        for name, variant in MODELS.items()
        if fnmatchcase(name, pattern)
    ]
    graphs = [
        Description(
            name=name,
            family=variant.family,
            parameters=variant.count_parameters(),
            input_size=None,
            weights=(),
        )
        for name, variant in GRAPH_MODELS.items()
        if fnmatchcase(name, pattern)
    ]
    if not grids + graphs:
        raise UnknownNameError("model", pattern, [*MODELS.names(), *GRAPH_MODELS.names()])
    return grids + graphs


def count_parameters(variant: Variant) -> int:
    """Parameters of the variant as registered; nothing is allocated."""
    with torch.device("meta"):
        network = variant.build(variant.config)
    return sum(parameter.numel() for parameter in network.parameters())
