import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ops import oracle
from torch.nn import functional as F

from striate import ops
from striate.errors import ArgumentError


@st.composite
def problems(draw):
    """Arguments of a convolution that fit each other, on whole numbers: results are exact."""
    rank = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))

    def numbers(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    taps, dilation, stride = numbers(1, 4), numbers(1, 2), numbers(1, 3)
    padding = tuple(
        (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
        if draw(st.booleans())
        else draw(st.sampled_from(["same", "same_lower", "causal"]))
        for _ in range(rank)
    )
    space = tuple(
        (k - 1) * d + 1 + draw(st.integers(0, 4)) for k, d in zip(taps, dilation, strict=True)
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    x = torch.randint(-3, 4, (2, 2 * groups, *space), generator=generator).double()
    weight = torch.randint(-3, 4, (groups * 2, 2, *taps), generator=generator).double()
    bias = torch.randint(-3, 4, (groups * 2,), generator=generator).double()
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, weight, bias, options


@settings(max_examples=60, deadline=None)
@given(problems())
def test_convolve_equals_the_oracle_exactly(problem):
    x, weight, bias, options = problem
    assert torch.equal(
        ops.convolve(x, weight, bias, **options), oracle.convolve(x, weight, bias, **options)
    )


@settings(max_examples=40, deadline=None)
@given(problems(), st.data())
def test_transposed_equals_the_oracle_and_is_the_adjoint(problem, data):
    x, weight, _, options = problem
    rank = x.ndim - 2
    pads = tuple((data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1))) for _ in range(rank))
    options = options | {"padding": pads}
    y = ops.convolve(x, weight, **options)
    probe = torch.randint(-3, 4, y.shape, generator=torch.Generator().manual_seed(0)).double()
    extra = [
        n + low + high - ((k - 1) * d + 1) - (m - 1) * s
        for n, (low, high), k, d, s, m in zip(
            x.shape[2:], pads, weight.shape[2:], options["dilation"], options["stride"],
            y.shape[2:], strict=True,
        )
    ]  # fmt: skip
    back = ops.convolve_transposed(probe, weight, output_padding=extra, **options)
    assert torch.equal(
        back, oracle.convolve_transposed(probe, weight, output_padding=extra, **options)
    )
    assert (y * probe).sum() == (x * back).sum()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_symmetric_padding_equals_torch(rank):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 4, *[9] * rank), torch.randn(6, 2, *[3] * rank)
    theirs = getattr(F, f"conv{rank}d")(x, weight, stride=2, padding=1, groups=2)
    assert torch.equal(ops.convolve(x, weight, stride=2, padding=1, groups=2), theirs)


def test_gradients_flow_through_asymmetric_padding():
    x = torch.randn(1, 1, 5, dtype=torch.double, requires_grad=True)
    weight = torch.randn(1, 1, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: ops.convolve(a, b, padding="causal"), (x, weight))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride=0: it must be at least 1"),
        ({"dilation": (1, 0)}, "dilation=0"),
        ({"groups": 3}, "groups=3: it does not divide in_channels=4"),
        ({"groups": 2}, "its filters have 4 channels"),
        ({"padding": -1}, "cannot be negative"),
        ({"padding": (1, 1, 1)}, "3 values for 2 spatial axes"),
        ({"padding": ((1, 2, 3), 0)}, "not a pair"),
        ({"padding": "smae"}, "did you mean 'same'"),
        ({"dilation": 5}, "too small: .* spans 11 .* the least size is 11"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ArgumentError, match=message):
        ops.convolve(torch.zeros(1, 4, 6, 6), torch.zeros(4, 4, 3, 3), **options)


def test_bad_arguments_of_the_transposed_are_named():
    x, weight = torch.zeros(1, 4, 3), torch.zeros(4, 2, 3)
    with pytest.raises(ArgumentError, match="output_padding=2"):
        ops.convolve_transposed(x, weight, stride=2, output_padding=2)
    with pytest.raises(ArgumentError, match="takes all of them"):
        ops.convolve_transposed(x, weight, padding=3)
    with pytest.raises(ArgumentError, match="it takes 4 channels and the input has 3"):
        ops.convolve_transposed(x[:, :3], weight)
    with pytest.raises(ArgumentError, match="both have two axes"):
        ops.convolve(x, torch.zeros(4, 4, 3, 3))
