"""One image file to uint8 (3, height, width) RGB, whatever the file holds.

Pure Pillow and numpy: a decoding process starts fast because torch is not imported here.

What a file may hold, and what comes out of it:

- Orientation in EXIF is applied.
- Transparency is composited on white.
- Grey is repeated in the three channels. Grey of more than 8 bits is divided by the smallest
  range of `GREY_RANGES` that holds its largest value, so 0 stays black and two images of one
  sensor keep their relation. Floats are taken as 0..1 or 0..255.
- CMYK and YCCK are converted without a colour profile: R = (255 - C)(255 - K) / 255.
- Of an animation or a document of several pages, the first.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from striate.data.source import Note, Reading, UnreadableItem
from striate.errors import ArgumentError, one_line

FORMATS: Final = {
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf"),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""Pillow's formats that are decoded, and the suffixes each goes by."""

REFUSED_SUFFIXES: Final = (
    ".blp", ".cr2", ".dcm", ".dng", ".eps", ".fit", ".fits", ".heic", ".heif", ".ico",
    ".jxl", ".nef", ".psd", ".svg", ".tga",
)  # fmt: skip
"""Suffixes of images that are not decoded: listed and refused rather than overlooked."""

IMAGE_SUFFIXES: Final = frozenset(s for group in FORMATS.values() for s in group) | frozenset(
    REFUSED_SUFFIXES
)

GREY_RANGES: Final = (255, 4095, 65535)
"""Full scales of 8-, 12- and 16-bit sensors."""

_JPEG_BLOCK: Final = 8
"""Pixels a side; libjpeg scales whole blocks, so a smaller picture comes out misshapen."""

BACKGROUND: Final = (255, 255, 255, 255)
"""What transparent images are composited on: white."""

_SIGNATURES: Final = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (8, b"WEBP", "WEBP"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"jP  \r\n", "JPEG2000"),
    (4, b"JXL \r\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"%!PS", "EPS"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "PSD"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"BLP1", "BLP"),
    (0, b"BLP2", "BLP"),
    (0, b"\0\0\1\0", "ICO"),
    (128, b"DICM", "DICOM"),
)
"""Offset and first bytes of the formats that a refusal can name."""

_ERRNO_REASONS: Final = {
    errno.ENOENT: "file not found",
    errno.ENOTDIR: "file not found",
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
    errno.EISDIR: "a folder, not a file",
    errno.ENAMETOOLONG: "path too long",
    errno.ELOOP: "a loop of links",
    errno.ENXIO: "not a regular file",
}

_ORIENTATION_TAG: Final = 0x0112
_TRANSPOSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image of each EXIF orientation upright."""

_PILLOW_MAX_PIXELS: Final = 178_956_970
"""Where Pillow itself refuses an image (twice its MAX_IMAGE_PIXELS)."""

_MAX_REASON: Final = 200
"""Characters of a decoder's message that are kept."""

_WARNINGS_LOCK = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class DecodeLimits:
    """How much one file may ask for.

    Attributes:
        max_pixels: width times height as stored, at most 178,956,970 (Pillow's own limit).
        max_bytes: size of the file.
        min_side: the shorter side, in pixels.
        seconds: time to decode, where a decoding process can be stopped.
    """

    max_pixels: int = 128 * 2**20
    max_bytes: int = 2**30
    min_side: int = 4
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.max_pixels <= _PILLOW_MAX_PIXELS:
            raise ArgumentError(
                f"max_pixels={self.max_pixels}", why=f"allowed are 1 to {_PILLOW_MAX_PIXELS}"
            )


DEFAULT_LIMITS: Final = DecodeLimits()


def decode_image(
    data: bytes | Path, *, size: int | None = None, limits: DecodeLimits = DEFAULT_LIMITS
) -> Reading:
    """Decode one image file to uint8 (3, height, width), RGB.

    Args:
        data: the file's content, or its path.
        size: the shorter side wanted, in pixels. A larger image is scaled down by a whole
            factor, a JPEG while it is decoded; its shorter side stays at least this.
        limits: what is refused.

    Raises:
        UnreadableItem: with the reason why not.
    """
    content = data if isinstance(data, bytes) else read_file(data, limits.max_bytes)
    if not content:
        raise UnreadableItem("empty file")
    notes: list[Note] = []
    try:
        image = _load(content, size, limits, notes)
        image = _flatten(image, notes)
    except UnreadableItem:
        raise
    except Exception as error:
        # Pillow's plugins raise nearly every built-in exception on a broken file (struct.error,
        # SyntaxError, KeyError, MemoryError ...); each is a property of the file.
        raise UnreadableItem(_reason(error, content)) from error
    if isinstance(data, Path):
        notes += _name_notes(data, content)
    if size is not None:
        image = _reduce(image, size)
    return Reading(
        array=_channels_first(image),
        sha256=hashlib.sha256(content).hexdigest(),
        notes=tuple(notes),
    )


def read_file(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file.

    A FIFO or a device is not opened, and one that takes the place of a file just then does not
    hang, for files are opened without blocking.

    Raises:
        UnreadableItem: it cannot be read, or it holds more than `max_bytes`.
    """
    try:
        _check_regular(path.stat(), max_bytes)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            _check_regular(os.fstat(descriptor), max_bytes)
            return file.read()
    except OSError as error:
        raise UnreadableItem(os_reason(error)) from error
    except UnreadableItem:
        raise
    except ValueError as error:  # a NUL in the path
        raise UnreadableItem("not a file name") from error


def _check_regular(status: os.stat_result, max_bytes: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableItem("a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableItem("not a regular file")
    if status.st_size > max_bytes:
        raise UnreadableItem(f"{status.st_size} bytes, over the limit of {max_bytes}")


def os_reason(error: OSError) -> str:
    """What the system's error means, in a few words."""
    known = _ERRNO_REASONS.get(error.errno or 0)
    return known or (error.strerror or str(error)).lower()


def sniff(content: bytes) -> str | None:
    """Name of the image format whose first bytes these are; None where none is known."""
    for offset, magic, name in _SIGNATURES:
        if content.startswith(magic, offset):
            return name
    return None


def _load(content: bytes, size: int | None, limits: DecodeLimits, notes: list[Note]) -> Image.Image:
    """The first frame, upright and with its pixels loaded, in the mode it is stored in."""
    with _pillow_warnings() as messages:
        image = Image.open(io.BytesIO(content), formats=list(FORMATS))
        width, height = image.size
        if width * height > limits.max_pixels:
            raise UnreadableItem(
                f"over the pixel limit: {width}x{height}, allowed are {limits.max_pixels} pixels"
            )
        if min(width, height) < limits.min_side:
            raise UnreadableItem(
                f"under the minimum size: {width}x{height}, the shorter side must be "
                f"{limits.min_side}"
            )
        notes += _frame_notes(image)
        if size is not None and size >= _JPEG_BLOCK and image.format in ("JPEG", "MPO"):
            image.draft(image.mode, (size, size))
    image.load()
    with _pillow_warnings() as late_messages:
        transpose = _TRANSPOSE.get(_orientation(image, late_messages))
    for message in (messages + late_messages)[:1]:
        notes.append(Note(code="broken-metadata", message=f"broken metadata: {one_line(message)}"))
    return image if transpose is None else image.transpose(transpose)


@contextmanager
def _pillow_warnings() -> Iterator[list[str]]:
    """Collect Pillow's warnings; one thread at a time, for the filters are the process's."""
    messages: list[str] = []
    with _WARNINGS_LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield messages
        # A large image is judged by `DecodeLimits`, not by Pillow's milder limit.
        messages += [
            str(w.message)
            for w in caught
            if not issubclass(w.category, Image.DecompressionBombWarning)
        ]


def _orientation(image: Image.Image, messages: list[str]) -> int:
    """The EXIF orientation, 1 where there is none; after loading, for TIFF turns itself."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception as error:  # a broken EXIF block raises nearly anything
        messages.append(f"EXIF: {error}")
        return 1


def _frame_notes(image: Image.Image) -> list[Note]:
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return []  # the further frames of an MPO are previews and gain maps of the first
    if image.format == "TIFF":
        return [Note(code="first-page", message="several pages, the first is used")]
    return [Note(code="first-frame", message="animated, the first frame is used", severity="info")]


def _name_notes(path: Path, content: bytes) -> list[Note]:
    """A remark on a file whose name says another format than its content."""
    actual, suffix = sniff(content), path.suffix.lower()
    said = next((name for name, suffixes in FORMATS.items() if suffix in suffixes), None)
    if actual is None or said is None or actual == said:
        return []
    message = f"{actual} content in a file named {suffix}"
    return [Note(code="format-mismatch", message=message, severity="info")]


def _flatten(image: Image.Image, notes: list[Note]) -> Image.Image:
    """`image` in mode L or RGB."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_grey_to_uint8(np.asarray(image), notes))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        if layer.getchannel("A").getextrema() != (255, 255):
            notes.append(
                Note(code="transparency", message="transparent, put on white", severity="info")
            )
        return Image.alpha_composite(Image.new("RGBA", layer.size, BACKGROUND), layer).convert(
            "RGB"
        )
    return image.convert("RGB")


def _grey_to_uint8(values: NDArray[np.generic], notes: list[Note]) -> NDArray[np.uint8]:
    """Grey of more than 8 bits, or float, to uint8 by its range (see `GREY_RANGES`)."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise UnreadableItem("grey values that are not finite")
    scales = (1.0, 255.0) if values.dtype.kind == "f" else GREY_RANGES
    scale = next((s for s in scales if high <= s), None)
    if low < 0 or scale is None:
        raise UnreadableItem(
            f"grey values from {low:g} to {high:g}, allowed are 0 to {scales[-1]:g}"
            + (" (or 0 to 1)" if values.dtype.kind == "f" else "")
        )
    message = f"{values.dtype.itemsize * 8}-bit grey, 0..{scale:g} scaled to 0..255"
    notes.append(Note(code="deep-grey", message=message, severity="info"))
    levels: NDArray[np.uint8] = np.rint(values.astype(np.float32) * (255 / scale)).astype(np.uint8)
    return levels


def _reduce(image: Image.Image, size: int) -> Image.Image:
    """Average over blocks, as large as keeps the shorter side at least `size`.

    A last block of less than half a block's side is left out: in a small image it would stretch.
    """
    factor = min(image.size) // size
    if factor <= 1:
        return image
    width, height = (min(side, (side + factor // 2) // factor * factor) for side in image.size)
    return image.reduce(factor, box=(0, 0, width, height))


def _channels_first(image: Image.Image) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.asarray(image)
    if pixels.ndim == 2:
        return np.repeat(pixels[None], 3, axis=0)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _reason(error: Exception, content: bytes) -> str:
    """Why Pillow did not decode this, in a few words."""
    if isinstance(error, Image.DecompressionBombError):
        return "over the pixel limit"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    name = sniff(content)
    if isinstance(error, UnidentifiedImageError):
        if name is None:
            return "not an image"
        return f"damaged {name} file" if name in FORMATS else f"format not supported: {name}"
    message = one_line(str(error) or type(error).__name__)[:_MAX_REASON]
    if "truncated" in message.lower():
        return "truncated file"
    return f"damaged {name or 'image'} file: {message}"
