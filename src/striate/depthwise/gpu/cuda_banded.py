"""The 2-D and 3-D depthwise convolution on NVIDIA GPUs, as products with banded matrices (CUDA C++).

bfloat16 and float16, channels last, stride 1; sums in float32. The gradient of the weight adds partial
sums in a fixed order. An Inf or NaN reaches no output that does not read it: what the zeros of a band
spread is computed anew.

Not verified on a GPU yet: the code compiles for one, and is tested on an emulator of the device.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.depthwise.gpu import cuda_device, cuda_plan
from striate.depthwise.gpu.cuda_plan import CHANNEL_MULTIPLE, Box, Layout, Triple
from striate.depthwise.problem import Bias, Input, Operator, Output, Problem, Weight


def forward(x: Input, weight: Weight, bias: Bias | None, problem: Problem) -> Output:
    """The convolution."""
    return _convolve("forward", x, weight, bias, problem)


def input_gradient(grad: Output, weight: Weight, problem: Problem) -> Input:
    """The convolution of the output's gradient with the taps in reverse order."""
    return _convolve("input_gradient", grad, weight, None, problem)


def weight_gradient(grad: Output, x: Input, problem: Problem) -> Weight:
    """The diagonal sums of the input times the output's gradient."""
    layout = cuda_plan.layout_of(problem, "weight_gradient")
    device = device_of(x)
    launch = cuda_plan.plan_weight_gradient(layout, device.hardware)
    x, grad = _filled(x, layout, problem), _filled(grad, layout, problem)
    shares = torch.empty(launch.shares, device=x.device)
    total = torch.empty((layout.channels, 1, *problem.kernel_size), device=x.device)
    counters = torch.zeros(launch.counters, dtype=torch.int32, device=x.device)
    mapped = (x, _sizes(layout, layout.source)), (grad, _sizes(layout, layout.target))
    device.launch(launch, problem.dtype, mapped, [x, grad, shares, total, counters])
    return total[: problem.channels].to(problem.dtype)


def device_of(tensor: Tensor) -> cuda_device.Gpu:
    """The GPU that holds a tensor."""
    return cuda_device.of(tensor.device.index or 0)


def _convolve(
    operator: Operator, x: Tensor, weight: Tensor, bias: Tensor | None, problem: Problem
) -> Tensor:
    layout = cuda_plan.layout_of(problem, operator)
    device = device_of(x)
    launch = cuda_plan.plan_convolution(layout, device.hardware)
    extra = layout.channels - problem.channels
    x = _filled(x, layout, problem)
    weight = _aligned(F.pad(weight.flatten(1), (0, 0, 0, extra)).contiguous())
    bias = None if bias is None else F.pad(bias, (0, extra))
    space = problem.x_shape[2:] if operator == "input_gradient" else problem.y_shape[2:]
    y = torch.empty(
        (problem.batch, layout.channels, *space),
        dtype=problem.dtype,
        device=x.device,
        memory_format=problem.memory_format,
    )
    mapped = (x, _sizes(layout, layout.source)), (y, _sizes(layout, layout.target))
    device.launch(launch, problem.dtype, mapped, [x, weight, bias, y])
    return y[:, : problem.channels] if extra else y


def _filled(tensor: Tensor, layout: Layout, problem: Problem) -> Tensor:
    """The tensor with as many channels as the layout has, channels last, where copies can begin."""
    extra = layout.channels - problem.channels
    if extra:
        tensor = F.pad(tensor, (0, 0) * problem.rank + (0, extra))
    return _aligned(tensor.contiguous(memory_format=problem.memory_format))


def _aligned(tensor: Tensor) -> Tensor:
    return tensor if tensor.data_ptr() % (2 * CHANNEL_MULTIPLE) == 0 else tensor.clone()


def _sizes(layout: Layout, space: Triple) -> Box:
    planes, rows, columns = space
    return layout.channels, columns, rows, planes, layout.volumes
