"""What an explanation is, and the registry of the methods that make one.

An explanation shows the evidence for one output of a network: how much each place of an input
raises its logit. Places are the samples of a grid, or the nodes and edges of a graph.

Axes: n items, c channels, k outputs; N nodes, E edges, f features of a node.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ArgumentError
from striate.nn.evaluation import evaluating
from striate.ops.graph_batch import GraphBatch
from striate.registry import Registry


class GridExplainable(Protocol):
    """A network of grids that can be cut before its head; a `striate.models.Network` is one."""

    def forward_features(self, x: Tensor, /) -> Tensor:
        """Return the last feature maps, (n, c, *reduced)."""

    def forward_head(self, features: Tensor, /) -> Tensor:
        """Return the logits (n, k) of those maps."""


class GraphExplainable(Protocol):
    """A network of graphs or nodes that can be cut before its head."""

    def forward_features(self, batch: GraphBatch, /) -> Tensor:
        """Return the features of every node, (N, f)."""

    def forward_head(self, features: Tensor, batch: GraphBatch, /) -> Tensor:
        """Return the logits (n, k) of those features."""


GridMethod: TypeAlias = Callable[
    [GridExplainable, Float[Tensor, "n c *space"], Int[Tensor, " n"]], Float[Tensor, " n *reduced"]
]
"""Gives the evidence for targets at each place of grids: not negative, of any scale and size."""

GraphMethod: TypeAlias = Callable[[GraphExplainable, GraphBatch, int], Float[Tensor, " N"]]
"""Gives the evidence for a target at each node of one graph: not negative, of any scale."""


@dataclass(frozen=True)
class Unsupported:
    """Stands for a method where there is none, and says why.

    Attributes:
        reason: Why the method cannot explain such inputs, as a clause.
    """

    reason: str

    def __call__(self, *_: object) -> Tensor:
        """Raise an ArgumentError with the reason."""
        raise ArgumentError("this method of explanation", why=self.reason, fix="choose another")


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to explain, for every kind of input.

    Attributes:
        grid: Explains tensors of any rank, or says why it cannot.
        graph: Explains one graph, or one of its nodes, or says why it cannot.
    """

    grid: GridMethod | Unsupported
    graph: GraphMethod | Unsupported


EXPLANATIONS: Registry[Method] = Registry("explanation method")

GRADCAM: Final = "gradcam"
"""The method for which a network may give a map of its own."""


def told_as(method: str, network: object) -> str:
    """What the evidence by a method is called for a network.

    A network whose own map for `gradcam` is none of evidence for an output says what it shows, by
    `activation_map_shows`.

    Args:
        method: Name of a method in `EXPLANATIONS`.
        network: The network that is explained.
    """
    return str(getattr(network, "activation_map_shows", method)) if method == GRADCAM else method


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The evidence for an output, from 0 (none) to 1 (the most in its item).

    Attributes:
        heat: Evidence at each place: (n, *space) of grids, (N,) for the nodes of a graph.
        edges: Evidence of each edge of a graph, (E,); None where edges are not explained.
    """

    heat: Tensor
    edges: Tensor | None = None


def explain(
    network: GridExplainable,
    inputs: Float[Tensor, "n c *space"],
    targets: Int[Tensor, " n"] | None = None,
    method: str = "gradcam",
) -> Explanation:
    """Explain grids at the inputs' resolution.

    Modules are in evaluation mode meanwhile, and no gradient is left on the parameters.

    Args:
        network: The network to explain.
        inputs: Normalized inputs, as the network takes them.
        targets: Number of the output to explain for each input. By default the one of the highest
            logit.
        method: Name of a method in `EXPLANATIONS`.

    Raises:
        UnknownNameError: There is no such method.
        ArgumentError: Targets and inputs differ in number, or the method cannot explain them.
    """
    heat_of = EXPLANATIONS.get(method).grid
    if targets is not None and len(targets) != len(inputs):
        raise ArgumentError(f"{len(targets)} targets for {len(inputs)} inputs", fix="give one each")
    mode = evaluating(network) if isinstance(network, nn.Module) else nullcontext()
    with mode, torch.inference_mode(False), torch.no_grad():
        if targets is None:
            targets = network.forward_head(network.forward_features(inputs)).argmax(1)
        heat = heat_of(network, inputs, targets.to(inputs.device))
        return Explanation(heat=to_input_scale(heat, inputs.shape[2:]))


def explain_graph(
    network: GraphExplainable, graph: GraphBatch, target: int, method: str = "gradcam"
) -> Explanation:
    """Explain the nodes of one graph; for edges see `striate.explain.occlusion.edge_occlusion`.

    Args:
        network: The network to explain, in evaluation mode.
        graph: One graph. Where one of its nodes is classified, that node is its only seed.
        target: Number of the output to explain.
        method: Name of a method in `EXPLANATIONS`.

    Raises:
        UnknownNameError: There is no such method.
        ArgumentError: The method cannot explain graphs.
    """
    heat_of = EXPLANATIONS.get(method).graph
    with torch.inference_mode(False), torch.no_grad():
        return Explanation(heat=to_peak(heat_of(network, graph, target)))


def to_peak(heat: Float[Tensor, " places"]) -> Float[Tensor, " places"]:
    """Scale values that are not negative to a maximum of 1, where any is above 0."""
    return heat / heat.max().clamp(min=torch.finfo(heat.dtype).tiny) if len(heat) else heat


def to_input_scale(
    heat: Float[Tensor, " n *reduced"], space: torch.Size
) -> Float[Tensor, " n *space"]:
    """Interpolate maps to the input's size and scale each to a maximum of 1."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(space)]
    heat = F.interpolate(heat.float()[:, None], size=space, mode=mode)[:, 0]
    peaks = heat.flatten(1).amax(1).view(-1, *[1] * len(space))
    return heat / peaks.clamp(min=torch.finfo(heat.dtype).tiny)
