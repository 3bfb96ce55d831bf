"""Images with the evidence for an output laid over them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from PIL import Image

from striate.data.source import Reading
from striate.data.stores.resizing import viewable
from striate.explain import explain
from striate.explain.drawing import overlay
from striate.explain.fidelity import checked
from striate.explain.method import GridExplainable
from striate.kinds.image.inputs import ImageInputs
from striate.nn.layout import channels_last
from striate.report import Picture


def as_rgb(array: Shaped[np.ndarray, "c h w"]) -> UInt8[np.ndarray, "3 h w"]:
    """The first three channels of an image to look at, or one in grey (see `viewable`)."""
    shown = viewable(array[:3] if len(array) > 2 else array[:1])
    return shown if len(shown) == 3 else np.repeat(shown, 3, axis=0)


def thumbnail(reading: Reading) -> Image.Image:
    """A picture to look at, as it is."""
    return _drawn(as_rgb(reading.array))


def picture(
    network: GridExplainable,
    inputs: ImageInputs,
    reading: Reading,
    target: int,
    method: str,
    *,
    device: torch.device,
    item: str,
    steps: int = 0,
) -> Picture:
    """Draw an image as it is, and in grey under the evidence for an output.

    Args:
        network: A network of images.
        inputs: What makes the network's inputs.
        reading: The part of the image that the network sees, (channels, height, width).
        target: Number of the output to explain.
        method: Name of a method in `EXPLANATIONS`.
        device: Where the network is.
        item: Name of the image.
        steps: Points of the curves by which the explanation is checked; 0 for no check.

    Raises:
        UnknownNameError: There is no such method.
    """
    square = inputs.checked(reading)
    x = channels_last(inputs.normalized(inputs.inputs([square]).to(device)))
    heat = explain(network, x, torch.tensor([target]), method).heat[0].cpu().numpy()
    found, faithful = checked(network, x, target, heat, steps)
    pixels = as_rgb(square.array)
    return Picture(
        image=_drawn(pixels),
        overlay=overlay(pixels, heat),
        found=found,
        faithful=faithful,
    )


def _drawn(pixels: UInt8[np.ndarray, "3 h w"]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
