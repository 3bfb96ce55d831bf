"""Grad-CAM: the feature maps, each weighted by how much it raises the class's logit.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017. For a network that ends in global average pooling and one linear layer
it equals the class activation map of Zhou et al. (CVPR 2016) up to a factor.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.explain.method import METHODS, Explainable


def gradcam(
    network: Explainable,
    inputs: Float[Tensor, "n c *space"],
    targets: Int[Tensor, " n"] | None,
) -> Float[Tensor, " n *reduced"]:
    """The weighted sum of the last feature maps, without its negative part.

    Only the head is differentiated: the maps do not depend on what comes before them.
    """
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
