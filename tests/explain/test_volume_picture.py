"""Explanations of volumes: the picture, and rank 3 against rank 2."""

import numpy as np
import pytest
import torch
from PIL import Image

from striate.errors import ArgumentError
from striate.explain import explain
from striate.explain.volume_picture import orthogonal_slices
from striate.models import create_model
from striate.weights import inflate


def ball(shape: tuple[int, ...], centre: tuple[int, ...], radius: float) -> np.ndarray:
    grid = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return np.exp(-(grid**2).sum(0) / radius**2).astype(np.float32)


def coloured(picture: Image.Image) -> np.ndarray:
    """(rows, columns) of the pixels that are no grey, in the lower half without the legend."""
    pixels = np.asarray(picture).astype(int)[: picture.height - 34]
    colour = (pixels.max(-1) - pixels.min(-1)) > 60
    colour[: picture.height // 2] = False
    return np.argwhere(colour & (pixels[..., 0] > 180))  # red to yellow: hot


@pytest.mark.parametrize("anatomical", [False, True])
def test_the_heat_is_where_it_belongs(anatomical: bool) -> None:
    volume, heat = np.zeros((16, 24, 32), np.float32), ball((16, 24, 32), (4, 18, 10), 4)
    volume[:, :, 16:] = 1
    picture = orthogonal_slices(volume, heat, anatomical=anatomical)
    assert picture.width == 640 and picture.mode == "RGB"
    hot = coloured(picture)
    panels = {"depth": (18 / 24, 10 / 32), "height": (4 / 16, 10 / 32), "width": (4 / 16, 18 / 24)}
    tallest = 150  # 24 of the 32 that are 200 px wide
    sizes = {"depth": (24, 32), "height": (16, 32), "width": (16, 24)}
    for number, (name, (down, right)) in enumerate(panels.items()):
        left = 10 + 210 * number
        here = hot[(hot[:, 1] >= left) & (hot[:, 1] < left + 200)]
        scale = 200 / max(sizes[name])
        assert len(here) > 50
        middle = here.mean(0)
        assert middle[1] == pytest.approx(left + right * sizes[name][1] * scale + scale / 2, abs=8)
        expected = (1 - down - 1 / sizes[name][0]) if anatomical else down
        start = 34 + tallest + 10
        assert middle[0] == pytest.approx(
            start + expected * sizes[name][0] * scale + scale / 2, abs=8
        )


def test_proportions_follow_the_spacing() -> None:
    heat = ball((8, 16, 16), (4, 8, 8), 3)
    thin = orthogonal_slices(heat, heat)
    thick = orthogonal_slices(heat, heat, spacing=(4.0, 1.0, 1.0))
    assert thin.height == thick.height  # the slice at right angles to depth is square in both
    grey = np.asarray(thick)[34:234, 220:420]  # depth x width: twice as tall as wide
    assert (grey[:, 110:] == 255).all() and not (grey[:, :98] == 255).all()


def test_sizes_that_do_not_agree() -> None:
    with pytest.raises(ArgumentError, match="a heat map of"):
        orthogonal_slices(np.zeros((2, 3, 4)), np.zeros((2, 3, 5)))
    with pytest.raises(ArgumentError, match="three axes"):
        orthogonal_slices(np.zeros((3, 4)), np.zeros((3, 4)))


@pytest.mark.parametrize(
    ("name", "weights"), [("resnet18", None), ("efficientnet_lite0", "imagenet")]
)
def test_rank_three_cam_of_one_slice_equals_the_rank_two_cam(
    name: str, weights: str | None
) -> None:
    """Inflated by the default mode, a filter lies in the middle slice: one slice is an image."""
    torch.manual_seed(0)
    flat = create_model(name, in_channels=1, weights=weights).eval()
    solid = create_model(name, rank=3, in_channels=1).eval()
    solid.load_state_dict(inflate(flat.state_dict(), 3))
    images = torch.nn.functional.interpolate(torch.randn(2, 1, 6, 6), size=(96, 96), mode="bicubic")
    expected = explain(flat, images)
    heat = explain(solid, images[:, :, None])
    assert heat.shape == (2, 1, 96, 96)
    assert expected.flatten(1).amax(1).eq(1).all() and expected.std() > 0.05
    torch.testing.assert_close(heat[:, 0], expected, atol=1e-4, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(solid(images[:, :, None]), flat(images), atol=1e-4, rtol=1e-4)
