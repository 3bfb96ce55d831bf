"""Gradient times input: what each sample adds to the class's logit, to first order.

Source: Shrikumar, Greenside, Shcherbina, Kundaje, "Not Just a Black Box: Learning Important
Features Through Propagating Activation Differences", 2016; the gradient alone is the saliency of
Simonyan, Vedaldi, Zisserman, 2014. For a piecewise linear network without biases the products sum
to the logit.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from striate.explain.gradient import input_gradients, predicted, without_spikes
from striate.explain.method import METHODS, Explainable


def gradient_times_input(
    network: Explainable,
    inputs: Float[Tensor, "n c *space"],
    targets: Int[Tensor, " n"] | None,
) -> Float[Tensor, "n c *space"]:
    """Contribution of each value of the input, with its sign; zero is the training mean."""
    if targets is None:
        targets = predicted(network, inputs)
    return input_gradients(network, inputs, targets) * inputs


def saliency(
    network: Explainable,
    inputs: Float[Tensor, "n c *space"],
    targets: Int[Tensor, " n"] | None,
) -> Float[Tensor, " n *space"]:
    """The contributions summed over the channels, without negative part and spikes."""
    return without_spikes(gradient_times_input(network, inputs, targets).sum(1).relu())


METHODS.add("saliency", saliency)
