"""Outputs equal torchvision's and timm's on the same random weights, norms' statistics included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from striate.models import create_model

Check: TypeAlias = Callable[..., None]

TOLERANCE = 1e-4
"""Of the largest logit: the order of additions differs."""

TF = {"padding": "same", "norm_eps": 1e-3}

RESNETS = [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)]
SCALED = [f"efficientnet_b{size}" for size in range(8)]
LITE = [f"efficientnet_lite{size}" for size in range(5)]
FAST = ("resnet18", "resnet50", "efficientnet_b0", "efficientnet_b1", "efficientnet_lite0")


def cases(names: list[str]) -> list[object]:
    return [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in names]


@pytest.fixture
def assert_equal(tmp_path: Path, randomize: Callable[[nn.Module], nn.Module]) -> Check:
    """Checks that a network with the reference's weights gives the reference's logits."""

    def check(reference: nn.Module, name: str, **options: object) -> None:
        path = tmp_path / "weights.safetensors"
        save_file(randomize(reference).state_dict(), path)
        network = create_model(name, weights=path, **options).eval()
        images = torch.randn(2, 3, 66, 75, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            expected, got = reference(images), network(images)
        # The items must differ, or a network that ignores its input would pass.
        assert (expected[0] - expected[1]).abs().max() > 0.1 * expected.abs().max()
        assert (got - expected).abs().max() <= TOLERANCE * expected.abs().max()

    return check


@pytest.mark.parametrize("name", cases(RESNETS + SCALED))
def test_equals_torchvision(name: str, assert_equal: Check) -> None:
    torchvision = pytest.importorskip("torchvision")
    assert_equal(torchvision.models.get_model(name, weights=None), name)


@pytest.mark.parametrize("name", cases(RESNETS + SCALED))
def test_equals_timm(name: str, assert_equal: Check) -> None:
    timm = pytest.importorskip("timm")
    assert_equal(timm.create_model(name), name)


@pytest.mark.parametrize("name", cases(LITE))
def test_lite_with_symmetric_padding_equals_timm(name: str, assert_equal: Check) -> None:
    timm = pytest.importorskip("timm")
    assert_equal(timm.create_model(name), name)


@pytest.mark.parametrize("name", cases(SCALED + LITE))
def test_padding_of_tensorflow_equals_timm(name: str, assert_equal: Check) -> None:
    timm = pytest.importorskip("timm")
    assert_equal(timm.create_model(f"tf_{name}"), name, **TF)
