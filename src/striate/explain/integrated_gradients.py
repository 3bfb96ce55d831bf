"""Integrated gradients: what each sample adds to the class's logit on the way from a blank input.

Source: Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", ICML 2017. By their
axiom of completeness the attributions sum to the logit of the input minus that of the baseline.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.explain.gradient import input_gradients, predicted, without_spikes
from striate.explain.method import METHODS, Explainable

NUM_STEPS = 64
"""Gradients on the way."""


def attributions(
    network: Explainable,
    inputs: Float[Tensor, "n c *space"],
    targets: Int[Tensor, " n"] | None,
    *,
    num_steps: int = NUM_STEPS,
) -> Float[Tensor, "n c *space"]:
    """Attribution of each value of the input, with its sign.

    The baseline is zero: in normalized inputs the mean of the training items. The integral is
    taken by Gauss' and Legendre's rule, whose points lie densest at both ends: near the baseline
    gradients are steepest, and with as many even steps the sum is off by up to 35 % where it is
    off by up to 7 % so (EfficientNet-Lite0 on three photographs).

    Args:
        network: in evaluation mode.
        inputs: normalized.
        targets: the class of each; the predicted one where None.
        num_steps: points on the straight line from the baseline to the input.
    """
    if targets is None:
        targets = predicted(network, inputs)
    points, weights = np.polynomial.legendre.leggauss(num_steps)  # on -1 to 1
    total = torch.zeros_like(inputs)
    for point, weight in zip(points.tolist(), weights.tolist(), strict=True):
        total += weight / 2 * input_gradients(network, inputs * ((point + 1) / 2), targets)
    return total * inputs


def integrated_gradients(
    network: Explainable,
    inputs: Float[Tensor, "n c *space"],
    targets: Int[Tensor, " n"] | None,
) -> Float[Tensor, " n *space"]:
    """The attributions summed over the channels, without negative part and spikes."""
    return without_spikes(attributions(network, inputs, targets).sum(1).relu())


METHODS.add("integrated-gradients", integrated_gradients)
