"""The operator against torch's convolution in float64, over random shapes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from striate.geometry import plan_windows
from striate.ops.depthwise import depthwise

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-3, torch.float16: 5e-3}


@st.composite
def calls(draw, rank):
    """Sizes, options and layout of one call."""
    axis = st.integers(1, 9 if rank == 3 else 14)
    return {
        "batch": draw(st.integers(1, 3)),
        "channels": draw(st.sampled_from([1, 2, 3, 7, 16, 19, 33])),
        "space": draw(st.tuples(*[axis] * rank)),
        "kernel": draw(st.tuples(*[st.integers(1, {1: 31, 2: 9, 3: 5}[rank])] * rank)),
        "stride": draw(st.sampled_from([1, 1, 2, 3])),
        "dilation": draw(st.sampled_from([1, 1, 2])),
        "padding": draw(st.sampled_from(["same", "same_lower", "causal", 3, ((0, 2),) * rank])),
        "dtype": draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float16])),
        "last": draw(st.booleans()) and rank > 1,
        "seed": draw(st.integers(0, 99)),
    }


def truth(x, weight, bias, call):
    """torch's convolution in float64, with the padding put around the input first."""
    options = {name: call[name] for name in ("stride", "padding", "dilation")}
    windows = plan_windows(call["space"], call["kernel"], **options)
    pads = [end for window in reversed(windows) for end in (window.low, window.high)]
    convolve = CONVOLVE[len(windows)]
    x = F.pad(x, pads)
    return convolve(x, weight, bias, call["stride"], 0, call["dilation"], call["channels"])


def fits(call):
    """Whether at least one window fits."""
    options = {name: call[name] for name in ("stride", "padding", "dilation")}
    windows = plan_windows(call["space"], call["kernel"], **options)
    return all(w.extent <= s + w.low + w.high for w, s in zip(windows, call["space"], strict=True))


def check(call, implementation=None):
    torch.manual_seed(call["seed"])
    x = torch.randn(call["batch"], call["channels"], *call["space"]).to(call["dtype"])
    if call["last"]:
        x = x.contiguous(memory_format=LAST[x.ndim - 2])
    weight = torch.randn(call["channels"], 1, *call["kernel"]).to(call["dtype"])
    inputs = [x, weight, torch.randn(call["channels"]).to(call["dtype"])]
    inputs = [t.requires_grad_() for t in inputs]
    doubles = [t.detach().double().requires_grad_() for t in inputs]
    options = {name: call[name] for name in ("stride", "padding", "dilation")}
    y = depthwise(*inputs, **options, implementation=implementation)
    expected = truth(*doubles, call)
    grad = torch.randn_like(y)
    got = [y, *torch.autograd.grad(y, inputs, grad)]
    wanted = [expected, *torch.autograd.grad(expected, doubles, grad.double())]
    for name, a, b in zip(("y", "x", "weight", "bias"), got, wanted, strict=True):
        assert a.dtype == call["dtype"] and a.shape == b.shape
        error = (a.detach().double() - b.detach()).norm()
        assert error <= TOLERANCE[call["dtype"]] * b.detach().norm() + 1e-6, name


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_forward_and_gradients_equal_float64(rank):
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(calls(rank))
    def run(call):
        assume(fits(call))
        check(call)

    run()
