"""Every network of graphs by name, and making one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import torch

from striate.errors import ArgumentError, UnknownNameError, WeightsError
from striate.models.graph_network import GraphConfig, GraphNetwork
from striate.registry import Registry
from striate.typing import PathLike
from striate.weights.file import read_weights
from striate.weights.layout import check_shapes


@dataclass(frozen=True, kw_only=True)
class GraphVariant:
    """One named network of graphs.

    Attributes:
        family: the architecture it is a size of.
        config: without the channels of any data.
        build: makes the network from a configuration of this type.
        takes_edges: its paper has features of edges.
    """

    family: str
    config: GraphConfig
    build: Callable[[Any], GraphNetwork]
    takes_edges: bool

    def count_parameters(self) -> int:
        """Parameters as registered; nothing is allocated."""
        with torch.device("meta"):
            network = self.build(self.config)
        return sum(parameter.numel() for parameter in network.parameters())


GRAPH_MODELS: Final[Registry[GraphVariant]] = Registry("graph network")


def register_graph(
    family: str,
    variants: Mapping[str, GraphConfig],
    build: Callable[[Any], GraphNetwork],
    *,
    takes_edges: bool = False,
) -> None:
    """Enter the variants of a family."""
    for name, config in variants.items():
        variant = GraphVariant(family=family, config=config, build=build, takes_edges=takes_edges)
        GRAPH_MODELS.add(name, variant)


def create_graph_model(
    name: str, *, weights: PathLike | None = None, **options: Any
) -> GraphNetwork:
    """Make a network of graphs.

    Args:
        name: one of `GRAPH_MODELS`.
        weights: a file of weights of this very network; random by default.
        options: fields of its configuration, `in_channels` and `num_classes` among them.

    Raises:
        UnknownNameError: no such network or option.
        ArgumentError: a value is out of range, or edge features that the network has no use for.
        WeightsError: the file cannot be read, or is of another network.
    """
    variant = GRAPH_MODELS.get(name)
    known = [field.name for field in fields(variant.config)]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of {name}", option, known)
    config = replace(variant.config, **options)
    if config.edge_channels and not variant.takes_edges:
        takers = [other for other, v in GRAPH_MODELS.items() if v.takes_edges]
        raise ArgumentError(
            f"edge_channels={config.edge_channels} for {name}",
            why="it has no use for features of edges",
            fix=f"leave them out with edge_channels=0, or choose one of {', '.join(takers)}",
        )
    network = variant.build(config)
    if weights is not None:
        state = read_weights(Path(weights))
        try:
            check_shapes(state, network.state_dict())
        except WeightsError as error:
            raise WeightsError(f"{weights}: {error.what}", why=error.why, fix=error.fix) from None
        network.load_state_dict(state)
    return network
