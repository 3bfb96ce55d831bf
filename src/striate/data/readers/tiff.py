"""TIFF files of several bands or pages, read by tifffile with their values as stored.

Pillow reads TIFF files of 8-bit grey, RGB and CMYK, with or without alpha, and those of one band of
more bits. All others are read here. Axes that tifffile calls C (channels) and S (samples) are
channels, and so are the pages of a file that does not say what its pages are; of any further axis
(depth, time) the first place is taken, with a note.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.data.readers.image_values import MAX_CHANNELS, POLARITY, check_size, min_is_black
from striate.data.source import Note, UnreadableItem
from striate.errors import one_line

HEADS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How TIFF and BigTIFF files begin, in both orders of bytes."""

ONE_BY_ONE: Final = "store the others as files of their own, if they are to be learnt from too"
"""What to do about a file of which one picture is used."""

_BITS, _PHOTOMETRIC, _DESCRIPTION, _SAMPLES = 258, 262, 270, 277
_ORIENTATION: Final = 274
_TURNS: Final = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True),
                 8: (1, False)}  # fmt: skip
"""Quarter turns to the left that make an image upright, and whether it is mirrored after them, by the
tag Orientation."""
_EXTRA_SAMPLES, _SAMPLE_FORMAT = 338, 339
_SUBFILE, _MAKE, _SUB_IFDS, _DNG_VERSION = 254, 271, 330, 50706
_UNSIGNED, _SIGNED = 1, 2
_COLOURS: Final = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Samples that are colours, by photometric interpretation: grey, RGB, palette, CMYK, YCbCr, Lab."""
_ALPHA: Final = (1, 2)
_STACKS: Final = ("ImageJ=", "<OME ", "<?xml", '{"shape"')
"""How descriptions begin of files whose pages are the parts of one array."""


def needs_tifffile(content: bytes) -> bool:
    """Whether a TIFF file holds what Pillow would refuse or flatten: bands, pages of more bits.

    One of more pixels than Pillow opens at all is left to it, which says so.
    """
    if content[:4] not in HEADS:
        return False
    try:
        image = Image.open(io.BytesIO(content), formats=["TIFF"])
        tags: Any = getattr(image, "tag_v2", {})
        pages = getattr(image, "n_frames", 1)
    except Image.DecompressionBombError:
        return False
    except Exception:  # Pillow's plugins raise nearly every built-in exception
        return True
    samples = int(tags.get(_SAMPLES, 1))
    bits = tags.get(_BITS, (1,))
    formats = tags.get(_SAMPLE_FORMAT, (1,))
    deep = max(bits) > 8 or max(formats) > 1
    described = str(tags.get(_DESCRIPTION, "")).lstrip()
    if pages > 1 and (deep or described.startswith(_STACKS)):
        return True
    if samples == 1:  # of which Pillow takes 32 bits for signed, and signed 8 bits for unsigned
        kind = (max(bits), max(formats))
        return kind == (32, _UNSIGNED) or kind == (8, _SIGNED)
    colours = samples - any(kind in _ALPHA for kind in tags.get(_EXTRA_SAMPLES, ()))
    return deep or colours != _COLOURS.get(tags.get(_PHOTOMETRIC, 2))


def is_camera_raw(content: bytes) -> bool:
    """Whether a TIFF file is a camera's RAW file, whose first picture is a preview."""
    try:
        tags: Any = getattr(Image.open(io.BytesIO(content), formats=["TIFF"]), "tag_v2", {})
    except Exception:  # Pillow's plugins raise nearly every built-in exception
        return False
    preview = int(tags.get(_SUBFILE, 0)) & 1 and _SUB_IFDS in tags and _MAKE in tags
    return bool(_DNG_VERSION in tags or preview)


def is_white_zero(tags: Mapping[int, Any]) -> bool:
    """Whether the tags of a TIFF file say that the smallest value is white."""
    return tags.get(_PHOTOMETRIC) == 0


def bits_of(tags: Mapping[int, Any]) -> int:
    """The number of bits of a value, by the tags of a TIFF file."""
    return int(max(tags.get(_BITS, (1,))))


def read_bands(content: bytes) -> tuple[NDArray[Any], list[Note]]:
    """The bands of a TIFF file as (channels, height, width), and remarks.

    Raises:
        UnreadableItem: The file is damaged or too large, or tifffile is not installed.
    """
    try:
        import tifffile
    except ImportError:
        raise UnreadableItem(
            "a TIFF file of several bands (or a damaged one) needs tifffile; install it with: "
            'pip install "striate[tiff]"'
        ) from None
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            series = file.series[0]
            check_size(series.shape, np.dtype(series.dtype))
            _check_whole(series)
            array, axes = np.asarray(series.asarray()), str(series.axes)
            page = series.keyframe
            white_zero, bits = int(page.photometric) == 0, int(page.bitspersample)
            turned = int(page.tags.valueof(_ORIENTATION, 1))
    except UnreadableItem:
        raise
    except Exception as error:  # a broken file raises nearly anything in tifffile and its codecs
        if "imagecodecs" in str(error):
            raise UnreadableItem(
                "the compression of this TIFF file needs imagecodecs; install it with: "
                'pip install "striate[tiff]"'
            ) from None
        raise UnreadableItem(f"damaged TIFF file: {one_line(str(error))[:200]}") from error
    array, notes = _channels_first(array, axes)
    array = _upright(array, turned)
    if white_zero and array.dtype.kind in "uif":
        return min_is_black(array, bits), [*notes, POLARITY]
    return array, notes


def _upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(channels, height, width) turned as the tag says, which tifffile leaves to its users."""
    turns, mirrored = _TURNS.get(orientation, (0, False))
    turned = np.rot90(array, turns, (1, 2))
    return turned[:, :, ::-1] if mirrored else turned


def _check_whole(series: Any) -> None:
    """Refuse a picture of which parts are missing: tifffile would put zeros there."""
    for page in series.pages:
        wanted = 0 if page is None or page.is_contiguous else prod(page.chunked)
        if wanted and len(page.dataoffsets) < wanted:
            there = f"{len(page.dataoffsets):,} of its {wanted:,} strips or tiles are there"
            raise UnreadableItem(f"damaged TIFF file: {there}")


def _channels_first(array: NDArray[Any], axes: str) -> tuple[NDArray[Any], list[Note]]:
    """(channels, height, width) of an array whose axes have tifffile's names."""
    if "Y" not in axes or "X" not in axes:
        raise UnreadableItem(f"a TIFF file with the axes {axes}, which is no image")
    if not set(axes) & set("CS"):  # pages that are not described are channels
        axes = axes.replace("Q", "C", 1).replace("I", "C", 0 if "Q" in axes else 1)
    notes = []
    for number in reversed(range(len(axes))):
        name = axes[number]
        if name in "CSYX" and axes.index(name) == number:
            continue
        if array.shape[number] > 1:
            message = f"{array.shape[number]} places along the axis {name}, the first is used"
            notes.append(Note(code="first-page", message=message, advice=ONE_BY_ONE))
        array, axes = array.take(0, axis=number), axes[:number] + axes[number + 1 :]
    order = [axes.index(name) for name in "CSYX" if name in axes]
    array = array.transpose(order)
    array = array.reshape(-1, *array.shape[-2:])
    if len(array) > MAX_CHANNELS:
        raise UnreadableItem(f"{len(array)} channels, allowed are {MAX_CHANNELS}")
    return array, notes
