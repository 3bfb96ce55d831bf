"""Where torch 2.14.1 computes wrong gradients of convolutions on processors, and how to avoid it.

Three gradients of weights are wrong; those of inputs, and the outputs, are right. Seen over random
convolutions beside float32 on a processor with AVX512-BF16, and limited to AVX2.

- A dilated 2-D convolution in bfloat16 with channels innermost: off by more than its own size, or
  not finite. Right in torch's default layout.
- A strided 2-D convolution of a single tap with channels innermost that reads fewer channels than a
  vector register holds: off by half, without end, or the process crashes (oneDNN's issue 6035).
  Right in torch's default layout.
- A convolution in bfloat16 whose kernel is larger than the map, as in the last blocks of a network
  for small volumes, or much larger, or of a longer stride, in 1-D and 2-D: not finite, or any
  number. Right in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from striate.nn.conv import has_own_kernels
from striate.nn.evaluation import evaluating
from striate.nn.ranks import Conv, convolutions
from striate.ops.inputs import Inputs

_VECTOR = 16
"""Numbers in float32 that the widest vector register of a processor holds."""


def trains_channels_last(module: nn.Module, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the gradients of all the module's convolutions are right with channels innermost.

    Args:
        module: What is trained.
        device: Where.
        dtype: Precision of the forward and backward pass.
    """
    return device.type != "cpu" or not any(
        _needs_default_layout(layer, dtype)
        for layer in convolutions(module)
        if len(layer.kernel_size) == 2
    )


def trains_in(module: nn.Module, inputs: Inputs, dtype: torch.dtype) -> bool:
    """Whether the gradients of all the module's convolutions are right in a precision.

    Args:
        module: What is trained. One item is passed through it, as in evaluation.
        inputs: A batch of what it takes, on its device.
        dtype: Precision of the forward and backward pass.
    """
    if dtype != torch.bfloat16 or not isinstance(inputs, Tensor) or inputs.device.type != "cpu":
        return True
    right = True

    def look(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        nonlocal right
        right &= not _is_too_large(cast("Conv", layer), given[0].shape[2:])

    # Depthwise ones have gradients of their own.
    layers = [layer for layer in convolutions(module) if not has_own_kernels(layer)]
    with (
        evaluating(module),
        _before_each(layers, look),
        torch.no_grad(),
        torch.autocast("cpu", dtype),
    ):
        module(inputs[:1])
    return right


def _needs_default_layout(layer: Conv, dtype: torch.dtype) -> bool:
    dilated = max(layer.dilation) > 1
    skips = max(layer.kernel_size) == 1 and max(layer.stride) > 1
    return (dilated and dtype == torch.bfloat16) or (
        skips and layer.in_channels // layer.groups < _VECTOR
    )


def _is_too_large(layer: Conv, space: Sequence[int]) -> bool:
    """Whether the kernel is larger than the map; in 1-D and 2-D gradients stand somewhat larger ones."""
    axes = zip(space, layer.kernel_size, layer.stride, strict=True)
    if len(space) == 3:
        return any(size < taps for size, taps, _ in axes)
    return any(taps > 2 * size + 1 or size < min(stride, taps) for size, taps, stride in axes)


@contextmanager
def _before_each(
    layers: list[Conv], look: Callable[[nn.Module, tuple[Tensor, ...]], None]
) -> Iterator[None]:
    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
