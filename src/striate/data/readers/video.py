"""Video files as clips, read with PyAV: volumes whose first axis is time.

Of each clip `NUM_FRAMES` frames are taken, equally spaced from its beginning to its end, so that clips
of any length and rate have the same number; of fewer frames some are taken twice. A larger frame
is averaged down by a whole factor, so that its shorter side stays at least `SHORTER_SIDE`. A clip all
of whose frames are grey has one channel, any other three.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.packages import imported
from striate.data.readers.content import head_of, opened, sha256_of
from striate.data.readers.reader import READERS, FileReader
from striate.data.readers.volume import volume_reading
from striate.data.source import FileContent, Note, Reading, TooLargeItem, UnreadableItem

NUM_FRAMES: Final = 32
"""Frames taken of a clip."""

SHORTER_SIDE: Final = 64
"""The shorter side, in pixels, that frames are not reduced below."""

MAX_PIXELS: Final = 2**25
"""The most pixels of a frame."""

PATIENCE: Final = 6
"""A clip may take so many times as long to read as one picture."""

SUFFIXES: Final = (".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv")

_DECODED_THROUGH: Final = 600
"""A clip of more frames is not decoded from end to end; each frame is sought."""

_SIGNATURES: Final = (
    (4, b"ftyp", "mov"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (4, b"wide", "mov"),
    (8, b"AVI ", "avi"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
)
"""Offset and first bytes of video files, and the name that PyAV has for each format."""

_PICTURES: Final = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1",
                    b"crx ", b"M4A ", b"M4B ")  # fmt: skip
"""Brands of files that begin as mp4 does and hold pictures or sound."""


def read_video(data: FileContent) -> Reading:
    """A clip as uint8 (1 or 3, frames, height, width).

    Raises:
        UnreadableItem: The file is no video, or is damaged.
        MissingExtraError: PyAV is not installed.
    """
    name = _format_of(head_of(data, 12))
    if name is None:
        raise UnreadableItem("no video of a known format")
    av = imported("av", "video")
    with opened(data) as file:
        try:
            # By its name alone: a playlist among the videos must not lead to other files.
            with av.open(file, format=name, metadata_errors="replace") as container:
                frames, notes = _sampled(container)
        except UnreadableItem:
            raise
        except Exception as error:  # FFmpeg's errors are many, and each is of the file
            raise UnreadableItem.because_of(error, "damaged video file") from error
    clip = np.stack(frames, 1)
    if (clip[0] == clip[1]).all() and (clip[0] == clip[2]).all():
        clip = np.ascontiguousarray(clip[:1])
    return volume_reading(clip, sha256_of(data), notes=notes)


def frame_numbers(count: int, wanted: int = NUM_FRAMES) -> list[int]:
    """The frames at the middles of equal parts of a clip.

    >>> frame_numbers(8, 4), frame_numbers(2, 4)
    ([1, 3, 5, 7], [0, 0, 1, 1])
    """
    return [int((number + 0.5) * count / wanted) for number in range(wanted)]


def _format_of(head: bytes) -> str | None:
    """PyAV's name of the format of a file that begins so; None where it is no video."""
    if head[8:12] in _PICTURES and head[4:8] == b"ftyp":
        return None
    return next((name for at, magic, name in _SIGNATURES if head.startswith(magic, at)), None)


def _sampled(container: Any) -> tuple[list[NDArray[np.uint8]], tuple[Note, ...]]:
    """The frames taken, (3, height, width) each."""
    if not container.streams.video:
        raise UnreadableItem("no pictures in the file, only sound")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise UnreadableItem("its pictures are in a coding that the installed PyAV does not know")
    if stream.width * stream.height > MAX_PIXELS:
        raise TooLargeItem(f"over the pixel limit: {stream.width}x{stream.height}")
    count = stream.frames or _guessed_count(container, stream)
    if count > _DECODED_THROUGH and stream.duration:
        return list(_sought(container, stream)), ()
    # Some more than are taken: the header's number of frames may be wrong or missing.
    decoded: list[NDArray[np.uint8]] = []
    step = max(1, (count or _DECODED_THROUGH) // (4 * NUM_FRAMES))
    total = 0
    notes: tuple[Note, ...] = ()
    try:
        for frame in container.decode(stream):
            if total % step == 0:
                decoded.append(_pixels(frame))
            total += 1
            if len(decoded) > 16 * NUM_FRAMES:
                decoded, step = decoded[::2], 2 * step
    except Exception as error:
        if total < NUM_FRAMES:
            raise
        message = f"cut off after {total} frames, which are used ({type(error).__name__})"
        advice = "copy the file again, or leave it out if what matters comes later"
        notes = (Note(code="cut-off", message=message, advice=advice),)
    if not decoded:
        raise UnreadableItem("no frames in the file")
    return [decoded[number] for number in frame_numbers(len(decoded))], notes


def _guessed_count(container: Any, stream: Any) -> int:
    """The number of frames by duration and rate; 0 where one is not known."""
    if not container.duration or not stream.average_rate:
        return 0
    return int(container.duration / 1_000_000 * float(stream.average_rate))


def _sought(container: Any, stream: Any) -> Iterator[NDArray[np.uint8]]:
    """Frames at the middles of equal parts of the time, each from the key frame before it."""
    start = stream.start_time or 0
    for number in range(NUM_FRAMES):
        wanted = start + int((number + 0.5) / NUM_FRAMES * stream.duration)
        container.seek(wanted, stream=stream)
        frame = None
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts >= wanted:
                break
        if frame is None:
            raise UnreadableItem("a frame in the middle cannot be decoded")
        yield _pixels(frame)


def _pixels(frame: Any) -> NDArray[np.uint8]:
    """(3, height, width) of a frame, reduced and upright."""
    pixels = np.asarray(frame.to_ndarray(format="rgb24")).transpose(2, 0, 1)
    _, height, width = pixels.shape
    factor = max(1, min(height, width) // SHORTER_SIDE)
    if factor > 1:
        height, width = height // factor, width // factor
        pixels = pixels[:, : height * factor, : width * factor]
        blocks = pixels.reshape(3, height, factor, width, factor)
        pixels = np.rint(blocks.mean((2, 4), dtype=np.float32)).astype(np.uint8)
    turns = round(float(getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.rot90(pixels, turns, (1, 2))


READERS.add(
    "video",
    FileReader(
        "volume",
        SUFFIXES,
        read_video,
        lambda data: _format_of(head_of(data, 12)) is not None,
        isolated=True,
        patience=PATIENCE,
    ),
)
