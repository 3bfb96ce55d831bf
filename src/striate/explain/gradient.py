"""How a logit changes with the input."""

from __future__ import annotations

from math import ceil

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ArgumentError
from striate.explain.method import Explainable


def logits_of(network: Explainable, inputs: Float[Tensor, "n c *space"]) -> Float[Tensor, "n k"]:
    """Logits of normalized inputs."""
    return network.forward_head(network.forward_features(inputs))


def predicted(network: Explainable, inputs: Float[Tensor, "n c *space"]) -> Int[Tensor, " n"]:
    """The class of the highest logit of each input."""
    return logits_of(network, inputs).argmax(1)


def target_logits(
    network: Explainable, inputs: Float[Tensor, "n c *space"], targets: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """The logit of each input's target."""
    logits = logits_of(network, inputs)
    return logits.gather(1, targets.to(logits.device)[:, None])[:, 0]


def input_gradients(
    network: Explainable, inputs: Float[Tensor, "n c *space"], targets: Int[Tensor, " n"]
) -> Float[Tensor, "n c *space"]:
    """Gradient of each target's logit with respect to its own input; none is left on parameters.

    Raises:
        ArgumentError: the logits do not follow the input smoothly.
    """
    with torch.enable_grad():
        # A copy, since a tensor made in inference mode never gets a gradient.
        leaf = inputs.clone().detach().requires_grad_()
        # Items do not mix in evaluation mode, so one sum gives the gradient of each.
        score = target_logits(network, leaf, targets).sum()
        found = torch.autograd.grad(score, leaf, allow_unused=True) if score.requires_grad else ()
    if not found or found[0] is None:
        raise ArgumentError(
            "this network has no gradient with respect to its input",
            fix="explain it by gradcam or occlusion",
        )
    return found[0]


def without_spikes(heat: Float[Tensor, " n *space"]) -> Float[Tensor, " n *space"]:
    """Maps without negative values whose hottest 1 % of places are as hot as the next.

    Attributions of single samples have a few values far above all others, which would leave
    everything else dark on a scale up to the highest.
    """
    flat = heat.flatten(1)
    limit = flat.kthvalue(ceil(0.99 * flat.shape[1]), dim=1, keepdim=True).values
    return torch.where(limit > 0, torch.minimum(flat, limit), flat).view_as(heat)
