"""A convolution and the activation after it in one pass, for inference on a CPU.

torch computes an activation in a pass of its own, which reads and writes the whole map once more.
oneDNN, which computes torch's convolutions on a CPU, can apply it to each sum before that is
written. The results are the same but for rounding: of an activation that only clips, the same bits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.nn.conv import has_own_kernels, padding_of
from striate.nn.fuse import followers, replace_module
from striate.nn.ranks import Conv
from striate.ops.depthwise_convolution import torch_is_fastest

Told: TypeAlias = tuple[str, list[float], str]
"""What oneDNN is told of an activation: its name, its numbers, and which variant."""

ACTIVATIONS: Final[dict[type[nn.Module], Callable[[Any], Told]]] = {
    nn.ReLU: lambda act: ("relu", [], ""),
    nn.ReLU6: lambda act: ("hardtanh", [0.0, 6.0], ""),
    nn.SiLU: lambda act: ("swish", [], ""),
    nn.Hardswish: lambda act: ("hardswish", [], ""),
    nn.GELU: lambda act: ("gelu", [], act.approximate),
}

_TOLERANCE: Final = {torch.float32: 1e-4, torch.bfloat16: 0.03}
"""Difference relative to the largest output above which the fused copy is another network."""


class FusedConvolution(nn.Module):
    """A convolution with its activation; where a gradient is wanted, one after the other.

    Args:
        conv: The convolution, of rank 2 or 3, which pads with zeros.
        act: The activation, one of `ACTIVATIONS`.
    """

    def __init__(self, conv: Conv, act: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.act = act
        self._told = ACTIVATIONS[type(act)](act)

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n k *reduced"]:
        """The activated output."""
        conv = self.conv
        # A file for other engines must not name operators that only torch has.
        traced = torch.compiler.is_compiling()
        if torch.is_grad_enabled() or traced or x.device.type != "cpu":
            activated: Tensor = self.act(conv(x))
            return activated
        padding = padding_of(conv, tuple(x.shape[2:]))
        if any(low != high for low, high in padding):
            x = F.pad(x, [end for axis in reversed(padding) for end in axis])
            padding = ((0, 0),) * len(padding)
        widths = [low for low, _ in padding]
        name, numbers, variant = self._told
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, conv.weight, conv.bias, widths, conv.stride, conv.dilation, conv.groups,
            name, numbers, variant,
        )  # fmt: skip
        return y


def fuse_activations(network: nn.Module, example: Float[Tensor, "n c *space"]) -> nn.Module:
    """A copy of a network whose convolutions take in the activations that follow them.

    What follows which convolution is seen by running the network. The network itself is returned
    where there is nothing to take in, and where the copy does not answer alike on the example.

    Args:
        network: In evaluation mode; it stays as it is.
        example: An input that reaches every layer, on the network's device and in its type.
    """
    tolerance = _TOLERANCE.get(example.dtype)
    available = hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    available &= torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # of torch
    if example.device.type != "cpu" or tolerance is None or not available:
        return network
    fused = copy.deepcopy(network)
    found = [
        (conv, act)
        for conv, act, x in followers(fused, example, lambda one: type(one) in ACTIVATIONS)
        if x.ndim in (4, 5) and conv.padding_mode == "zeros" and _is_torchs(conv, x)
    ]
    for conv, act in found:
        replace_module(fused, act, nn.Identity())
        replace_module(fused, conv, FusedConvolution(conv, act))
    # oneDNN may not do it on this processor; a network may look into its convolutions.
    try:
        with torch.inference_mode():
            expected, got = network(example), fused(example)
    except (RuntimeError, AttributeError):
        return network
    agree = (got - expected).abs().max() <= tolerance * expected.abs().max()
    return fused if found and bool(agree) else network


def _is_torchs(conv: Conv, x: Tensor) -> bool:
    """Whether torch computes a convolution, and none of our kernels, which are faster where they do."""
    if not has_own_kernels(conv):
        return True
    padding = padding_of(conv, tuple(x.shape[2:]))
    return torch_is_fastest(x, conv.weight, conv.stride, padding, conv.dilation)
