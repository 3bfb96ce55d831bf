"""Networks of timm give timm's logits through our calls."""

from __future__ import annotations

import copy
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import (
    ArgumentError,
    MissingExtraError,
    UnknownNameError,
    WeightsUnavailableError,
)
from striate.models import MODELS, create_model

timm = pytest.importorskip("timm")

# A network of maps, one whose pooling has weights, one of tokens, and one with channels last.
NAMES = [
    "resnet10t",
    "mobilenetv3_small_050",
    pytest.param("vit_tiny_patch16_224", marks=pytest.mark.slow),
    pytest.param("swin_tiny_patch4_window7_224", marks=pytest.mark.slow),
]


def images(side: int = 64) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_equals_timm(name: str, tmp_path: Path) -> None:
    side = 224 if timm.get_pretrained_cfg(name).fixed_input_size else 64
    torch.manual_seed(0)
    reference = timm.create_model(name, num_classes=5).eval()
    torch.manual_seed(0)
    network = create_model(f"timm/{name}", num_classes=5).eval()
    with torch.inference_mode():
        expected = reference(images(side))
        got = network(images(side))
        assert (got - expected).abs().max() <= 1e-4 * expected.abs().max()
        features = network.forward_features(images(side))
        assert torch.equal(network.forward_head(features), got)
        assert network.pool(features).shape == (2, network.num_features)
        last, maps = network.forward_intermediates(images(side))
        assert torch.equal(last, features) and all(part.ndim == 4 for part in maps)
    path = tmp_path / "model.safetensors"
    save_file(network.state_dict(), path)
    again = create_model(f"timm/{name}", weights=path, **asdict(network.config)).eval()
    with torch.inference_mode():
        assert torch.equal(again(images(side)), got)


def test_has_what_every_network_has() -> None:
    network = create_model("timm/resnet10t", in_channels=1, num_classes=4)
    assert network.preprocessing.mean == pytest.approx((0.449,))
    assert network.preprocessing.crop_fraction == timm.get_pretrained_cfg("resnet10t").crop_pct
    assert [key for key, _ in network.blocks()] == ["stem"]
    network.reset_classifier(7)
    x = images()[:, :1]
    network(x).sum().backward()
    assert network(x).shape == (2, 7)
    assert all(p.grad is not None for p in network.parameters())
    assert "timm/resnet10t" not in MODELS


def test_a_copy_pools_with_its_own_weights() -> None:
    network = create_model("timm/mobilenetv3_small_050").eval()
    twin = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in network.stem.parameters():
            parameter.zero_()
    assert twin.pool.features[0] is twin.stem
    assert twin(images()).std() > 0


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown model of timm 'resnet5O'; did you mean"):
        create_model("timm/resnet5O")
    with pytest.raises(UnknownNameError, match=r"weights of timm 'resnet50\.a1_in2k'"):
        create_model("timm/resnet50.a1_in2k")


def test_only_images() -> None:
    with pytest.raises(ArgumentError, match="rank=3 for timm/resnet10t: the network has rank 2"):
        create_model("timm/resnet10t", rank=3)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"striate\[timm\]"):
        create_model("timm/resnet10t")


def test_weights_come_from_timm_or_are_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    create, asked = timm.create_model, []

    def answer(name: str, pretrained: bool, **options: object) -> torch.nn.Module:
        asked.append((name, pretrained))
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", answer)
    create_model("timm/resnet10t", weights="imagenet")
    assert asked == [("resnet10t", True)]

    def refuse(name: str, pretrained: bool, **options: object) -> torch.nn.Module:
        raise OSError("no route")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(WeightsUnavailableError, match=r"of timm/resnet10t can be had.*\(OSError\)"):
        create_model("timm/resnet10t", weights="imagenet")
