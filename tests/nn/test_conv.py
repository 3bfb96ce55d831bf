"""Padding by TensorFlow's rule equals timm's, and stays torch's own layer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.nn.conv import convolution
from striate.nn.ranks import CONV_TYPES


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel_size=st.sampled_from([1, 3, 5, 7]),
    stride=st.integers(1, 3),
    depthwise=st.booleans(),
)
def test_same_padding_equals_timm(
    size: tuple[int, int], kernel_size: int, stride: int, depthwise: bool
) -> None:
    layers = pytest.importorskip("timm.layers")
    groups = 4 if depthwise else 1
    conv = convolution(2, 4, 4, kernel_size, stride=stride, groups=groups, padding="same")
    reference = layers.Conv2dSame(4, 4, kernel_size, stride=stride, groups=groups, bias=False)
    reference.load_state_dict(conv.state_dict())
    x = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(conv(x), reference(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_every_convolution_is_torchs(rank: int, padding: str) -> None:
    conv = convolution(rank, 2, 4, 3, stride=2, padding=padding)
    assert isinstance(conv, CONV_TYPES)
    assert conv(torch.zeros(1, 2, *[6] * rank)).shape == (1, 4, *[3] * rank)


def test_padding_can_be_asked_for() -> None:
    conv = convolution(2, 1, 1, 5, stride=2, padding="same")
    assert conv.padding_for((8, 9)) == ((1, 2), (2, 2))
