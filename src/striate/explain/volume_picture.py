"""Heat maps over volumes as a picture: three slices at right angles through the hottest voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from striate.errors import ArgumentError
from striate.explain.picture import colourize, overlay

AXES: Final = ("depth", "height", "width")

_WIDTH: Final = 640
_GAP: Final = 10
_TEXT: Final = 14
_PANEL: Final = (_WIDTH - 4 * _GAP) // 3
_INK: Final = (30, 30, 30)
_MARK: Final = (0, 150, 200)
_PAPER: Final = (255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class _Slice:
    """One plane of the volume and its heat, as drawn."""

    title: str
    grey: UInt8[np.ndarray, "3 h w"]
    heat: Float[np.ndarray, "h w"]
    mark: tuple[float, float]  # of the hottest voxel, from the top and from the left, 0 to 1


def orthogonal_slices(
    volume: Float[np.ndarray, "depth height width"],
    heat: Float[np.ndarray, "depth height width"],
    *,
    spacing: tuple[float, ...] = (),
    anatomical: bool = False,
) -> Image.Image:
    """Three slices through the hottest voxel, plain above and with the heat below; 640 px wide.

    The marks at a slice's borders show where the other two cut it. Grey runs from the volume's
    0.5th to its 99.5th percentile.

    Args:
        volume: one channel; any numbers.
        heat: values from 0 to 1.
        spacing: of voxels along each axis; slices are drawn in these proportions.
        anatomical: draw depth and height upwards: of a volume in canonical orientation head and
            front are then up, and the person's right is right.

    Raises:
        ArgumentError: the sizes differ, or there are not three axes.
    """
    if volume.ndim != 3 or volume.shape != heat.shape:
        raise ArgumentError(
            f"a heat map of {heat.shape} for a volume of {volume.shape}",
            fix="give both three axes and one size",
        )
    spacing = tuple(spacing) or (1.0, 1.0, 1.0)
    hottest = np.unravel_index(int(np.argmax(heat)), heat.shape)
    grey = _greys(volume)
    slices = [
        _slice(axis, grey, heat, tuple(map(int, hottest)), spacing, anatomical) for axis in range(3)
    ]
    return _page(slices)


def _greys(volume: NDArray[np.floating]) -> UInt8[np.ndarray, "depth height width"]:
    low, high = np.percentile(volume[np.isfinite(volume)], (0.5, 99.5))
    scaled = (volume - low) * (255 / max(float(high - low), 1e-12))
    return np.asarray(np.nan_to_num(scaled).clip(0, 255).round().astype(np.uint8))


def _slice(
    axis: int,
    grey: NDArray[np.uint8],
    heat: NDArray[np.floating],
    hottest: tuple[int, ...],
    spacing: tuple[float, ...],
    anatomical: bool,
) -> _Slice:
    """The plane at right angles to an axis, enlarged to a panel."""
    rows, columns = (other for other in range(3) if other != axis)
    plane = np.asarray(grey.take(hottest[axis], axis))
    hot = np.asarray(heat.take(hottest[axis], axis))
    mark = [(hottest[other] + 0.5) / grey.shape[other] for other in (rows, columns)]
    if anatomical:
        plane, hot, mark[0] = plane[::-1], hot[::-1], 1 - mark[0]
    tall, wide = grey.shape[rows] * spacing[rows], grey.shape[columns] * spacing[columns]
    scale = _PANEL / max(tall, wide)
    size = max(1, round(wide * scale)), max(1, round(tall * scale))
    enlarged = Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling.BICUBIC)
    warmth = Image.fromarray(np.ascontiguousarray(hot, np.float32), "F")
    return _Slice(
        title=f"{AXES[axis]} {hottest[axis] + 1} of {grey.shape[axis]}",
        grey=np.broadcast_to(np.asarray(enlarged), (3, size[1], size[0])),
        heat=np.asarray(warmth.resize(size, Image.Resampling.BILINEAR)).clip(0, 1),
        mark=(mark[0], mark[1]),
    )


def _page(slices: list[_Slice]) -> Image.Image:
    tallest = max(piece.heat.shape[0] for piece in slices)
    line = _TEXT + 2 * _GAP
    page = Image.new("RGB", (_WIDTH, 2 * (tallest + _GAP) + 2 * line + _GAP), _PAPER)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=_TEXT)
    for number, piece in enumerate(slices):
        left, height, width = _GAP + number * (_PANEL + _GAP), *piece.heat.shape
        draw.text((left, _GAP), piece.title, fill=_INK, font=font)
        plain = Image.fromarray(np.ascontiguousarray(piece.grey.transpose(1, 2, 0)))
        for image, top in ((plain, line), (overlay(piece.grey, piece.heat), line + tallest + _GAP)):
            page.paste(image, (left, top))
            _mark(draw, (left, top, width, height), piece.mark)
    _legend(page, draw, font, page.height - line)
    return page


def _mark(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], place: tuple[float, float]
) -> None:
    """Short strokes at the four borders, towards the hottest voxel."""
    left, top, width, height = box
    x, y = left + place[1] * width, top + place[0] * height
    reach = _PANEL // 20
    for start in (left, left + width - 1 - reach):
        draw.line((start, y, start + reach, y), fill=_MARK, width=2)
    for start in (top, top + height - 1 - reach):
        draw.line((x, start, x, start + reach), fill=_MARK, width=2)


def _legend(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    top: int,
) -> None:
    steps = np.broadcast_to(np.linspace(0, 1, _PANEL), (_TEXT, _PANEL))
    left = _GAP + _PANEL + _GAP
    page.paste(Image.fromarray(colourize(steps)), (left, top))
    draw.text((left - _GAP, top - 2), "speaks little for it", fill=_INK, font=font, anchor="ra")
    draw.text((left + _PANEL + _GAP, top - 2), "speaks most for it", fill=_INK, font=font)
