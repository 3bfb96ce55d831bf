from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from striate import geometry
from striate.errors import ArgumentError
from striate.geometry import Field, Window, plan_windows
from striate.nn.ranks import layers

ranks = st.integers(1, 3)


@settings(max_examples=150, deadline=None)
@given(ranks, st.data())
def test_sizes_equal_torchs(rank, data):
    def each(low, high):
        return tuple(data.draw(st.integers(low, high)) for _ in range(rank))

    space, kernel, stride = each(1, 12), each(1, 4), each(1, 3)
    dilation = each(1, 3)
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    ceil_mode = data.draw(st.booleans())
    windows = plan_windows(space, kernel, stride=stride, padding=padding, dilation=dilation)
    assume(all(n >= w.min_input_size() for n, w in zip(space, windows, strict=True)))
    x = torch.zeros(1, 1, *space, device="meta")
    arguments = (kernel, stride, padding)
    named = layers(rank)
    conv = named.conv(1, 1, *arguments, dilation, device="meta")
    pool = named.max_pool(*arguments, dilation, ceil_mode=ceil_mode)
    up = named.conv_transpose(1, 1, *arguments, dilation=dilation, device="meta")
    pairs = list(zip(windows, space, strict=True))
    assert conv(x).shape[2:] == tuple(w.output_size(n) for w, n in pairs)
    assert pool(x).shape[2:] == tuple(w.output_size(n, ceil_mode) for w, n in pairs)
    sizes = [(n - 1) * w.stride + w.extent - w.low - w.high for w, n in pairs]
    assume(min(sizes) > 0)
    assert up(x).shape[2:] == tuple(w.transposed_output_size(n) for w, n in pairs)


@given(st.integers(1, 50), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_same_gives_size_over_stride_with_the_least_padding(size, kernel, stride, dilation, lower):
    low, high = geometry.same_padding(size, kernel, stride, dilation, lower=lower)
    out = -(-size // stride)
    window = Window(kernel_size=kernel, stride=stride, dilation=dilation, low=low, high=high)
    assert window.output_size(size) == out
    assert abs(low - high) <= 1
    assert (low >= high) if lower else (high >= low)
    if low + high:
        less = low + high - 1
        assert (size + less - window.extent) // stride + 1 < out


def test_same_equals_torchs_for_stride_one():
    for kernel in range(1, 8, 2):
        conv = nn.Conv1d(1, 1, kernel, padding="same", bias=False)
        nn.init.constant_(conv.weight, 1.0)
        edge = torch.zeros(1, 1, 20)
        edge[..., 0] = 1
        low, _ = geometry.same_padding(20, kernel)
        # An impulse at 0 is seen by the outputs from low - (kernel - 1) to low.
        assert int(conv(edge).sum()) == low + 1


@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 3))
def test_padding_that_depends_on_the_window_alone_keeps_the_size(size, kernel, dilation):
    before = geometry.causal_padding(kernel, dilation)
    causal = Window(kernel_size=kernel, dilation=dilation, low=before[0], high=before[1])
    assert causal.output_size(size) == size
    assert Field().then(causal).positions(size - 1, size)[-1] == size - 1
    assert plan_windows((size,), kernel, padding="causal", dilation=dilation) == (causal,)
    if kernel % 2:
        width = geometry.symmetric_padding(kernel, dilation)
        assert (width, width) == geometry.same_padding(size, kernel, dilation=dilation)


@given(st.lists(st.tuples(*[st.integers(1, 4)] * 3, *[st.integers(0, 2)] * 2), max_size=5))
def test_the_min_input_size_is_the_least(rows):
    windows = [Window(kernel_size=k, stride=s, dilation=d, low=a, high=b) for k, s, d, a, b in rows]

    def survives(size):
        for window in windows:
            if size + window.low + window.high < window.extent:
                return False
            size = window.output_size(size)
        return True

    least = 1
    for window in reversed(windows):
        least = window.min_input_size(least)
    assert survives(least)
    assert not any(survives(size) for size in range(1, least))


@given(
    st.lists(st.tuples(*[st.integers(1, 4)] * 3, st.integers(0, 2)), min_size=1, max_size=4),
)
def test_a_field_is_what_the_windows_reach(rows):
    """Against the definition: follow every tap of one output back to the input."""
    windows = [Window(kernel_size=k, stride=s, dilation=d, low=p, high=p) for k, s, d, p in rows]
    field = Field()
    for window in windows:
        field = field.then(window)
    for index in (0, 3):
        seen = {index}
        for w in reversed(windows):
            taps = range(0, w.extent, w.dilation)
            seen = {i * w.stride - w.low + tap for i in seen for tap in taps}
        first = field.start + index * field.jump
        assert (min(seen), max(seen)) == (first, first + field.size - 1)


@given(*[st.integers(1, 4)] * 4, st.integers(0, 2))
def test_a_transposed_field_holds_every_input(stride, kernel, dilation, after, low):
    """After upsampling and a plain window the field holds all that is reached, and no more."""
    up = Window(kernel_size=kernel, stride=stride, dilation=dilation, low=low)
    field = Field().then_transposed(up).then(Window(kernel_size=after))
    for out in range(40, 40 + stride):
        reached = [
            (o + low - tap) // stride
            for o in range(out, out + after)
            for tap in range(0, up.extent, dilation)
            if (o + low - tap) % stride == 0
        ]
        inside = field.positions(out, 1000)
        assert set(reached) <= set(inside)
        assert len(inside) <= field.size


def test_union_takes_the_outermost_and_refuses_unequal_jumps():
    near, far = Field(3, 2, -1), Field(1, 2, 4)
    assert near.union(far) == Field(6, 2, -1) == far.union(near)
    assert near.union(Field(3, 1, -1)) is None


def test_border_counts_the_outputs_that_see_padding():
    field = Field().then(Window(kernel_size=5, stride=2, low=2, high=2))
    outputs = Window(kernel_size=5, stride=2, low=2, high=2).output_size(10)
    seen = [field.start + i * field.jump for i in range(outputs)]
    low = sum(first < 0 for first in seen)
    high = sum(first + field.size > 10 for first in seen)
    assert field.border(10, outputs) == (low, high) == (1, 1)
    half = Field(Fraction(3, 2), Fraction(1, 2), Fraction(-1, 2))
    assert half.border(4, 8) == (0, 0)
    assert half.positions(0, 4) == range(1)


def test_costs_equal_torchs_parameters():
    conv = nn.Conv2d(6, 9, (3, 5), groups=3)
    cost = geometry.convolution_cost(6, 9, (3, 5), (10, 20), groups=3)
    assert cost.parameters == sum(p.numel() for p in conv.parameters())
    assert cost.multiply_adds == 9 * 10 * 20 * 2 * 3 * 5
    dense = geometry.dense_cost(7, 4)
    assert dense.parameters == sum(p.numel() for p in nn.Linear(7, 4).parameters())
    assert dense.multiply_adds == 28
    assert geometry.dense_cost(224 * 224 * 3, 1000, bias=False).parameters == 150_528_000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Window(kernel_size=0), "kernel_size=0: it must be at least 1"),
        (lambda: geometry.output_size(4, 3, stride=0), "stride=0"),
        (lambda: geometry.output_size(4, 3, dilation=0), "dilation=0"),
        (lambda: geometry.output_size(4, 3, padding=-1), "cannot be negative"),
        (lambda: geometry.output_size(4, 7, padding=(1, 0)), "the least size is 6"),
        (lambda: geometry.transposed_output_size(1, 2, padding=1), "takes all of them"),
        (lambda: geometry.symmetric_padding(4), "symmetric padding needs an odd one"),
        (lambda: geometry.check_groups(4, 6, 4), "does not divide out_channels=6"),
        (lambda: plan_windows((4, 4), (3, 3, 3)), "3 values for 2 spatial axes"),
        (lambda: plan_windows((4, 4), 3, padding="sane"), "did you mean 'same'"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.mark.parametrize("wrong", [1.5, True, "2"])
def test_what_is_no_whole_number_is_refused(wrong):
    for name in ("kernel_size", "stride", "dilation"):
        with pytest.raises(ArgumentError, match=f"{name}={wrong!r}: it must be a whole number"):
            Window(**{"kernel_size": 3, name: wrong})
