"""Every network by name, and what there is to know of it without computing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Final

import torch

from striate.errors import ArgumentError, UnknownNameError
from striate.models.network import Network, NetworkConfig
from striate.registry import Registry
from striate.weights.checkpoint import ANY_SOURCE, check_weights
from striate.weights.manifest import sources


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One named network.

    Attributes:
        family: Architecture that it is a size of; the weights' manifest has the same name.
        config: Its configuration, without weights.
        build: Makes the network from a configuration of this type.
        ranks: Numbers of spatial axes that it may have; none for networks of graphs.
        pretrained: Makes it with weights that are not a file of its own; None where they are.
    """

    family: str
    config: NetworkConfig
    build: Callable[[Any], Network]
    ranks: tuple[int, ...] = (1, 2, 3)
    pretrained: Callable[[Any], Network] | None = None

    @cached_property
    def num_parameters(self) -> int:
        """Number of parameters of the variant as registered; nothing is allocated."""
        with torch.device("meta"):
            network = self.build(self.config)
        return sum(parameter.numel() for parameter in network.parameters())


MODELS: Final[Registry[Variant]] = Registry("model")

_OPEN: Final[list[tuple[Callable[[str], bool], Callable[[str], Variant]]]] = []


def register(
    family: str,
    variants: Mapping[str, NetworkConfig],
    build: Callable[[Any], Network],
    *,
    ranks: tuple[int, ...] = (1, 2, 3),
    pretrained: Callable[[Any], Network] | None = None,
) -> None:
    """Enter the variants of a family."""
    for name, config in variants.items():
        variant = Variant(
            family=family, config=config, build=build, ranks=ranks, pretrained=pretrained
        )
        MODELS.add(name, variant)


def register_open(matches: Callable[[str], bool], make: Callable[[str], Variant]) -> None:
    """Enter a family without a list of names: `make` gives the variant of a name that matches."""
    _OPEN.append((matches, make))


def find(name: str) -> Variant:
    """The variant of a name, listed or of an open family.

    Raises:
        UnknownNameError: There is no such network; the message suggests the nearest.
        ArgumentError: The name is the text of a plain network, and has a mistake.
    """
    given: object = name
    if not isinstance(given, str):
        raise ArgumentError(f"the network is of type {type(given).__name__}", fix="give its name")
    for matches, make in _OPEN:
        if name not in MODELS and matches(name):
            return make(name)
    return MODELS.get(name)


def check_model_name(name: str) -> None:
    """Check that `create_model` knows a name; nothing is built or read.

    Raises:
        UnknownNameError: There is no such network; the message suggests the nearest.
        ArgumentError: The name is the text of a plain network, and has a mistake.
    """
    find(name)


def check_weights_name(weights: str, model: str | None = None) -> None:
    """Check that there are weights of a name or a path; nothing is built or read.

    Args:
        weights: What `create_model` takes.
        model: Name of the network; None where it may be any of those that are listed.

    Raises:
        UnknownNameError: There are neither such weights nor such a file.
        WeightsError: It looks like the path of a file, and there is none.
    """
    variants = MODELS.items() if model is None else [(model, find(model))]
    names = [source for name, variant in variants for source in _weights(name, variant)]
    what = "weights" if model is None else f"weights of {model}"
    check_weights(weights, [ANY_SOURCE, *names] if names else [], what)


def list_models(pattern: str = "*", pretrained: bool = False) -> list[str]:
    """Names that `create_model` takes, those of networks of graphs last.

    Args:
        pattern: What names have to match, with `*` and `?` as wildcards.
        pretrained: Whether to list only networks that have pretrained weights.

    >>> list_models("resnet1*")
    ['resnet18', 'resnet101', 'resnet152']
    """
    return [
        name
        for name, variant in sorted(MODELS.items(), key=lambda item: not item[1].ranks)
        if fnmatchcase(name, pattern) and (not pretrained or _weights(name, variant))
    ]


@dataclass(frozen=True, kw_only=True)
class Description:
    """A row of the table of networks.

    Attributes:
        name: Name that `create_model` takes.
        family: Architecture that it is a size of.
        ranks: Numbers of spatial axes that it may have; none for networks of graphs.
        parameters: Number of parameters as registered: at rank 2 (or the only one) with
            1000 classes, of graphs with one feature a node and two classes.
        input_size: Side it was designed for; None for graphs.
        weights: Names of its pretrained weights, the preferred first.
    """

    name: str
    family: str
    ranks: tuple[int, ...]
    parameters: int
    input_size: int | None
    weights: tuple[str, ...]


def describe(pattern: str = "*", pretrained: bool = False) -> list[Description]:
    """The networks that `list_models` lists, described.

    Raises:
        UnknownNameError: There are none.
    """
    names = list_models(pattern, pretrained)
    if not names:
        raise UnknownNameError("model", pattern, list_models(pretrained=pretrained))
    return [_describe(name, MODELS.get(name)) for name in names]


def _describe(name: str, variant: Variant) -> Description:
    return Description(
        name=name,
        family=variant.family,
        ranks=variant.ranks,
        parameters=variant.num_parameters,
        input_size=variant.config.input_size or None,
        weights=_weights(name, variant),
    )


def _weights(name: str, variant: Variant) -> tuple[str, ...]:
    """Names of pretrained weights; "imagenet" where they are not a file of the network's own."""
    listed = tuple(source.name for source in sources(variant.family, name))
    return listed or (() if variant.pretrained is None else (ANY_SOURCE,))
