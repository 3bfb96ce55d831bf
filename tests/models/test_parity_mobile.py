"""MobileNet's and EfficientNetV2's outputs equal torchvision's and timm's on the same weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest

MOBILE = {
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
}
SCALED = {f"efficientnet_v2_{size}": f"efficientnetv2_{size}" for size in "sml"}
NAMES = [
    pytest.param(name, marks=() if name in MOBILE else pytest.mark.slow) for name in MOBILE | SCALED
]


@pytest.mark.parametrize("name", NAMES)
def test_equals_torchvision(name: str, assert_equal: Callable[..., None]) -> None:
    torchvision = pytest.importorskip("torchvision")
    assert_equal(torchvision.models.get_model(name, weights=None), name)


@pytest.mark.parametrize("name", NAMES)
def test_equals_timm(name: str, assert_equal: Callable[..., None]) -> None:
    timm = pytest.importorskip("timm")
    options = {"padding": "symmetric", "norm_eps": 1e-5} if name in SCALED else {}
    assert_equal(timm.create_model((MOBILE | SCALED)[name]), name, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCALED)
def test_padding_of_tensorflow_equals_timm(name: str, assert_equal: Callable[..., None]) -> None:
    timm = pytest.importorskip("timm")
    assert_equal(timm.create_model(f"tf_{SCALED[name]}"), name)
