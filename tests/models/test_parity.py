"""Outputs equal torchvision's and timm's on the same random weights, norms' statistics included."""

from __future__ import annotations

from collections.abc import Callable

import pytest

TF = {"padding": "same", "norm_eps": 1e-3}

RESNETS = [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)]
SCALED = [f"efficientnet_b{size}" for size in range(8)]
LITE = [f"efficientnet_lite{size}" for size in range(5)]
FAST = (
    "resnet18",
    "resnet26",
    "resnet50",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_lite0",
)


def cases(names: list[str]) -> list[object]:
    return [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in names]


@pytest.mark.parametrize("name", cases(RESNETS + SCALED))
def test_equals_torchvision(name: str, assert_equal: Callable[..., None]) -> None:
    torchvision = pytest.importorskip("torchvision")
    assert_equal(torchvision.models.get_model(name, weights=None), name)


@pytest.mark.parametrize("name", cases([*RESNETS, "resnet26", *SCALED]))
def test_equals_timm(name: str, assert_equal: Callable[..., None]) -> None:
    timm = pytest.importorskip("timm")
    assert_equal(timm.create_model(name), name)


@pytest.mark.parametrize("name", cases(LITE))
def test_lite_with_symmetric_padding_equals_timm(
    name: str, assert_equal: Callable[..., None]
) -> None:
    timm = pytest.importorskip("timm")
    assert_equal(timm.create_model(name), name)


@pytest.mark.parametrize("name", cases(SCALED + LITE))
def test_padding_of_tensorflow_equals_timm(name: str, assert_equal: Callable[..., None]) -> None:
    timm = pytest.importorskip("timm")
    assert_equal(timm.create_model(f"tf_{name}"), name, **TF)
