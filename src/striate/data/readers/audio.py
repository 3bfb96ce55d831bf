"""Sound in files: WAV in plain PCM or float by ourselves, other formats through soundfile.

Those others are decoded in processes of their own: the decoders of damaged files write to the terminal.

The content decides, not the suffix. A WAV file that was written as a stream has no true length of its
samples (0, or near 2 or 4 GiB): they then go to the end of the file. RF64 files have it in a chunk of
their own. What is cut off behind the samples (tags, cue points) is left alone; samples that are cut
off are not.
"""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.packages import imported
from striate.data.readers.content import head_of, read_content
from striate.data.readers.reader import READERS, FileReader
from striate.data.readers.signal import MAX_BYTES, signal_reading
from striate.data.source import FileContent, Reading, TooLargeItem, UnreadableItem
from striate.errors import one_line

WAV_SUFFIXES: Final = (".wav", ".wave")
OTHER_SUFFIXES: Final = (".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
MAX_RATE: Final = 10_000_000
"""Samples a second; a header that says more is wrong."""

_STREAM_BYTES: Final = 0x7FFF0000
"""A length from here on that is longer than the file is that of a stream: SoX writes about 2 GiB, FFmpeg
and others 4 GiB less one byte."""

_MAGIC: Final = (
    b"RIFF",
    b"RF64",
    b"BW64",
    b"RIFX",
    b"fLaC",
    b"OggS",
    b"ID3",
    b"FORM",
    b".snd",
    b"riff",
)
"""How files of sound begin; an MP3 file without tags begins with a frame (`_is_sound`)."""

_MPEG_SYNC: Final = 0xFFE0


def read_sound(data: FileContent) -> Reading:
    """A sound as float32 (channels, samples); full scale of whole numbers is 1.

    Raises:
        UnreadableItem: It is no sound, or its header promises more samples than there are.
        MissingExtraError: It is of a format other than plain WAV, and soundfile is not installed.
    """
    content = read_content(data, MAX_BYTES)
    sha256 = hashlib.sha256(content).hexdigest()
    wav = _is_wav(content)
    named_wav = isinstance(data, Path) and data.suffix.lower() in WAV_SUFFIXES
    if named_wav and not wav and not _is_sound(content[:4]):
        if content[4:8] == b"ftyp":
            raise UnreadableItem("MP4 sound (AAC) in a file named .wav; convert it to WAV")
        raise UnreadableItem("not a WAV file")
    array, rate = (_wav(content) if wav else None) or _by_soundfile(content)
    return signal_reading(array, sha256, rate)


def _is_sound(head: bytes) -> bool:
    r"""Whether a file that begins so is one of sound, by a signature or by the head of an MPEG frame.

    >>> _is_sound(b"fLaC"), _is_sound(b"\xff\xe3\x18\xc4"), _is_sound(b"\xff\xfep\x00")
    (True, True, False)
    """
    first = int.from_bytes(head[:2], "big")
    version, layer = first >> 3 & 3, first >> 1 & 3
    mpeg = first & _MPEG_SYNC == _MPEG_SYNC and version != 1 and layer in (1, 2)  # III and II
    return mpeg or head.startswith(_MAGIC)


def _is_wav(head: bytes) -> bool:
    return head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE"


def _is_plain(data: FileContent) -> bool:
    """Whether a file is a WAV file that is read without soundfile, as far as its first bytes tell."""
    head = head_of(data, 128)
    at = head.find(b"fmt ") + 8
    coding = int.from_bytes(head[at : at + 2], "little") if at >= 8 else _PCM
    if coding == _EXTENSIBLE:
        coding = int.from_bytes(head[at + 24 : at + 26], "little")
    return _is_wav(head) and coding in (_PCM, _FLOAT)


def _wav(content: bytes) -> tuple[NDArray[Any], float] | None:
    """The samples and the rate of a WAV file; None for a coding that is neither PCM nor float.

    Raises:
        UnreadableItem: A part is missing, or a length is wrong.
    """
    chunks = _chunks(content)
    if b"fmt " not in chunks or len(chunks[b"fmt "]) < 16:
        raise UnreadableItem("a WAV file without a format")
    if b"data" not in chunks:
        raise UnreadableItem("a WAV file without samples")
    form, data = chunks[b"fmt "], chunks[b"data"]
    coding, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", form)
    if coding == _EXTENSIBLE and len(form) >= 26:
        coding = struct.unpack_from("<H", form, 24)[0]
    if coding not in (_PCM, _FLOAT):
        return None
    width = block // channels if channels else 0  # 12 bits take two bytes, 20 take three
    if (
        not 0 < rate <= MAX_RATE
        or not block
        or block != channels * width
        or not 8 * width - 8 < bits <= 8 * width
    ):
        raise UnreadableItem(
            f"a WAV header of {channels} channels, {bits} bits and {rate} samples a second"
        )
    data = data[: len(data) // block * block]  # of a recording that was cut off
    samples = _samples(data, coding, width)
    if samples is None:
        raise UnreadableItem(f"WAV samples of {bits} bits")
    return samples.reshape(-1, channels).T, float(rate)


def _chunks(content: bytes) -> dict[bytes, bytes]:
    """The parts of a RIFF file by name, the first of each; those behind the samples may be cut off.

    Raises:
        UnreadableItem: A part is longer than the file.
    """
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(content):
        name, length = content[at : at + 4], struct.unpack_from("<I", content, at + 4)[0]
        held = len(content) - at - 8
        if name == b"data" and length == 0xFFFFFFFF and len(chunks.get(b"ds64", b"")) >= 16:
            length = struct.unpack_from("<Q", chunks[b"ds64"], 8)[0]
        if name == b"data" and _is_streamed(content[at + 8 :], length):
            length = held
        if length > held:
            if b"data" in chunks:
                return chunks
            raise UnreadableItem(
                f"the header promises {length} bytes of {name.decode('latin-1')!r} and "
                f"there are {held}"
            )
        chunks.setdefault(name, content[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    return chunks


def _is_streamed(behind: bytes, length: int) -> bool:
    """Whether samples go to the end of the file, whatever their length is said to be.

    Args:
        behind: The file from the first sample on.
        length: What the header says.
    """
    if length == 0:
        # Samples, unless another part follows.
        named = len(behind) >= 8 and behind[:4].isascii() and behind[:4].strip().isalnum()
        return not (named and struct.unpack_from("<I", behind, 4)[0] <= len(behind) - 8)
    return length >= _STREAM_BYTES and length > len(behind)


def _samples(data: bytes, coding: int, width: int) -> NDArray[Any] | None:
    """The samples as float32, whole numbers scaled to -1..1; None for an unknown width."""
    if coding == _FLOAT:
        return np.frombuffer(data, f"<f{width}").astype(np.float32) if width in (4, 8) else None
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    if width in (2, 4):
        scale = np.float32(2.0 ** (8 * width - 1))
        return np.frombuffer(data, f"<i{width}").astype(np.float32) / scale
    if width == 3:
        # As the upper three bytes of four, so that the sign is right.
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2.0**31)
    return None


def _by_soundfile(content: bytes) -> tuple[NDArray[Any], float]:
    soundfile = imported("soundfile", "signal")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            needed = file.frames * file.channels * 4
            if needed > MAX_BYTES:
                raise TooLargeItem(f"expands to {needed} bytes, over the limit of {MAX_BYTES}")
            samples = file.read(dtype="float32", always_2d=True)
            if len(samples) != file.frames:
                raise UnreadableItem(
                    f"the header promises {file.frames} samples and there are {len(samples)}"
                )
            return samples.T, float(file.samplerate)
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        said = getattr(error, "error_string", str(error))  # without the address of the content
        raise UnreadableItem(one_line(said)[:200]) from error


READERS.add(
    "sound",
    FileReader(
        "signal",
        WAV_SUFFIXES + OTHER_SUFFIXES,
        read_sound,
        lambda data: _is_sound(head_of(data, 4)),
        isolated=True,
        plain=_is_plain,
    ),
)
