"""Images, from files and arrays to uint8 (3, height, width) RGB, or with their values as stored.

`read_image` keeps what 8-bit RGB would lose: other numbers of channels, and values of more than 8
bits (see `striate.data.readers.image_values`). `decode_image` gives 8-bit RGB of everything. Pure Pillow and NumPy: a decoding process starts fast because torch is not imported here.

What a file may hold, and what `decode_image` makes of it:

- Orientation in EXIF is applied.
- Transparency is composited on white.
- Grey is repeated in the three channels. Grey of more than 8 bits is divided by the smallest
  range of `GREY_RANGES` that holds its largest value, so 0 stays black and two images of one
  sensor keep their relation. Floats are taken as 0..1 or 0..255.
- CMYK and YCCK are converted without a colour profile: R = (255 - C)(255 - K) / 255.
- Of an animation or a document of several pages, the first.
"""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from striate.data.readers.content import head_of, read_content
from striate.data.readers.image_formats import (
    DICOM_SUFFIXES,
    FORMATS,
    HEIF,
    IMAGE_SUFFIXES,
    UNSIGNED,
    format_named,
    refusal,
    sniff,
)
from striate.data.readers.image_values import MIN_SIDE, POLARITY, min_is_black, values_reading
from striate.data.readers.reader import READERS, FileReader
from striate.data.readers.tiff import (
    ONE_BY_ONE,
    bits_of,
    is_camera_raw,
    is_white_zero,
    needs_tifffile,
    read_bands,
)
from striate.data.source import (
    FileContent,
    ForeignItem,
    Note,
    Reading,
    TooLargeItem,
    UnreadableItem,
)
from striate.errors import one_line

GREY_RANGES: Final = (255, 4095, 65535)
"""Full scales of 8-, 12- and 16-bit sensors."""

_JPEG_BLOCK: Final = 8
"""Pixels a side; libjpeg scales whole blocks, so a smaller picture comes out misshapen."""

BACKGROUND: Final = (255, 255, 255, 255)
"""What transparent images are composited on: white."""

MAX_PIXELS: Final = 128 * 2**20
"""The most pixels of an image as stored; Pillow's own limit is a little higher."""

MAX_BYTES: Final = 2**30
"""The largest size of a file."""

_HEAD: Final = 132
"""Bytes that every signature lies in."""

_MAX_REASON: Final = 200
"""Characters of a decoder's message that are kept."""

_BROKEN: Final = "broken-metadata"

_WARNINGS_LOCK = threading.Lock()


def read_image(data: FileContent | Image.Image, *, size: int | None = None) -> Reading:
    """Read one image: 8-bit RGB, or (channels, height, width) with the values as stored.

    8-bit grey and colour pictures become RGB, by `decode_image`. Grey of more than 8 bits, TIFF
    files of several bands, and DICOM images of more than 8 bits keep their values.

    Args:
        data: As `decode_image` takes it.
        size: As `decode_image` takes it; images whose values are kept come at full size.

    Raises:
        UnreadableItem: The image cannot be decoded, holds NaN or Inf, or needs a package that is
            not installed.
    """
    content = b"" if isinstance(data, Image.Image) else read_content(data, MAX_BYTES)
    if _is_dicom(data, content):
        from striate.data.readers.dicom import read_dicom_image  # slow to import

        return read_dicom_image(content)
    if needs_tifffile(content):
        _check_decodable(data, content)
        array, remarks = read_bands(content)
        return values_reading(array, hashlib.sha256(content).hexdigest(), tuple(remarks))
    notes: list[Note] = []

    def finish(image: Image.Image, notes: list[Note]) -> Image.Image:
        return image if _is_deep(image) else _flatten(image, notes)

    image = _decoded(data, content, size, notes, finish)
    if not _is_deep(image):
        return _photo(data, content, image, size, notes)
    sha256 = hashlib.sha256(content or image.tobytes()).hexdigest()
    return values_reading(np.asarray(image)[None], sha256, tuple(notes))


def decode_image(data: FileContent | Image.Image, *, size: int | None = None) -> Reading:
    """Decode one image to uint8 (3, height, width), RGB.

    Args:
        data: An image file, by its path or its bytes, or an image of Pillow's, which is left as
            it is.
        size: The shorter side wanted, in pixels. A larger image is scaled down by a whole
            factor, a JPEG while it is decoded; its shorter side stays at least this.

    Raises:
        UnreadableItem: The image cannot be decoded; the reason says why.
    """
    content = b"" if isinstance(data, Image.Image) else read_content(data, MAX_BYTES)
    notes: list[Note] = []
    return _photo(data, content, _decoded(data, content, size, notes, _flatten), size, notes)


def _photo(
    data: FileContent | Image.Image,
    content: bytes,
    image: Image.Image,
    size: int | None,
    notes: list[Note],
) -> Reading:
    """The reading of an image that is L or RGB by now."""
    if isinstance(data, Path):
        notes += _name_notes(data, content)
    if size is not None:
        image = _reduce(image, size)
    return Reading(
        array=_channels_first(image),
        sha256=hashlib.sha256(content or image.tobytes()).hexdigest(),
        notes=tuple(notes),
    )


def _decoded(
    data: FileContent | Image.Image,
    content: bytes,
    size: int | None,
    notes: list[Note],
    finish: Callable[[Image.Image, list[Note]], Image.Image] = lambda image, notes: image,
) -> Image.Image:
    """An image upright and finished; whatever a broken file raises is an UnreadableItem."""
    try:
        image = data.copy() if isinstance(data, Image.Image) else _load(data, content, size, notes)
        tags = getattr(data if isinstance(data, Image.Image) else image, "tag_v2", {})
        if _is_deep(image) and is_white_zero(tags):  # Pillow turns those of 8 bits alone
            values = min_is_black(np.asarray(image), bits_of(tags))
            notes.append(POLARITY)
            return finish(Image.fromarray(values), notes)
        return finish(_upright(image, notes), notes)
    except UnreadableItem:
        raise
    except Exception as error:
        # Pillow's plugins raise nearly every built-in exception on a broken file (struct.error,
        # SyntaxError, KeyError, MemoryError ...); each is a property of the file.
        raise _unreadable(error, content) from error


def _is_dicom(data: FileContent | Image.Image, content: bytes) -> bool:
    """Whether an image is of DICOM, by its preamble; files without one by their suffix."""
    name = sniff(content[:_HEAD])
    return name == "DICOM" or (
        name is None and isinstance(data, Path) and data.suffix.lower() in DICOM_SUFFIXES
    )


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith(("I", "F"))


def _check_decodable(data: FileContent | Image.Image, content: bytes) -> str | None:
    """The format that an image is to be decoded as, by its content or else its suffix, if known.

    Raises:
        UnreadableItem: It is of a format that is not decoded; the reason names the remedy.
    """
    name = sniff(content[:_HEAD])
    said = format_named(data.suffix.lower()) if isinstance(data, Path) else None
    # A camera's RAW file is a TIFF file whose first picture is a preview.
    if name == "TIFF" and (said == "camera RAW" or is_camera_raw(content)):
        name = "camera RAW"
    name = name or said
    if name is not None and name not in FORMATS and name != "DICOM":
        raise ForeignItem(refusal(name))
    return name


def _with_heif() -> bool:
    """Whether HEIC pictures can be decoded; Pillow is told of the package that does."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _load(
    data: FileContent | Image.Image, content: bytes, size: int | None, notes: list[Note]
) -> Image.Image:
    """The first frame with its pixels loaded, as it is stored."""
    name = _check_decodable(data, content)
    formats = [known for known in FORMATS if known not in UNSIGNED and known != "HEIC"]
    if name in UNSIGNED:
        formats.append(name)
    if name == "HEIC":
        if _with_heif():
            formats.append(HEIF)
        elif content[8:12] not in (b"mif1", b"msf1"):  # those may be AVIF
            raise UnreadableItem(
                'HEIC pictures need pillow-heif; install it with: pip install "striate[heic]"'
            )
    formats.sort(key=lambda known: known != name)  # Pillow imports a plugin when it is asked
    with _pillow_warnings(notes):
        image = Image.open(io.BytesIO(content), formats=formats)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise TooLargeItem(
                f"over the pixel limit: {width}x{height}, allowed are {MAX_PIXELS} pixels"
            )
        if min(width, height) < MIN_SIDE:
            raise UnreadableItem(
                f"under the minimum size: {width}x{height}, the shorter side must be {MIN_SIDE}"
            )
        notes += _frame_notes(image)
        if size is not None and size >= _JPEG_BLOCK and image.format in ("JPEG", "MPO"):
            image.draft(image.mode, (size, size))
    image.load()
    return image


def _upright(image: Image.Image, notes: list[Note]) -> Image.Image:
    """Turn an image as its EXIF data asks; after loading, for TIFF turns itself."""
    with _pillow_warnings(notes):
        try:
            ImageOps.exif_transpose(image, in_place=True)
        except Exception as error:  # a broken EXIF block raises nearly anything
            warnings.warn(f"EXIF: {error}", stacklevel=1)
    return image


@contextmanager
def _pillow_warnings(notes: list[Note]) -> Iterator[None]:
    """Note the first of Pillow's warnings; one thread at a time, for filters are the process's."""
    with _WARNINGS_LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    # A large image is judged by `MAX_PIXELS`, not by Pillow's milder limit.
    messages = [
        one_line(str(w.message))
        for w in caught
        if not issubclass(w.category, Image.DecompressionBombWarning)
    ]
    if messages and not any(note.code == _BROKEN for note in notes):
        advice = "look whether the picture is upright and whole; its pixels are used as they are"
        notes.append(Note(code=_BROKEN, message=f"broken metadata: {messages[0]}", advice=advice))


def _frame_notes(image: Image.Image) -> list[Note]:
    if image.format in ("MPO", "ICNS", "ICO", "PSD") or not getattr(image, "is_animated", False):
        return []  # the further frames of an MPO are previews and gain maps of the first
    if image.format == HEIF:
        message = "several pictures, the primary one is used"
        return [Note(code="first-frame", message=message, advice=ONE_BY_ONE)]
    if image.format == "TIFF":
        message = "several pages, the first is used"
        return [Note(code="first-page", message=message, advice=ONE_BY_ONE)]
    return [Note(code="first-frame", message="animated, the first frame is used", severity="info")]


def _name_notes(path: Path, content: bytes) -> list[Note]:
    """A remark on a file whose name says another format than its content."""
    actual, suffix = sniff(content[:_HEAD]), path.suffix.lower()
    said = format_named(suffix)
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
        return Image.fromarray(grey_to_uint8(np.asarray(image), notes))
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


def grey_to_uint8(values: NDArray[Any], notes: list[Note]) -> NDArray[np.uint8]:
    """Grey of more than 8 bits, or float, to uint8 by its range (see `GREY_RANGES`).

    Args:
        values: The grey values.
        notes: A remark on the range is appended.

    Raises:
        UnreadableItem: Values are negative, over the largest range, or not finite.
    """
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


def _unreadable(error: Exception, content: bytes) -> UnreadableItem:
    """Why Pillow did not decode this, in a few words."""
    if isinstance(error, Image.DecompressionBombError):
        return TooLargeItem("over the pixel limit")
    if isinstance(error, MemoryError):
        return TooLargeItem("not enough memory to decode it")
    name = sniff(content[:_HEAD])
    if isinstance(error, UnidentifiedImageError):
        if name is None:
            return ForeignItem("not an image")
        if name not in FORMATS:
            return ForeignItem(refusal(name))
        return UnreadableItem(f"damaged {name} file")
    message = one_line(str(error) or type(error).__name__)[:_MAX_REASON]
    if "truncated" in message.lower():
        return UnreadableItem("truncated file")
    return UnreadableItem(f"damaged {name or 'image'} file: {message}")


READERS.add(
    "image",
    FileReader(
        "image",
        tuple(sorted(IMAGE_SUFFIXES)),
        read_image,
        lambda data: sniff(head_of(data, _HEAD)) is not None,
        sized=True,
        isolated=True,
        any_name=True,
        objects=(Image.Image,),
    ),
)
