"""The operator against torch's convolution in float64, over random shapes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from striate.geometry import plan_windows
from striate.ops import depthwise

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


def layer(dtype=torch.float32, space=(9, 8), kernel=(5, 5)):
    torch.manual_seed(0)
    x = torch.randn(2, 6, *space, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(6, 1, *kernel, dtype=dtype)
    return [t.requires_grad_() for t in (x, weight, torch.randn(6, dtype=dtype))]


def test_compiled_graph_equals_eager_and_holds_one_operator():
    targets = []

    def backend(graph, example):
        targets.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return graph

    inputs = layer()
    compiled = torch.compile(lambda *a: depthwise(*a, stride=2), backend=backend, fullgraph=True)
    got, expected = compiled(*inputs), depthwise(*inputs, stride=2)
    assert any("striate.depthwise" in target for target in targets)
    assert torch.equal(got, expected)
    gradients = [torch.autograd.grad(y.square().sum(), inputs) for y in (got, expected)]
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)


def test_export_is_a_plain_convolution():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(6, 1, 5, 5))

        def forward(self, x):
            return depthwise(x, self.weight, stride=2)

    net, x = Net(), torch.randn(2, 6, 9, 8)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: batch},))
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not any("striate" in name for name in names)
    # (5 taps, stride 2) pads 9 rows alike and 8 columns not.
    assert any("pad" in name for name in names)
    many = torch.randn(5, 6, 9, 8)
    torch.testing.assert_close(program.module()(many), net(many))


@pytest.mark.parametrize("compiled", [False, True])
def test_autocast_computes_in_its_type_and_gives_gradients_of_the_inputs_type(compiled):
    def run(*a):
        return depthwise(*a)

    inputs = layer()
    function = torch.compile(run, backend="eager", fullgraph=True) if compiled else run
    with torch.autocast("cpu", torch.bfloat16):
        y = function(*inputs)
    assert y.dtype == torch.bfloat16
    assert all(g.dtype == torch.float32 for g in torch.autograd.grad(y.float().sum(), inputs))


def test_meta_device_fake_tensors_and_functional_gradients():
    from torch._subclasses.fake_tensor import FakeTensorMode

    shape = (1, 4, 40)
    assert (
        depthwise(torch.empty(shape, device="meta"), torch.empty(4, 1, 31, device="meta")).shape
        == shape
    )
    with FakeTensorMode():
        assert depthwise(torch.empty(shape), torch.empty(4, 1, 31)).shape == shape
    x, weight = torch.randn(shape), torch.randn(4, 1, 31)
    gradient = torch.func.grad(lambda w: depthwise(x, w).sum())(weight)
    weight.requires_grad_()
    (expected,) = torch.autograd.grad(depthwise(x, weight).sum(), weight)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


def test_empty_batch():
    x, weight = torch.randn(0, 4, 40), torch.randn(4, 1, 31, requires_grad=True)
    y = depthwise(x, weight)
    (gradient,) = torch.autograd.grad(y.sum(), weight)
    assert y.shape == (0, 4, 40) and not gradient.any()


@pytest.mark.parametrize(
    ("shape", "weight", "options", "words"),
    [
        ((2, 6), (6, 1, 3), {}, "1 to 3 spatial axes"),
        ((2, 6, 8), (6, 2, 3), {}, "a depthwise weight is"),
        ((2, 6, 8), (6, 1, 9), {"padding": 0}, "too small"),
        ((2, 6, 8), (6, 1, 3), {"padding": "sane"}, "did you mean 'same'"),
        ((2, 6, 8, 8), (6, 1, 3, 3), {"implementation": "cpu-rearrange"}, "did you mean"),
        ((2, 6, 8, 8), (6, 1, 3, 3), {"implementation": "cpu-numba", "dtype": torch.float64},
         "type is float64, not float32 or bfloat16"),
    ],
)  # fmt: skip
def test_errors_name_the_reason(shape, weight, options, words):
    from striate.errors import ArgumentError

    dtype = options.pop("dtype", torch.float32)
    inputs = [torch.randn(s, dtype=dtype, requires_grad=True) for s in (shape, weight)]
    with pytest.raises(ArgumentError, match=words):
        depthwise(*inputs, **options).sum().backward()


def test_required_torch_equals_torch():
    x, weight, bias = layer()
    got = depthwise(x, weight, bias, implementation="torch")
    assert torch.equal(got, F.conv2d(x, weight, bias, padding=2, groups=6))


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize(
    ("side", "options"),
    [
        (16, {}),
        (32, {"dilation": 2}),
        (20, {"dilation": 4}),
        (1, {"stride": 2}),
        (2, {}),
    ],
)
def test_the_gradient_of_bfloat16_weights_with_channels_innermost(rank, side, options):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 16, *[side] * rank, generator=generator)
    weight = torch.randn(16, 1, *[3] * rank, generator=generator)
    expected = weight.clone().requires_grad_()
    depthwise(x, expected, **options).square().sum().backward()
    weight = weight.bfloat16().requires_grad_()
    outputs = depthwise(x.bfloat16().to(memory_format=LAST[rank]), weight, **options)
    outputs.float().square().sum().backward()
    # Three roundings to 8 bits.
    assert (weight.grad.float() - expected.grad).norm() < 0.02 * expected.grad.norm()
