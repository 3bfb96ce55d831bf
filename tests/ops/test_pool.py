import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from striate import ops
from striate.errors import ArgumentError


@st.composite
def problems(draw):
    rank = draw(st.integers(1, 3))
    kernel = draw(st.integers(1, 4))
    options = {
        "stride": draw(st.integers(1, 4)),
        "padding": draw(st.integers(0, kernel // 2)),
        "ceil_mode": draw(st.booleans()),
    }
    space = [draw(st.integers(kernel, 9)) for _ in range(rank)]
    seed = draw(st.integers(0, 99))
    x = torch.randn(2, 3, *space, generator=torch.Generator().manual_seed(seed))
    return x, kernel, options


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(1, 2))
def test_max_pool_equals_torch(problem, dilation):
    x, kernel, options = problem
    assume((kernel - 1) * dilation + 1 <= min(x.shape[2:]) + 2 * options["padding"])
    theirs = getattr(F, f"max_pool{x.ndim - 2}d")
    expected = theirs(x, kernel, dilation=dilation, **options)
    assert torch.equal(ops.max_pool(x, kernel, dilation=dilation, **options), expected)


@settings(max_examples=60, deadline=None)
@given(problems(), st.booleans())
def test_avg_pool_equals_torch(problem, include):
    x, kernel, options = problem
    expected = getattr(F, f"avg_pool{x.ndim - 2}d")(x, kernel, count_include_pad=include, **options)
    ours = ops.avg_pool(x, kernel, count_include_pad=include, **options)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_bad_arguments_are_named():
    x = torch.zeros(1, 1, 5, 5)
    with pytest.raises(ArgumentError, match="nothing but padding; use at most 1"):
        ops.max_pool(x, 2, padding=2)
    with pytest.raises(ArgumentError, match="the least size is 6"):
        ops.avg_pool(x, 6)
