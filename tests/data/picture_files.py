"""Picture files for the tests of faults: whole ones, and small ones that claim to be large."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.readers.image import decode_image
from striate.data.source import Reading, UnreadableItem


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def photo(width: int = 40, height: int = 24) -> Image.Image:
    """Smooth colours, so that JPEG keeps them within a few levels."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 9))
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def reason(data: bytes | Path) -> str:
    with pytest.raises(UnreadableItem) as caught:
        decode_image(data)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def codes(reading: Reading) -> list[str]:
    return [note.code for note in reading.notes]


def hwc(reading: Reading) -> np.ndarray:
    assert reading.array.dtype == np.uint8 and reading.array.shape[0] == 3
    assert reading.array.flags.c_contiguous
    return reading.array.transpose(1, 2, 0)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes, bits: int = 1, rows: int | None = None) -> bytes:
    """A grey PNG of zeros, made of chunks; small however large it claims to be."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width * bits + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + b"".join(extra)
        + png_chunk(b"IDAT", data + packer.flush())
        + png_chunk(b"IEND", b"")
    )
