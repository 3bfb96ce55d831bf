"""Integrated gradients: what each sample adds to the class's logit on the way from a blank input.

Source: Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017. By their
axiom of completeness the attributions sum to the logit of the input minus that of the baseline.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.explain.gradient import input_gradients, predicted
from striate.explain.method import METHODS, Explainable

NUM_STEPS = 64
"""Gradients on the way. With so many the attributions of the networks here sum to the logit's
difference within a few per cent."""


def attributions(
    network: Explainable,
    inputs: Float[Tensor, "n c *space"],
    targets: Int[Tensor, " n"] | None,
    *,
    num_steps: int = NUM_STEPS,
) -> Float[Tensor, "n c *space"]:
    """Attribution of each value of the input, with its sign.

    The baseline is zero: in normalized inputs the mean of the training items. The integral is
    taken by the midpoint rule.

    Args:
        network: in evaluation mode.
        inputs: normalized.
        targets: the class of each; the predicted one where None.
        num_steps: points on the straight line from the baseline to the input.
    """
    if targets is None:
        targets = predicted(network, inputs)
    total = torch.zeros_like(inputs)
    for step in range(num_steps):
        total += input_gradients(network, inputs * ((step + 0.5) / num_steps), targets)
    return total / num_steps * inputs


def integrated_gradients(
    network: Explainable,
    inputs: Float[Tensor, "n c *space"],
    targets: Int[Tensor, " n"] | None,
) -> Float[Tensor, " n *space"]:
    """The attributions summed over the channels, without their negative part."""
    return attributions(network, inputs, targets).sum(1).relu()


METHODS.add("integrated-gradients", integrated_gradients)
