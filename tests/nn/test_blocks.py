"""Shared parts against torchvision and their own definitions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.nn.blocks import SqueezeExcite, StochasticDepth, init_convolution
from striate.nn.conv import convolution
from striate.nn.heads import ClassifierHead, GlobalAveragePool


def test_squeeze_and_excitation_equals_torchvisions() -> None:
    ops = pytest.importorskip("torchvision.ops")
    gate = SqueezeExcite(2, 8, 2, nn.SiLU)
    reference = ops.SqueezeExcitation(8, 2, activation=nn.SiLU)
    names = {"fc1": gate.reduce, "fc2": gate.expand}
    for name, conv in names.items():
        getattr(reference, name).load_state_dict(conv.state_dict())
    x = torch.randn(2, 8, 5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gate(x), reference(x), rtol=1e-5, atol=1e-6)


def test_stochastic_depth_drops_whole_items_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = StochasticDepth(0.25)
    x = torch.ones(4000, 2, 3)
    y = drop(x).flatten(1)
    assert y.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert (y == y[:, :1]).all()
    # Four standard deviations of the mean of 4000 draws.
    assert abs(y.mean().item() - 1) < 4 * (1 / 3 / 4000) ** 0.5
    assert drop.eval()(x) is x


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_global_average_pool_is_the_mean(rank: int) -> None:
    x = torch.randn(2, 3, *range(4, 4 + rank), generator=torch.Generator().manual_seed(0))
    expected = x.mean(tuple(range(2, x.ndim)))
    torch.testing.assert_close(GlobalAveragePool()(x), expected)


@pytest.mark.parametrize(("groups", "fan_out"), [(1, 64 * 9), (64, 9)])
def test_convolutions_start_with_the_papers_variance(groups: int, fan_out: int) -> None:
    torch.manual_seed(0)
    conv = convolution(2, 64, 64, 3, groups=groups, bias=True)
    init_convolution(conv)
    assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
    assert conv.bias is not None and (conv.bias == 0).all()


def test_a_head_starts_uniform_in_its_range() -> None:
    torch.manual_seed(0)
    head = ClassifierHead(25, 300, dropout=0.5)
    assert head.linear.weight.abs().max().item() == pytest.approx(0.2, rel=0.01)
    assert (head.linear.bias == 0).all()
