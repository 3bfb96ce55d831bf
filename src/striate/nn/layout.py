"""Channels-last memory layout, the fast one for 2-D and 3-D convolutions on CPU and GPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.nn.ranks import Conv, convolutions
from striate.ops.inputs import Inputs

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
_VECTOR = 16
"""Numbers in float32 that the widest vector register of a processor holds."""


def channels_last(tensor: Tensor) -> Tensor:
    """The same numbers with channels innermost; tensors of other than 4 and 5 axes stay as they are."""
    memory_format = _FORMATS.get(tensor.ndim)
    return tensor if memory_format is None else tensor.contiguous(memory_format=memory_format)


def placed(inputs: Inputs, device: torch.device, *, last: bool = True) -> Inputs:
    """The inputs on a device, those of a grid with channels innermost unless ``last`` is False."""
    if not isinstance(inputs, Tensor):
        return inputs.to(device)
    moved = inputs.to(device, non_blocking=True)
    return channels_last(moved) if last else moved.contiguous()


def channels_last_module(module: nn.Module) -> nn.Module:
    """Lay out the module's weights with channels innermost, in place, and return it."""
    for parameter in module.parameters():
        parameter.data = channels_last(parameter.data)
    return module


def contiguous_module(module: nn.Module) -> nn.Module:
    """Lay out the module's weights in torch's default order, in place, and return it."""
    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()
    return module


def trains_channels_last(module: nn.Module, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the gradients of all the module's convolutions are right with channels innermost.

    On a processor, torch 2.14.1 gets the gradient of the weight wrong for two kinds of 2-D
    convolution: dilated ones in bfloat16 (seen with AVX512-BF16: off by more than its own size, or
    not finite), and strided ones of a single tap that read fewer channels than a vector register
    holds (seen with AVX2 and AVX-512: off by half, without end, or a crash of the process;
    oneDNN's issue 6035). In torch's default order both are right.

    Args:
        module: What is trained.
        device: Where.
        dtype: Precision of the forward and backward pass.
    """
    return device.type != "cpu" or not any(
        _goes_wrong(layer, dtype) for layer in convolutions(module) if len(layer.kernel_size) == 2
    )


def _goes_wrong(layer: Conv, dtype: torch.dtype) -> bool:
    dilated = max(layer.dilation) > 1
    skips = max(layer.kernel_size) == 1 and max(layer.stride) > 1
    return (dilated and dtype == torch.bfloat16) or (
        skips and layer.in_channels // layer.groups < _VECTOR
    )
