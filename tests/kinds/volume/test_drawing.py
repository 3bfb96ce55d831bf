"""Slices of volumes with their heat."""

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.source import Reading
from striate.errors import ArgumentError
from striate.kinds.volume.drawing import orthogonal_slices, picture
from striate.kinds.volume.inputs import VolumeInputs
from striate.models import create_model


def ball(shape: tuple[int, ...], centre: tuple[int, ...], radius: float) -> np.ndarray:
    grid = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return np.exp(-(grid**2).sum(0) / radius**2).astype(np.float32)


def coloured(picture: Image.Image) -> np.ndarray:
    """(rows, columns) of the pixels that are no grey, in the lower half."""
    pixels = np.asarray(picture).astype(int)
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


def test_a_volume_is_drawn_as_the_network_sees_it() -> None:
    reading = Reading(array=np.stack([ball((16, 18, 20), (3, 4, 5), 3)] * 2), sha256="")
    feed = VolumeInputs.fitted([reading], {})
    torch.manual_seed(0)
    network = create_model("lenet5", rank=3, in_channels=2, num_classes=2).eval()
    cpu = torch.device("cpu")
    drawn = picture(network, feed, reading, 0, "saliency", device=cpu, item="")
    assert drawn.overlay is None and drawn.wide and drawn.image.width == 640
    pixels = np.asarray(drawn.image)
    assert np.ptp(pixels[pixels.shape[0] // 2 :].astype(int), axis=-1).max() > 60
