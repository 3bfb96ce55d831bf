"""Channels-last memory layout, the fast one for 2-D and 3-D convolutions on CPU and GPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.ops.inputs import Inputs

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


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
