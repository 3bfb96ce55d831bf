"""ConvNeXt's outputs equal torchvision's and timm's on the same random weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest

V1 = [f"convnext_{size}" for size in ("tiny", "small", "base", "large")]
V2 = [
    f"convnextv2_{size}"
    for size in ("atto", "femto", "pico", "nano", "tiny", "small", "base", "large")
]
FAST = ("convnext_tiny", "convnextv2_atto")


LARGE = (pytest.mark.slow, pytest.mark.timeout(1200))
"""The largest take minutes where the machine is shared."""


def cases(names: list[str]) -> list[object]:
    return [pytest.param(n, marks=() if n in FAST else LARGE) for n in names]


@pytest.mark.parametrize("name", cases(V1))
def test_equals_torchvision(name: str, assert_equal: Callable[..., None]) -> None:
    torchvision = pytest.importorskip("torchvision")
    assert_equal(torchvision.models.get_model(name, weights=None), name)


@pytest.mark.parametrize("name", cases([*V1, "convnext_xlarge", *V2, "convnextv2_huge"]))
def test_equals_timm(name: str, assert_equal: Callable[..., None]) -> None:
    timm = pytest.importorskip("timm")
    assert_equal(timm.create_model(name), name)
