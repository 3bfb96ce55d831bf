"""Random variants of images, drawn for each item from (seed, epoch, item) alone.

Whatever an index operation can do (flips, transpositions, crops at scale 1) is exact; the rest
is one antialiased resize, at most one rotation, and one affine map of the colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate.data.randomness import Draws
from striate.data.stores.resizing import resized
from striate.errors import ArgumentError
from striate.kinds.image.framing import fitted
from striate.kinds.image.symmetry import apply_symmetry

_GREY: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma
_ERASED_AREA: Final = (0.02, 0.2)
_DRAWS: Final = (
    "area", "ratio", "top", "left", "horizontal", "vertical", "symmetry", "angle",
    "brightness", "contrast", "saturation", "erase", "erased_area", "erased_top", "erased_left",
    "right", "down",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AugmentPolicy:
    """What may happen to an image.

    Attributes:
        crop_scale: Bounds of the crop's area over the image's; None takes the centred square, or
            the whole image where it is fitted into a frame.
        shift: Images are moved by up to this share of the side along each axis, by whole pixels,
            at least one; the border is repeated.
        crop_ratio: Bounds of the crop's width over its height, where it is random; where it is
            fitted into a frame, over the width over height of the image.
        horizontal_flip: Whether left and right are mirrored in half of the cases.
        vertical_flip: Whether top and bottom are mirrored in half of the cases.
        dihedral: Whether one of the 8 symmetries of the square is drawn; not with the flips.
        rotation: Images are turned by up to this many degrees either way; the border is mirrored.
        brightness: Values are multiplied by a factor of up to 1 ± this.
        contrast: Values are spread by a factor of up to 1 ± this about the image's mean grey.
        saturation: Colours are spread by a factor of up to 1 ± this about each pixel's grey.
        erasing: Probability that a square of 2 to 20 % of the area takes the image's mean colour.

    Raises:
        ArgumentError: A value is out of its range, or flips are asked beside `dihedral`.
    """

    crop_scale: tuple[float, float] | None = None
    shift: float = 0.0
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    horizontal_flip: bool = False
    vertical_flip: bool = False
    dihedral: bool = False
    rotation: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    erasing: float = 0.0

    def __post_init__(self) -> None:
        if self.dihedral and (self.horizontal_flip or self.vertical_flip):
            raise ArgumentError("dihedral=True with a flip", why="it holds both flips already")
        if self.crop_scale and not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ArgumentError(f"crop_scale={self.crop_scale}", why="bounds ascend within (0, 1]")
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise ArgumentError(f"crop_ratio={self.crop_ratio}", why="bounds ascend above 0")
        for name in ("shift", "brightness", "contrast", "saturation", "erasing"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ArgumentError(f"{name}={value}", why="it is between 0 and 1")
        if not 0 <= self.rotation <= 180:
            raise ArgumentError(f"rotation={self.rotation}", why="it is between 0 and 180 degrees")


POLICIES: Final = {
    "none": AugmentPolicy(),
    "natural": AugmentPolicy(
        crop_scale=(0.35, 1.0), horizontal_flip=True, brightness=0.2, contrast=0.2, saturation=0.2
    ),
    "dihedral": AugmentPolicy(dihedral=True, brightness=0.1, contrast=0.1),
    "small": AugmentPolicy(shift=1 / 12, brightness=0.1, contrast=0.1),
    "upright": AugmentPolicy(crop_scale=(0.7, 1.0), brightness=0.2, contrast=0.2),
}
"""Ready policies: photographs; images without an up or down; images of few pixels, which are moved
by whole ones; text and other things with a side."""

_SUITED: Final = {
    "identity": "upright",
    "mirror": "natural",
    "flips": "dihedral",
    "dihedral": "dihedral",
}
"""Name of the policy that suits a set of symmetries."""

_WHOLE_CROP: Final = (0.7, 1.0)
"""Share of a whole image that augmentation shows: what matters may lie at its edge."""


def policy_for(
    symmetry: str, *, small: bool, whole: bool, square: bool, photo: bool
) -> AugmentPolicy:
    """The policy that suits some images.

    Args:
        symmetry: Set of symmetries that leave a label as it is.
        small: Whether the images have few pixels.
        whole: Whether the network sees whole images, and not their central squares.
        square: Whether what it sees is as high as wide.
        photo: Whether the images are 8-bit RGB, whose light may differ.
    """
    policy = POLICIES[_SUITED[symmetry]]
    if small:
        policy = replace(
            POLICIES["small"], dihedral=policy.dihedral, horizontal_flip=symmetry == "mirror"
        )
    if whole and policy.crop_scale is not None:
        policy = replace(policy, crop_scale=_WHOLE_CROP)
    if policy.dihedral and not square:
        policy = replace(policy, dihedral=False, horizontal_flip=True, vertical_flip=True)
    if photo:
        return policy
    # What is a change of light in a photo would be another measurement here.
    return replace(policy, brightness=0.0, contrast=0.0, saturation=0.0)


def augment(
    pixels: Sequence[Shaped[Tensor, "c h w"]] | Shaped[Tensor, "n c h w"],
    draws: Draws,
    policy: AugmentPolicy,
    out_size: int | tuple[int, int],
    fill: Shaped[Tensor, " c"] | None = None,
) -> Shaped[Tensor, "n c height width"]:
    """A random variant of each image; the inputs stay as they are.

    Args:
        pixels: Images, uint8 or float32, each of its own height and width. Changes of colour are
            for uint8 alone.
        draws: Random numbers of the images, the only source of chance.
        policy: What may happen. Transpositions are for squares alone.
        out_size: Side of the results in pixels, or their height and width.
        fill: What is beside an image that is fitted into the frame with its aspect kept, for each
            channel; None where the crop is stretched to the whole frame.
    """
    frame = (out_size, out_size) if isinstance(out_size, int) else out_size
    named = dict(zip(_DRAWS, draws.uniforms(len(_DRAWS)).T, strict=True))
    symmetry = _symmetries(policy, named)
    out: Tensor
    if isinstance(pixels, Tensor) and policy.crop_scale is None and pixels.shape[2:] == frame:
        out = _turned(pixels, symmetry)
    else:
        out = torch.empty(len(pixels), pixels[0].shape[0], *frame, dtype=pixels[0].dtype)
        for n, image in enumerate(pixels):
            chance = {name: column[n] for name, column in named.items()}
            crop = _crop(image, policy, chance, whole=fill is not None)
            framed = resized(crop, frame) if fill is None else fitted(crop, frame, fill)
            out[n] = apply_symmetry(framed, int(symmetry[n]))
    if policy.shift:
        out = _shifted(out, policy.shift, named)
    if policy.rotation:
        out = _rotated(out, (2 * named["angle"] - 1) * policy.rotation)
    if policy.brightness or policy.contrast or policy.saturation:
        out = _recoloured(out, policy, named)
    if policy.erasing:
        _erase(out, policy, named)
    return out


def crop_box(
    height: int, width: int, policy: AugmentPolicy, draws: dict[str, float], *, whole: bool = False
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the part of an image to look at.

    A random box is drawn in area and in the logarithm of its ratio, and cut to the image where it
    does not fit. (Inception's way, drawing again up to ten times, would need numbers without end.)

    Args:
        height: Height of the image.
        width: Width of the image.
        policy: What may happen.
        draws: Numbers from 0 to 1 by name.
        whole: Whether the part is fitted into a frame, so that it has about the image's own aspect.
    """
    if policy.crop_scale is None and whole:
        return 0, 0, height, width
    if policy.crop_scale is None:
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side
    low, high = policy.crop_scale
    area = (low + (high - low) * draws["area"]) * height * width
    flattest, widest = policy.crop_ratio
    ratio = flattest * (widest / flattest) ** draws["ratio"] * (width / height if whole else 1)
    box_height = min(height, max(1, round(math.sqrt(area / ratio))))
    box_width = min(width, max(1, round(math.sqrt(area * ratio))))
    top = int(draws["top"] * (height - box_height + 1))
    left = int(draws["left"] * (width - box_width + 1))
    return top, left, box_height, box_width


def _crop(
    image: Shaped[Tensor, "c h w"], policy: AugmentPolicy, draws: dict[str, float], *, whole: bool
) -> Shaped[Tensor, "c box_h box_w"]:
    top, left, height, width = crop_box(image.shape[1], image.shape[2], policy, draws, whole=whole)
    return image[:, top : top + height, left : left + width]


def _symmetries(policy: AugmentPolicy, draws: dict[str, NDArray[np.float64]]) -> NDArray[np.int64]:
    """(n,) numbers of symmetries, as in `striate.kinds.image.symmetry`."""
    if policy.dihedral:
        return (draws["symmetry"] * 8).astype(np.int64)
    horizontal = policy.horizontal_flip & (draws["horizontal"] < 0.5)
    vertical = policy.vertical_flip & (draws["vertical"] < 0.5)
    return horizontal + 2 * vertical.astype(np.int64)


def _turned(
    pixels: Shaped[Tensor, "n c h w"], symmetry: NDArray[np.int64]
) -> Shaped[Tensor, "n c h w"]:
    """Each image under its own symmetry, all of one symmetry at once."""
    out = pixels.clone()  # the given images stay as they are
    for number in np.unique(symmetry[symmetry > 0]).tolist():
        chosen = torch.from_numpy(np.flatnonzero(symmetry == number))
        out[chosen] = apply_symmetry(pixels[chosen], number)
    return out


def _shifted(
    pixels: Shaped[Tensor, "n c h w"], share: float, draws: dict[str, NDArray[np.float64]]
) -> Shaped[Tensor, "n c h w"]:
    """Each image moved by whole pixels, its border repeated."""
    n, channels, *space = pixels.shape
    places = []
    for length, name in zip(space, ("down", "right"), strict=True):
        most = max(1, round(share * length))
        moved = (draws[name] * (2 * most + 1)).astype(np.int64) - most
        index = (np.arange(length)[None, :] - moved[:, None]).clip(0, length - 1)
        places.append(torch.from_numpy(index))
    rows, columns = places
    flat = (rows[:, :, None] * space[1] + columns[:, None, :]).view(n, 1, -1)
    gathered = pixels.reshape(n, channels, -1).gather(2, flat.expand(n, channels, -1))
    return gathered.view(n, channels, *space)


def _rotated(
    pixels: Shaped[Tensor, "n c h w"], degrees: NDArray[np.float64]
) -> Shaped[Tensor, "n c h w"]:
    """Each image turned about its centre, counter-clockwise."""
    angle = torch.from_numpy(np.deg2rad(degrees)).float()
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # The grid says where each output pixel is read, so it turns the other way; y points down.
    # Both axes of the grid run from -1 to 1, however high and wide the image is.
    flat = pixels.shape[2] / pixels.shape[3]
    rows = [[cos, -sin * flat, zero], [sin / flat, cos, zero]]
    theta = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    turned = F.grid_sample(
        pixels.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return turned if pixels.is_floating_point() else _to_uint8(turned)


def _recoloured(
    pixels: UInt8[Tensor, "n c h w"], policy: AugmentPolicy, draws: dict[str, NDArray[np.float64]]
) -> UInt8[Tensor, "n c h w"]:
    """Brightness, then contrast, then saturation, as one affine map of each image's colours."""
    n, channels = pixels.shape[:2]
    brightness, contrast, saturation = (
        torch.from_numpy(1 + getattr(policy, name) * (2 * draws[name] - 1)).float()
        for name in ("brightness", "contrast", "saturation")
    )
    grey = _grey_weights(channels)
    flat = pixels.flatten(2).float()
    mean = torch.einsum("c,nc->n", grey, flat.mean(2)) * brightness
    mixing = saturation[:, None, None] * torch.eye(channels)
    mixing = mixing + (1 - saturation)[:, None, None] * grey.expand(channels, channels)
    # Mixing keeps greys as they are, so the shift of the contrast passes through it unchanged.
    shift = ((1 - contrast) * mean)[:, None, None]
    mixed = torch.baddbmm(shift, mixing * (brightness * contrast)[:, None, None], flat)
    return _to_uint8(mixed).view(n, channels, *pixels.shape[2:])


def _grey_weights(channels: int) -> Float[Tensor, " c"]:
    """Luma for three channels, the plain mean for any other number."""
    return torch.tensor(_GREY) if channels == 3 else torch.full((channels,), 1 / channels)


def _erase(
    pixels: Shaped[Tensor, "n c h w"], policy: AugmentPolicy, draws: dict[str, NDArray[np.float64]]
) -> None:
    height, width = pixels.shape[2:]
    low, high = _ERASED_AREA
    sides = np.sqrt(low + (high - low) * draws["erased_area"]) * math.sqrt(height * width)
    for n in np.flatnonzero(draws["erase"] < policy.erasing):
        side = min(max(1, round(sides[n])), height, width)
        top = int(draws["erased_top"][n] * (height - side + 1))
        left = int(draws["erased_left"][n] * (width - side + 1))
        mean = pixels[n].float().mean((1, 2), keepdim=True)
        mean = mean if pixels.is_floating_point() else _to_uint8(mean)
        pixels[n, :, top : top + side, left : left + side] = mean


def _to_uint8(values: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    return values.round_().clamp_(0, 255).to(torch.uint8)
