"""ViT's outputs equal torchvision's and timm's on the same random weights, in any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import ArgumentError
from striate.models import create_model
from striate.weights import inflate

TIMM = {
    "vit_ti_16": "vit_tiny_patch16_224",
    "vit_s_16": "vit_small_patch16_224",
    "vit_s_32": "vit_small_patch32_224",
    "vit_b_8": "vit_base_patch8_224",
    "vit_b_16": "vit_base_patch16_224",
    "vit_b_32": "vit_base_patch32_224",
    "vit_l_16": "vit_large_patch16_224",
    "vit_l_32": "vit_large_patch32_224",
    "vit_h_14": "vit_huge_patch14_224",
}
SIDE = 64
OPTIONS = {"size": (SIDE, SIDE), "input_size": SIDE}


LARGE = (pytest.mark.slow, pytest.mark.timeout(1200))
"""The largest take minutes where the machine is shared."""


def cases(names: list[str]) -> list[object]:
    fast = ("vit_ti_16",)
    return [pytest.param(n, marks=() if n in fast else LARGE) for n in names]


@pytest.mark.parametrize("name", cases(["vit_b_16", "vit_b_32", "vit_l_16"]))
def test_equals_torchvision(name: str, assert_equal: Callable[..., None]) -> None:
    torchvision = pytest.importorskip("torchvision")
    assert_equal(torchvision.models.get_model(name, weights=None, image_size=SIDE), name, **OPTIONS)


@pytest.mark.parametrize("name", cases(list(TIMM)))
def test_equals_timm(name: str, assert_equal: Callable[..., None]) -> None:
    timm = pytest.importorskip("timm")
    # Some have no classifier unless asked for one.
    reference = timm.create_model(TIMM[name], img_size=SIDE, num_classes=1000)
    assert_equal(reference, name, **OPTIONS)


def test_layout_of_torchvision_is_known(assert_equal: Callable[..., None]) -> None:
    vision = pytest.importorskip("torchvision.models.vision_transformer")
    reference = vision.VisionTransformer(SIDE, 16, 12, 3, 192, 768)
    assert_equal(reference, "vit_ti_16", **OPTIONS)


def test_another_size_gets_positions_as_in_timm(assert_equal: Callable[..., None]) -> None:
    timm = pytest.importorskip("timm")
    reference = timm.create_model("vit_tiny_patch16_224", img_size=SIDE, dynamic_img_size=True)
    assert_equal(reference, "vit_ti_16", size=(96, 48), input_size=SIDE)


def test_a_volume_of_equal_slices_gives_what_the_slice_gives(tmp_path: Path) -> None:
    # One patch deep: with more, the class token would weigh less among the patches.
    torch.manual_seed(0)
    options = {"input_size": 32, "num_classes": 5, "patch_size": 8}
    image_network = create_model("vit_ti_16", **options).eval()
    path = tmp_path / "image.safetensors"
    save_file(image_network.state_dict(), path)
    volume_network = create_model("vit_ti_16", rank=3, weights=path, **options).eval()
    image = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        expected = image_network(image)
        got = volume_network(image.unsqueeze(2).expand(-1, -1, 8, -1, -1))
    assert (got - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_deeper_volumes_differ_by_the_class_token_s_weight_alone() -> None:
    """Two patches deep it is one token among twice as many; counted twice, nothing differs."""
    torch.manual_seed(0)
    options = {"input_size": 32, "num_classes": 5, "patch_size": 8}
    image_network = create_model("vit_ti_16", **options).eval()
    volume_network = create_model("vit_ti_16", rank=3, **options).eval()
    state = volume_network.fit_weights(image_network.state_dict())
    volume_network.load_state_dict(inflate(state, 3))
    image = torch.randn(1, 3, 32, 32)
    volume = image.unsqueeze(2).expand(-1, -1, 16, -1, -1)
    with torch.inference_mode():
        expected, alone = image_network(image), volume_network(volume)
        tokens = volume_network.stem(volume)
        tokens = torch.cat([tokens[..., :1], tokens], -1)
        for _, block in volume_network.blocks()[1:]:
            tokens = block(tokens)
        twice = volume_network.forward_head(tokens)
    largest = expected.abs().max()
    assert (twice - expected).abs().max() <= 1e-4 * largest
    assert (alone - expected).abs().max() > 1e-3 * largest


def test_weights_of_images_start_a_series_of_another_size(tmp_path: Path) -> None:
    path = tmp_path / "image.safetensors"
    save_file(create_model("vit_ti_16", input_size=64).state_dict(), path)
    network = create_model("vit_ti_16", rank=1, input_size=96, weights=path)
    assert network(torch.randn(2, 3, 96)).shape == (2, 1000)


def test_maps_have_the_input_s_space() -> None:
    network = create_model("vit_ti_16", input_size=32)
    _, (maps,) = network.forward_intermediates(torch.zeros(1, 3, 32, 48), 1)
    assert maps.shape == (1, 192, 2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_heads": 5}, "must divide the width of 192"), ({"patch_size": 300}, "must fit")],
)
def test_bad_arguments_give_one_line(options: dict[str, int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        create_model("vit_ti_16", **options)
