"""Small whole files of every kind that is read, and damaged ones made of them.

Used by `fuzz_sources.py`: each damaged file is a function of a seed and of its number.
"""

from __future__ import annotations

import gzip
import io
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

Named: TypeAlias = tuple[str, bytes]
"""The end of a file's name, and its content."""

EXTREMES: Final = (0, 1, -1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 10**6, 2**24, 2**31 - 1,
                   2**31, 2**32 - 1, 2**62, 2**63 - 1)  # fmt: skip
"""Whole numbers at which lengths and counts overflow, or become huge."""

SMILES: Final = ("c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O", "[Na+].[Cl-]", "C1CC1C#N",
                 "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "F/C=C/F", "[13CH4]", "C1=CC=C(C=C1)[N+](=O)[O-]",
                 "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O")  # fmt: skip
WORDS: Final = (b",", b";", b"\t", b'"', b"'", b"\n", b"\r", b"\n\n", b" ", b"-", b"nan", b"NA", b"inf",
                b"1e999", b"-1e-999", b"0x10", b"1_000", b"9" * 400, b"1.2.3", b"#", b"=cmd()", b"\xff",
                b"\0", b"\xe2\x80\xa8", b"2024-13-45T99:99", b"," * 3000, b"\n" * 3000, b"x" * 70000)  # fmt: skip
"""What may come into a table."""

PIECES: Final = ("C", "N", "(C)", "=O", "Cl", "c", "(", ")", "[", "]", "1", "%99", "#", "=", "@@", "[Xe+99]", "[999C]", ".", "c", "\\",
                 "[H]", "*", "~", ">>", "\0", "é", "C" * 200, "(" * 300, "[" * 40, "c1" * 100)  # fmt: skip
"""What may come into a SMILES."""


def damaged(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to four faults.

    Args:
        content: The whole file.
        other: Another whole file, of which a part may come in.
        rng: Draws the faults.
    """
    data = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        if not data:
            break
        start, stop = sorted(int(n) for n in rng.integers(0, len(data) + 1, 2))
        match int(rng.integers(9)):
            case 0:
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            case 1:
                for at in rng.integers(len(data), size=8):
                    data[int(at)] = int(rng.integers(256))
            case 2:
                del data[stop:]
            case 3:
                data[stop:stop] = data[start:stop][:256]
            case 4:
                del data[start:stop]
            case 5:
                at = int(rng.integers(len(other)))
                data[start:] = other[at:]
            case _:  # a third of the faults: most of what a reader believes stands in the head
                put_extreme(data, int(rng.choice([64, 512, len(data)])), rng)
    return bytes(data)


def put_extreme(data: bytearray, head: int, rng: np.random.Generator) -> None:
    """Set a whole number somewhere in the first `head` bytes to an extreme value."""
    width = int(rng.choice([1, 2, 4, 8]))
    at = int(rng.integers(min(head, len(data))))
    at -= at % width if rng.random() < 0.7 else 0
    value = int(rng.choice(np.array(EXTREMES, object))) % 256**width
    order = "little" if rng.random() < 0.5 else "big"
    data[at : at + width] = value.to_bytes(width, order)[: len(data) - at]  # type: ignore[arg-type]  # one of two


def damaged_text(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """A table with one or two faults, mostly such as people and programs make."""
    for _ in range(int(rng.integers(1, 3))):
        if rng.random() < 0.25:
            content = damaged(content, other, rng)
            continue
        start, stop = sorted(int(n) for n in rng.integers(0, len(content) + 1, 2))
        piece = rng.choice(np.array(WORDS, object)) if rng.random() < 0.7 else content[start:stop]
        content = content[:stop] + piece + content[stop + int(rng.integers(3)) :]
    return content


def images(rng: np.random.Generator) -> Iterator[Named]:
    """Pictures of every common format, some of several frames."""
    from PIL import Image

    noise = rng.integers(0, 256, (3, 24, 20, 3), np.uint8)
    pictures = [Image.fromarray(frame) for frame in noise]
    for suffix, name, options in (
        (".png", "PNG", {}),
        (".jpg", "JPEG", {"progressive": True}),
        (".jpg", "JPEG", {"exif": _exif()}),
        (".gif", "GIF", {"save_all": True, "append_images": pictures[1:]}),
        (".tif", "TIFF", {"compression": "tiff_lzw"}),
        (".tif", "TIFF", {"save_all": True, "append_images": pictures[1:]}),
        (".webp", "WEBP", {}),
        (".bmp", "BMP", {}),
        (".ico", "ICO", {}),
        (".tga", "TGA", {}),
        (".ppm", "PPM", {}),
        (".jp2", "JPEG2000", {}),
    ):
        out = io.BytesIO()
        pictures[0].save(out, name, **options)  # type: ignore[arg-type]  # options of several formats
        yield suffix, out.getvalue()
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 65536, (24, 20), np.uint16)).save(out, "PNG")
    yield ".png", out.getvalue()


def _exif() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    return exif.tobytes()


def sounds(rng: np.random.Generator) -> Iterator[Named]:
    """WAV of several widths, and the formats that soundfile writes."""
    for channels, width in ((1, 1), (1, 2), (2, 2), (1, 3), (2, 4)):
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(width)
            file.setframerate(8000)
            file.writeframes(rng.bytes(200 * channels * width))
        yield ".wav", out.getvalue()
    import soundfile

    for suffix, form, subtype in (
        (".wav", "WAV", "FLOAT"),
        (".wav", "WAV", "IMA_ADPCM"),
        (".wav", "RF64", "PCM_16"),
        (".flac", "FLAC", "PCM_16"),
        (".ogg", "OGG", "VORBIS"),
        (".mp3", "MP3", "MPEG_LAYER_III"),
    ):
        out = io.BytesIO()
        soundfile.write(out, rng.normal(0, 0.1, (600, 2)), 8000, subtype, format=form)
        yield suffix, out.getvalue()


def tables(rng: np.random.Generator) -> Iterator[Named]:
    """Tables of signals, with and without names, times and blanks."""
    rows = rng.normal(size=(30, 2)).round(4).tolist()
    lines = "\n".join(f"{number},{a},{b}" for number, (a, b) in enumerate(rows))
    yield ".csv", f"time,x,y\n{lines}\n".encode()
    yield ".csv", f"time;x;y\n{lines}\n".replace(",", ";").encode("utf-16")
    yield ".tsv", lines.replace(",", "\t").encode()
    moments = "\n".join(f"2024-01-01T00:00:{n:02d},{a}," for n, (a, _) in enumerate(rows))
    yield ".csv", f'"moment","a ""b""",c\n{moments}\n'.encode("utf-8-sig")


def nifti(rng: np.random.Generator) -> Iterator[Named]:
    """NIfTI-1 and -2, of several types of values, scaled and not, with time, plain and packed."""
    import nibabel

    for kind, dtype, shape in (
        (nibabel.Nifti1Image, np.int16, (7, 6, 5)),
        (nibabel.Nifti2Image, np.float32, (6, 6, 4)),
        (nibabel.Nifti1Image, np.uint8, (5, 4, 3, 2)),
        (nibabel.Nifti1Image, np.float64, (4, 4, 4)),
    ):
        affine = np.diag([-2.0, 2, 3, 1])
        image = kind(rng.integers(0, 200, shape).astype(dtype), affine)
        image.header["scl_slope"], image.header["scl_inter"] = (
            (2, 1) if dtype == np.int16 else (1, 0)
        )
        content = image.to_bytes()
        yield ".nii", content
        yield ".nii.gz", content


def dicom(rng: np.random.Generator) -> Iterator[Named]:
    """Frames as volumes: plain in either order of bytes, packed by RLE and by zip."""
    from pydicom import dcmread
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.sequence import Sequence as Items
    from pydicom.uid import (
        CTImageStorage,
        DeflatedExplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        RLELossless,
        generate_uid,
    )

    for syntax in (
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
    ):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["striate"])
        packed = syntax == RLELossless
        meta.TransferSyntaxUID = ExplicitVRLittleEndian if packed else syntax
        data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.Rows, data.Columns, data.NumberOfFrames = 8, 6, 4
        measures = Dataset()
        measures.PixelSpacing, measures.SliceThickness = [0.9, 0.7], 2.5
        shared = Dataset()
        shared.PixelMeasuresSequence = Items([measures])
        data.SharedFunctionalGroupsSequence = Items([shared])
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.RescaleSlope, data.RescaleIntercept = "0.5", "-1000"
        data.PixelData = rng.integers(0, 4096, (4, 8, 6)).astype("<u2").tobytes()
        out = io.BytesIO()
        data.save_as(out, enforce_file_format=True)
        if packed:
            whole = dcmread(io.BytesIO(out.getvalue()))
            whole.compress(RLELossless)
            out = io.BytesIO()
            whole.save_as(out, enforce_file_format=True)
        yield ".dcm", out.getvalue()


def videos(rng: np.random.Generator) -> Iterator[Named]:
    """Short clips in every container, one long enough to be sought in."""
    import av

    for suffix, codec, count in (
        (".mp4", "h264", 12),
        (".mp4", "mpeg4", 12),
        (".mkv", "h264", 12),
        (".avi", "mpeg4", 12),
        (".webm", "vp9", 8),
        (".mp4", "mpeg4", 620),
    ):
        out = io.BytesIO()
        form = {".mkv": "matroska"}.get(suffix, suffix[1:])
        with av.open(out, "w", format=form) as container:
            stream = container.add_stream(codec, rate=20)
            stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
            for picture in rng.integers(0, 256, (count, 32, 48, 3), np.uint8):
                smooth = np.ascontiguousarray(picture // 8 + 64)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(smooth, format="rgb24")))
            container.mux(stream.encode())
        yield suffix, out.getvalue()


def arrays(rng: np.random.Generator) -> Iterator[Named]:
    """Volumes in NumPy's files."""
    for array in (rng.normal(size=(4, 5, 6)), rng.integers(0, 9, (2, 4, 4, 4)).astype(">i2")):
        out, packed = io.BytesIO(), io.BytesIO()
        np.save(out, array)
        np.savez_compressed(packed, volume=array, spacing=np.ones(3))
        yield ".npy", out.getvalue()
        yield ".npz", packed.getvalue()


@dataclass(frozen=True)
class Subject:
    """A kind of files: what makes whole ones, and the kind of items in them."""

    make: Callable[[np.random.Generator], Iterator[Named]]
    kind: str


SUBJECTS: Final = {
    "image": Subject(images, "image"),
    "sound": Subject(sounds, "signal"),
    "table": Subject(tables, "signal"),
    "nifti": Subject(nifti, "volume"),
    "dicom": Subject(dicom, "volume"),
    "video": Subject(videos, "volume"),
    "array": Subject(arrays, "volume"),
}
TEXTS: Final = "smiles"


def damaged_files(name: str, count: int, seed: int) -> Iterator[Named]:
    """So many damaged files of a kind, each a function of the seed and its number."""
    whole = list(SUBJECTS[name].make(np.random.default_rng(seed)))
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        suffix, content = whole[number % len(whole)]
        other = whole[int(rng.integers(len(whole)))][1]
        inside = suffix.endswith(".gz") and rng.random() < 0.7
        if suffix.endswith(".gz") and not inside:
            content = gzip.compress(content, 1, mtime=0)
        fault = damaged_text if name == "table" else damaged
        content = fault(content, other, rng)
        yield suffix, gzip.compress(content, 1, mtime=0) if inside else content


def damaged_smiles(count: int, seed: int) -> Iterator[str]:
    """So many damaged SMILES."""
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        text = SMILES[number % len(SMILES)]
        other = SMILES[int(rng.integers(len(SMILES)))]
        for _ in range(int(rng.integers(1, 3))):
            at = int(rng.integers(len(text) + 1))
            piece = str(rng.choice(PIECES)) if rng.random() < 0.7 else other[at % len(other) :]
            text = text[:at] + piece + text[at + int(rng.integers(2)) :]
        yield text if text.strip() else "C("
