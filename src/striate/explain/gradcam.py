"""Grad-CAM: the feature maps, each weighted by how much it raises the class's logit.

Sources: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017; for graphs Pope et al., "Explainability Methods for Graph Convolutional
Neural Networks", CVPR 2019. For a network that ends in global average pooling and one linear layer
it equals the class activation map of Zhou et al. (CVPR 2016) up to a factor. Of a network of tokens
the maps are those before the last attention.
"""

from __future__ import annotations

from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.explain.gradient import gradients, target_logits
from striate.explain.method import EXPLANATIONS, GRADCAM, GraphExplainable, GridExplainable, Method
from striate.ops.graph_batch import GraphBatch


@runtime_checkable
class HasActivationMap(Protocol):
    """A network that pools inside its features and gives its class activation map itself."""

    def activation_map(self, x: Tensor, targets: Tensor, /) -> Tensor:
        """Return what each place of the inputs adds to the targets' logits, (n, *reduced)."""


@runtime_checkable
class HasTokens(Protocol):
    """A network whose last features may be tokens, of which one alone makes the logits."""

    def mixing_block(self) -> nn.Module | None:
        """Return the last block that mixes tokens; None of a network of maps."""

    def token_maps(self, tokens: Tensor, space: tuple[int, ...], /) -> Tensor:
        """Return what that block takes as maps, (n, c, *reduced)."""


class HasStem(Protocol):
    """A network of nodes; a `striate.models.GraphNetwork` is one."""

    stem: nn.Module
    """Maps each node by itself, before the convolutions."""


def maps_and_slopes(
    network: GridExplainable, inputs: Float[Tensor, "n c *space"], targets: Int[Tensor, " n"]
) -> tuple[Float[Tensor, "n c *reduced"], Float[Tensor, "n c *reduced"]]:
    """Return the last feature maps, and how the targets' logits change with them.

    Only the head is differentiated: the maps do not depend on what comes after them. Of a network
    of tokens the maps are what the last mixing block takes: after it the patches are read no more.

    Raises:
        ArgumentError: The network pools inside its features, so that there is no map.
    """
    if isinstance(network, HasActivationMap):
        raise ArgumentError(
            "this network has no last feature maps",
            why="it pools inside its features",
            fix="explain it by gradcam or occlusion",
        )
    if isinstance(network, HasTokens) and (block := network.mixing_block()) is not None:
        return _tokens(network, block, inputs, targets)
    maps = network.forward_features(inputs)
    if maps[0, 0].numel() == 1 < inputs[0, 0].numel():
        raise ArgumentError(
            "this method of explanation",
            why="the network's last maps have a single place",
            fix="choose occlusion",
        )
    slopes = gradients(lambda maps: target_logits(network.forward_head(maps), targets), maps)
    return maps.float(), slopes.float()


def _grid(
    network: GridExplainable, inputs: Float[Tensor, "n c *space"], targets: Int[Tensor, " n"]
) -> Float[Tensor, " n *reduced"]:
    """Sum the last feature maps by their weights, without negative part."""
    if isinstance(network, HasActivationMap):
        return network.activation_map(inputs, targets).float().relu()
    maps, slopes = maps_and_slopes(network, inputs, targets)
    return torch.einsum("nc,nc...->n...", slopes.flatten(2).mean(-1), maps).relu()


def _tokens(
    network: Any, block: nn.Module, inputs: Tensor, targets: Tensor
) -> tuple[Float[Tensor, "n c *reduced"], Float[Tensor, "n c *reduced"]]:
    """Return what a block of tokens takes as maps, and the slopes of the logits there."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        kept.append(given[0].detach().requires_grad_())
        return (kept[-1], *given[1:])

    handle = block.register_forward_pre_hook(keep)
    try:
        with torch.enable_grad():
            # A copy, since a tensor made in inference mode cannot be kept for a gradient.
            logits = network.forward_head(network.forward_features(inputs.clone().detach()))
            (slopes,) = torch.autograd.grad(target_logits(logits, targets).sum(), kept)
    finally:
        handle.remove()
    space = tuple(inputs.shape[2:])
    maps, slopes = (network.token_maps(x, space).float() for x in (kept[0].detach(), slopes))
    return maps, slopes


def _graph(network: GraphExplainable, graph: GraphBatch, target: int) -> Float[Tensor, " N"]:
    """Sum each node's last features by their weights, without negative part.

    Where one node is classified, its own last features alone make its logits. There the features
    are those before the first convolution, the last that each node has to itself, and their
    gradient is not averaged over the nodes, so that a node out of reach gets exactly 0.
    """
    features = network.forward_features(graph)
    if len(features) != len(graph.nodes):
        raise ArgumentError(
            "this method of explanation",
            why="the network's features are of whole graphs, or of one node with its surroundings",
            fix="choose occlusion, saliency or integrated-gradients",
        )
    if graph.seeds is None:
        slopes = gradients(lambda x: network.forward_head(x, graph)[0, target], features)
        return (slopes.mean(0) * features).sum(1).relu()
    kept: list[Tensor] = []
    hook = cast(HasStem, network).stem.register_forward_hook(
        lambda _module, _inputs, out: kept.append(out)
    )
    try:
        with torch.enable_grad():
            logits = network.forward_head(network.forward_features(graph), graph)
            (slopes,) = torch.autograd.grad(logits[0, target], kept)
    finally:
        hook.remove()
    return (slopes * kept[0].detach()).sum(1).relu()


EXPLANATIONS.add(GRADCAM, Method(grid=_grid, graph=_graph))
