"""Intermediate feature maps against timm's, from the same weights, to 1e-4 of the largest value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from striate.models import create_model

timm = pytest.importorskip("timm")

# Ours, timm's, and the first of timm's levels that ours has: timm counts the stems of some.
CASES = [
    pytest.param("convnext_tiny", "convnext_tiny", 0, marks=pytest.mark.slow),
    ("resnet26", "resnet26", 1),
    ("vit_ti_16", "vit_tiny_patch16_224", 0),
]


@pytest.mark.parametrize(("name", "theirs", "first"), CASES)
@pytest.mark.parametrize("indices", [None, 2, [-1], [1, 3]])
def test_equals_timm(
    name: str,
    theirs: str,
    first: int,
    indices: int | list[int] | None,
    randomize: Callable[..., nn.Module],
    tmp_path: Path,
) -> None:
    size = (224, 224) if name.startswith("vit") else (64, 96)
    reference = randomize(timm.create_model(theirs), size)
    save_file(reference.state_dict(), tmp_path / "w.safetensors")
    network = create_model(name, weights=tmp_path / "w.safetensors").eval()
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    shifted = (
        [i + first if i >= 0 else i for i in indices] if isinstance(indices, list) else indices
    )
    with torch.inference_mode():
        features, maps = network.forward_intermediates(x, indices)
        expected = reference.forward_intermediates(x, shifted, intermediates_only=True)
        expected = expected[first:] if indices is None else expected
        assert torch.equal(features, network.forward_features(x))
        alone = network.forward_intermediates(x, indices, intermediates_only=True)
    assert len(maps) == len(expected) == len(alone)
    for got, also, true in zip(maps, alone, expected, strict=True):
        assert got.shape == true.shape
        assert (got - true).abs().max() <= 1e-4 * true.abs().max()
        assert torch.equal(got, also)


def test_nothing_after_the_last_map_is_computed() -> None:
    network = create_model("resnet18").eval()
    network.stages[2].register_forward_hook(lambda *_: pytest.fail("computed"))
    for block in network.stages[2]:
        block.register_forward_hook(lambda *_: pytest.fail("computed"))
    maps = network.forward_intermediates(torch.zeros(1, 3, 32, 32), [1], intermediates_only=True)
    assert [tuple(part.shape) for part in maps] == [(1, 128, 4, 4)]
