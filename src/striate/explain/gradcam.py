"""Grad-CAM: the feature maps, each weighted by how much it raises the class's logit.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017. For a network that ends in global average pooling and one linear layer
it equals the class activation map of Zhou et al. (CVPR 2016) up to a factor.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.explain.method import METHODS, Explainable, Mapped


@runtime_checkable
class KnowsItsMap(Protocol):
    """A network without maps to weigh that can tell what each place adds to a logit."""

    def activation_map(self, x: Tensor, targets: Tensor, /) -> Tensor:
        """(n, *space) contributions that sum to the logit, but for the bias."""


def gradcam(
    network: Explainable,
    inputs: Float[Tensor, "n c *space"],
    targets: Int[Tensor, " n"] | None,
) -> Float[Tensor, " n *reduced"]:
    """The weighted sum of the last feature maps, without its negative part.

    Only the head is differentiated: the maps do not depend on what comes before them. A network
    that pools inside its features gives its class activation map itself.
    """
    if isinstance(network, Mapped):
        if targets is None:
            targets = network.forward_head(network.forward_features(inputs)).argmax(1)
        return network.activation_map(inputs, targets).float().relu()
    if isinstance(network, KnowsItsMap):
        if targets is None:
            targets = network.forward_head(network.forward_features(inputs)).argmax(1)
        return network.activation_map(inputs, targets).relu()
    maps = network.forward_features(inputs)
    with torch.enable_grad():
        maps = maps.detach().requires_grad_()
        logits = network.forward_head(maps)
        chosen = logits.argmax(1) if targets is None else targets.to(logits.device)
        # Items do not mix in evaluation mode, so one sum gives the gradient of each.
        score = logits.gather(1, chosen[:, None]).sum()
        (gradients,) = torch.autograd.grad(score, maps)
    weights = gradients.flatten(2).mean(-1)
    return torch.einsum("nc,nc...->n...", weights.float(), maps.detach().float()).relu()


METHODS.add("gradcam", gradcam)
