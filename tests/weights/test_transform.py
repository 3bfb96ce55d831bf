"""Pictures prepared as timm and torchvision prepare them, pixel by pixel."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from striate.errors import ArgumentError
from striate.models import MODELS, create_model
from striate.weights import IMAGENET
from striate.weights.manifest import Source, sources

TOLERANCE = {"rtol": 0, "atol": 1e-5}
"""Values are of order 1; float32 divides and subtracts in another order."""

ON_THE_HUB = {
    source.name: source
    for name, variant in MODELS.items()
    for source in sources(variant.family, name)
    if source.kind == "hub"
}


@cache
def picture(width: int = 301, height: int = 407) -> Image.Image:
    """Noise on a slope: every pixel, and how it is resized, matters."""
    rng = np.random.default_rng(width)
    slope = np.linspace(0, 120, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None]
    return Image.fromarray((slope + rng.integers(0, 76, (height, width, 3))).astype(np.uint8))


@pytest.mark.parametrize("source", ON_THE_HUB.values(), ids=lambda source: source.name)
def test_every_manifest_prepares_as_timm_does(source: Source) -> None:
    timm = pytest.importorskip("timm")
    card = timm.get_pretrained_cfg(source.name)
    config = timm.data.resolve_data_config(pretrained_cfg=card.to_dict())
    expected = timm.data.create_transform(**config, is_training=False)(picture())
    got = source.preprocessing.transform(picture())
    torch.testing.assert_close(got, expected, **TOLERANCE)


@pytest.mark.parametrize("size", [(301, 407), (640, 240), (224, 224), (50, 37)])
@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224"])
def test_a_network_of_timm_prepares_as_timm_does(name: str, size: tuple[int, int]) -> None:
    timm = pytest.importorskip("timm")
    network = create_model(f"timm/{name}")
    config = timm.data.resolve_data_config(model=timm.create_model(name))
    expected = timm.data.create_transform(**config, is_training=False)(picture(*size))
    torch.testing.assert_close(network.transform()(picture(*size)), expected, **TOLERANCE)


@pytest.mark.parametrize("name", ["ResNet18_Weights.IMAGENET1K_V1", "VGG16_Weights.IMAGENET1K_V1"])
def test_torchvisions_weights_prepare_alike(name: str) -> None:
    models = pytest.importorskip("torchvision.models")
    expected = models.get_weight(name).transforms()(picture())
    (source, *_) = sources(*{"R": ("resnet", "resnet18"), "V": ("vgg", "vgg16")}[name[0]])
    torch.testing.assert_close(source.preprocessing.transform(picture()), expected, **TOLERANCE)


def test_the_transform_belongs_to_the_weights() -> None:
    network = create_model("efficientnet_lite1", weights="package")
    assert network.transform()(picture()).shape == (3, 240, 240)
    assert network.preprocessing.crop_fraction == 0.882
    larger = create_model("efficientnet_lite1", weights="package", input_size=288)
    assert larger.transform()(picture()).shape == (3, 288, 288)
    random = create_model("inception_v3")
    assert random.transform()(picture()).shape == (3, 299, 299)
    assert random.preprocessing.mean == (0.5, 0.5, 0.5)


def test_images_arrays_and_tensors_give_the_same() -> None:
    transform = create_model("resnet18").transform()
    expected = transform(picture())
    pixels = np.asarray(picture())
    for same in (pixels, pixels.transpose(2, 0, 1), torch.from_numpy(pixels.copy())):
        assert torch.equal(transform(same), expected)
    grey = picture().convert("L")
    for same in (grey, np.asarray(grey), np.asarray(grey)[None], np.asarray(grey)[..., None]):
        assert torch.equal(transform(same), transform(grey.convert("RGB")))


def test_any_number_of_channels() -> None:
    one = create_model("resnet18", in_channels=1).transform()
    expected = one(picture().convert("L"))
    assert expected.shape == (1, 224, 224)
    for same in (picture(), np.asarray(picture()), np.asarray(picture().convert("L"))):
        assert torch.equal(one(same), expected)
    pixels = np.random.default_rng(0).integers(0, 256, (13, 60, 70), dtype=np.uint8)
    many = create_model("resnet18", in_channels=13).transform()
    assert many(pixels).shape == (13, 224, 224)
    assert torch.equal(many(pixels.transpose(1, 2, 0)), many(pixels))


def test_what_is_no_picture_is_refused() -> None:
    transform = create_model("resnet18").transform()
    pixels = np.asarray(picture())
    for wrong in (pixels / 255, pixels[None], torch.zeros(3, 8, 8)):
        with pytest.raises(ArgumentError, match="images are uint8"):
            transform(wrong)
    with pytest.raises(ArgumentError, match="5 channels: the network takes 3"):
        transform(np.zeros((8, 8, 5), np.uint8))
    with pytest.raises(ArgumentError, match="3 channels: the network takes 4"):
        create_model("resnet18", in_channels=4).transform()(picture())
    with pytest.raises(ArgumentError, match=r"transform\(\) of a network of rank 3"):
        create_model("resnet18", rank=3).transform()
    with pytest.raises(ArgumentError, match="choose center or squash"):
        replace(IMAGENET, crop_mode="border").transform(picture())
