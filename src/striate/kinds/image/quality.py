"""Pictures that are unfit to learn from: blank, dark, bright, blurred, of little content, odd."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from striate.data.source import Reading
from striate.data.stores.resizing import viewable
from striate.kinds.quality import Fault, Traits, usual

FORMATS: Final = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats that are told apart; all others are one."""

_SIDE: Final = 128
_BLANK: Final = 0.02
_DARK: Final = 0.25
_BRIGHT: Final = 0.85
_BLURRED: Final = 0.14
_STEEP: Final = 0.3
_SHARPEST: Final = 0.9
_FEW_BITS: Final = 2.0
_GREY_SHARE: Final = 0.2
_SHAPE: Final = 2.5
_SIZE: Final = 4.0


def measured(reading: Reading, path: Path | None) -> dict[str, float]:
    """Plain figures of one picture, brightness from 0 to 1.

    Args:
        reading: The picture.
        path: Its file, whose head tells its own size and format; None where it has none.
    """
    pixels = viewable(reading.array)
    grey = pixels.mean(0, dtype=np.float32)
    counts = np.bincount(np.rint(grey).astype(np.uint8).ravel(), minlength=256)
    lowest, low, dark, middle, high, highest = _levels(
        counts, (0.001, 0.01, 0.05, 0.5, 0.99, 0.999)
    )
    shares = counts[counts > 0] / counts.sum()
    border = np.concatenate([pixels[:, [0, -1]].reshape(len(pixels), -1), pixels[:, :, [0, -1]].reshape(len(pixels), -1)], 1)  # fmt: skip
    height, width = reading.array.shape[1:]
    figures = {
        "brightness": float(grey.mean()) / 255,
        "darkest": low,
        "dark": dark,
        "middle": middle,
        "brightest": high,
        "contrast": highest - lowest,
        "bits": float(-(shares * np.log2(shares)).sum()),
        "sharpness": _sharpness(grey / 255),
        "border": float(border.mean()) / 255,
        "colour": float((pixels.max(0) - pixels.min(0)).mean()) if len(pixels) == 3 else np.nan,
        "width": float(width),
        "height": float(height),
    }  # fmt: skip
    return figures | _of_file(path)


def _levels(counts: NDArray[np.int64], shares: tuple[float, ...]) -> list[float]:
    """The brightness, from 0 to 1, that each of some shares of the pixels does not exceed.

    Args:
        counts: (256,) The number of pixels of each grey level.
        shares: From 0 to 1.
    """
    below = counts.cumsum()
    levels: list[float] = (np.searchsorted(below, np.array(shares) * below[-1]) / 255).tolist()
    return levels


def _sharpness(grey: NDArray[np.float32]) -> float:
    """The logarithm of how much less steep the steepest edges become by more blur, at a common size.

    An edge loses the less the wider it was, whatever it lies between (S. Zhuo and T. Sim, "Defocus
    map estimation from a single image", Pattern Recognition 44, 2011), so that smooth parts of a
    picture do not count while something in it is sharp. 0 where there is no edge.
    """
    from scipy.ndimage import gaussian_filter  # slow to import

    picture = torch.from_numpy(grey)[None, None]
    small = F.interpolate(picture, size=(_SIDE, _SIDE), mode="bilinear", antialias=True)
    before, after = (_steepness(gaussian_filter(small[0, 0].numpy(), width)) for width in (1, 2))
    steep = (before >= _STEEP * before.max()) & (after > 0)
    if not steep.any():
        return 0.0
    return float(np.log10(np.quantile(before[steep] / after[steep], _SHARPEST)))


def _steepness(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The squared slope at each pixel but those of the border."""
    across = picture[1:-1, 2:] - picture[1:-1, :-2]
    down = picture[2:, 1:-1] - picture[:-2, 1:-1]
    steepness: NDArray[np.float32] = np.square(across) + np.square(down)
    return steepness


def _of_file(path: Path | None) -> dict[str, float]:
    """Size, format and date of a picture's file, as far as its head tells them."""
    found: dict[str, float] = {}
    if path is None:
        return found
    try:
        found["date"] = path.stat().st_mtime
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as picture:
                found |= {"width": float(picture.width), "height": float(picture.height)}
                found["format"] = float(FORMATS.index(str(picture.format)))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        # The reader has read it; another format than these has no head that Pillow knows.
        found["format"] = float(len(FORMATS))
    return found


def faults(traits: Traits) -> list[Fault]:
    """What is wrong with which pictures; limits are relative to the data and absolute at once."""
    blank = traits["contrast"] < _BLANK
    contrast = usual(traits["contrast"])
    white = 1 - usual(traits["darkest"])
    sizes = np.array(
        [f"{w:.0f} x {h:.0f}" for w, h in zip(traits["width"], traits["height"], strict=True)]
    )
    shape = np.log(traits["width"] / traits["height"])
    size = np.log(np.sqrt(traits["width"] * traits["height"]))
    coloured = traits["colour"] > 1
    grey_among = ~coloured & np.isfinite(traits["colour"]) & (coloured.mean() > 1 - _GREY_SHARE)

    def fault(
        code: str,
        says: str,
        advice: str,
        found: NDArray[Any],
        useless: bool = False,
        why: NDArray[np.str_] | None = None,
    ) -> Fault:
        return Fault(code=code, says=says, advice=advice, found=found, useless=useless, why=why)

    look = "look at them; leave out those in which nothing is to be seen"
    return [
        fault("blank", "of one plain colour", "leave them out: nothing can be learnt from them", blank, useless=True),
        fault("too-dark", "much darker than the others", look,
              ~blank & (traits["brightest"] < min(_DARK, 0.5 * usual(traits["brightest"])))),
        fault("too-bright", "much brighter than the others", look,
              ~blank & (traits["darkest"] > max(_BRIGHT, 1 - 0.5 * white))),
        fault("blurred", "much less sharp than the others",
              "leave them out, unless such pictures will be predicted too",
              ~blank & (traits["sharpness"] < min(_BLURRED, 0.5 * usual(traits["sharpness"])))),
        fault("little-content", "with much less in them than the others", look,
              ~blank & (traits["bits"] < min(_FEW_BITS, 0.5 * usual(traits["bits"]))) & (contrast > _BLANK)),
        fault("odd-shape", "of other proportions than the others",
              "look whether each is a whole picture; replace or leave out strips and parts",
              np.abs(shape - usual(shape)) > np.log(_SHAPE), why=sizes),
        fault("odd-size", "much smaller or larger than the others",
              "replace small ones by their originals, or leave them out; large ones do no harm where "
              "they show as much of a thing as the others",
              np.abs(size - usual(size)) > np.log(_SIZE), why=sizes),
        fault("grey", "in grey among pictures in colour",
              "fine where grey pictures will be predicted too; otherwise leave them out", grey_among),
    ]  # fmt: skip
