"""Volumes with the evidence for an output: three slices at right angles through its maximum."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from striate.data.source import Reading
from striate.data.stores.resizing import viewable
from striate.errors import ArgumentError
from striate.explain import explain
from striate.explain.drawing import overlay
from striate.explain.fidelity import checked
from striate.explain.method import GridExplainable
from striate.kinds.volume.inputs import VolumeInputs
from striate.nn.layout import channels_last
from striate.report import Picture

AXES: Final = ("depth", "height", "width")

_WIDTH: Final = 640
_GAP: Final = 10
_FONT: Final = 14
_TITLE: Final = _FONT + 2 * _GAP
_PANEL: Final = (_WIDTH - 4 * _GAP) // 3
_INK: Final = (30, 30, 30)
_MARK: Final = (0, 150, 200)


def thumbnail(reading: Reading) -> Image.Image:
    """The middle slice of a volume's first channel."""
    middle = np.asarray(reading.array[:1, reading.array.shape[1] // 2], np.float32)
    return Image.fromarray(viewable(middle)[0])


def picture(
    network: GridExplainable,
    inputs: VolumeInputs,
    reading: Reading,
    target: int,
    method: str,
    *,
    device: torch.device,
    item: str,
    steps: int = 0,
) -> Picture:
    """Draw slices of the mean over a volume's channels, as the network sees it.

    Args:
        network: A network of volumes.
        inputs: What makes the network's inputs.
        reading: The volume.
        target: Number of the output to explain.
        method: Name of a method in `EXPLANATIONS`.
        device: Where the network is.
        item: Name of the volume.
        steps: Points of the curves by which the explanation is checked; 0 for no check.

    Raises:
        UnknownNameError: There is no such method.
    """
    x = channels_last(inputs.inputs([reading]).to(device))
    heat = explain(network, x, torch.tensor([target]), method).heat[0].cpu().numpy()
    volume = x[0].float().mean(0).cpu().numpy()
    drawn = orthogonal_slices(volume, heat, spacing=inputs.spacing)
    found, faithful = checked(network, x, target, heat, steps)
    return Picture(image=drawn, found=found, faithful=faithful)


def orthogonal_slices(
    volume: Float[np.ndarray, "depth height width"],
    heat: Float[np.ndarray, "depth height width"],
    *,
    spacing: tuple[float, ...] = (),
    anatomical: bool = False,
) -> Image.Image:
    """Draw three slices through the hottest voxel, plain above and with the heat below; 640 px wide.

    The marks at a slice's borders show where the other two cut it. Grey runs from the volume's
    0.5th to its 99.5th percentile.

    Args:
        volume: One channel, of any numbers.
        heat: Values from 0 to 1.
        spacing: Distance of voxels along each axis; slices are drawn in these proportions.
        anatomical: Whether depth and height are drawn upwards. Head and front of a volume in
            canonical orientation are then up, and the person's right is right.

    Raises:
        ArgumentError: The sizes differ, or there are not three axes.
    """
    if volume.ndim != 3 or volume.shape != heat.shape:
        raise ArgumentError(
            f"a heat map of {heat.shape} for a volume of {volume.shape}",
            fix="give both three axes and one size",
        )
    sides = np.multiply(heat.shape, tuple(spacing) or 1.0)
    hottest = [int(place) for place in np.unravel_index(int(np.argmax(heat)), heat.shape)]
    grey, panels = _greys(volume), []
    for axis in range(3):
        rows, columns = (other for other in range(3) if other != axis)
        plane, hot = grey.take(hottest[axis], axis), heat.take(hottest[axis], axis)
        mark = [(hottest[other] + 0.5) / heat.shape[other] for other in (rows, columns)]
        if anatomical:
            plane, hot, mark[0] = plane[::-1], hot[::-1], 1 - mark[0]
        scale = _PANEL / max(sides[rows], sides[columns])
        size = max(1, round(sides[columns] * scale)), max(1, round(sides[rows] * scale))
        plain = Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.BICUBIC)
        warmth = Image.fromarray(np.ascontiguousarray(hot, np.float32), "F")
        warmth = warmth.resize(size, Image.Resampling.BILINEAR)
        under = np.broadcast_to(np.asarray(plain), (3, *size[::-1]))
        panels.append((plain, overlay(under, np.asarray(warmth).clip(0, 1)), mark))
    tallest = max(plain.height for plain, _, _ in panels)
    page = Image.new("RGB", (_WIDTH, 2 * (tallest + _GAP) + _TITLE), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=_FONT)
    for axis, (plain, warm, mark) in enumerate(panels):
        left = _GAP + axis * (_PANEL + _GAP)
        title = f"{AXES[axis]} {hottest[axis] + 1} of {heat.shape[axis]}"
        draw.text((left, _GAP), title, fill=_INK, font=font)
        for image, top in ((plain, _TITLE), (warm, _TITLE + tallest + _GAP)):
            page.paste(image, (left, top))
            _mark(draw, (left, top), image.size, mark)
    return page


def _greys(volume: NDArray[np.floating]) -> UInt8[np.ndarray, "depth height width"]:
    low, high = np.percentile(volume[np.isfinite(volume)], (0.5, 99.5))
    scaled = (volume - low) * (255 / (float(high - low) or 1.0))
    return np.asarray(np.nan_to_num(scaled).clip(0, 255).round().astype(np.uint8))


def _mark(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], size: tuple[int, int], place: list[float]
) -> None:
    """Draw short strokes at the four borders, towards the hottest voxel."""
    (left, top), (width, height) = corner, size
    x, y = left + place[1] * width, top + place[0] * height
    reach = _PANEL // 20
    for start in (left, left + width - 1 - reach):
        draw.line((start, y, start + reach, y), fill=_MARK, width=2)
    for start in (top, top + height - 1 - reach):
        draw.line((x, start, x, start + reach), fill=_MARK, width=2)
