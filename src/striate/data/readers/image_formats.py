"""Which image formats are read and which are refused, and how each is known by its first bytes.

Every format of Pillow's registry is in `FORMATS` or has a reason in `NOT_PICTURES`; a test says so.
"""

from __future__ import annotations

from typing import Final

FORMATS: Final = {
    "AVIF": (".avif", ".avifs"),
    "BLP": (".blp",),
    "BMP": (".bmp",),
    "CUR": (".cur",),
    "DCX": (".dcx",),
    "DDS": (".dds",),
    "DIB": (".dib",),
    "FITS": (".fit", ".fits"),
    "FLI": (".fli", ".flc"),
    "FTEX": (".ftc", ".ftu"),
    "GBR": (".gbr",),
    "GIF": (".gif",),
    "HEIC": (".heic", ".heif", ".hif"),
    "ICNS": (".icns",),
    "ICO": (".ico",),
    "IM": (".im",),
    "IMT": (".imt",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c"),
    "MCIDAS": (),
    "MSP": (".msp",),
    "PCD": (".pcd",),
    "PCX": (".pcx",),
    "PIXAR": (".pxr",),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "PSD": (".psd",),
    "QOI": (".qoi",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "SPIDER": (".spi", ".spider"),
    "SUN": (".ras",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "XBM": (".xbm",),
    "XPM": (".xpm",),
    "XVTHUMB": (),
}
"""Formats that are decoded, and the suffixes each goes by."""

UNSIGNED: Final = frozenset({"IM", "IMT", "PCD", "SPIDER", "TGA"})
"""Formats without a signature that tells them from text: tried where the suffix says so, alone."""

HEIF: Final = "HEIF"
"""The name that pillow-heif gives to HEIC pictures."""

NOT_PICTURES: Final = {
    "BUFR": "weather data that Pillow only recognizes",
    "EPS": "a vector drawing",
    "GRIB": "weather data that Pillow only recognizes",
    "HDF5": "arrays that Pillow only recognizes",
    "IPTC": "no signature; news-agency data around a picture",
    "MPEG": "a video",
    "WMF": "a vector drawing",
}
"""Formats of Pillow's registry that are not decoded, and why."""


REFUSED: Final = {
    "camera RAW": (
        (".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw",
         ".orf", ".pef", ".raf", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
        "develop it to JPEG, PNG or TIFF first",
    ),
    "EPS": ((".eps",), "a vector drawing; export it as PNG"),
    "JPEG XL": ((".jxl",), "convert it to PNG"),
    "PDF": ((), "export its pages as PNG"),
    "SVG": ((".svg",), "a vector drawing; export it as PNG"),
    "WMF": ((".emf", ".wmf"), "a vector drawing; export it as PNG"),
}  # fmt: skip
"""Formats of pictures that are not decoded: their suffixes, which are listed and refused rather than
overlooked, and what the user can do."""

DICOM_SUFFIXES: Final = (".dcm", ".dicom")

IMAGE_SUFFIXES: Final = frozenset(
    suffix
    for suffixes in (*FORMATS.values(), *(suffixes for suffixes, _ in REFUSED.values()))
    for suffix in suffixes
) | frozenset(DICOM_SUFFIXES)

_SIGNATURES: Final = (
    # Its preamble may be anything: writers make it a TIFF head, so that viewers of those open it.
    (128, b"DICM", "DICOM"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0\x10\0\0\0CR", "camera RAW"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (8, b"WEBP", "WEBP"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypcrx", "camera RAW"),
    (0, b"IIRO", "camera RAW"),
    (0, b"IIRS", "camera RAW"),
    (0, b"MMOR", "camera RAW"),
    (0, b"IIU\0", "camera RAW"),
    (0, b"FUJIFILMCCD-RAW", "camera RAW"),
    (0, b"FOVb", "camera RAW"),
    (4, b"jP  \r\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (4, b"JXL \r\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"%!PS", "EPS"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"),
    (40, b" EMF", "WMF"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"8BPS", "PSD"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"BLP1", "BLP"),
    (0, b"BLP2", "BLP"),
    (0, b"DDS ", "DDS"),
    (0, b"FTEX", "FTEX"),
    (0, b"icns", "ICNS"),
    (0, b"qoif", "QOI"),
    (0, b"\x01\xda", "SGI"),
    (0, b"\x59\xa6\x6a\x95", "SUN"),
    (0, b"/* XPM */", "XPM"),
    (0, b"DanM", "MSP"),
    (0, b"LinS", "MSP"),
    (0, b"\0\0\1\0", "ICO"),
)
"""Offset and first bytes of the formats that a refusal can name."""


def sniff(content: bytes) -> str | None:
    """The name of the image format whose first bytes these are; None where none is known."""
    for offset, magic, name in _SIGNATURES:
        if content.startswith(magic, offset):
            return name
    return None


def format_named(suffix: str) -> str | None:
    """The format that files of a suffix, in lower case, are to be of; None where none is known."""
    known = {**FORMATS, **{name: suffixes for name, (suffixes, _) in REFUSED.items()}}
    return next((name for name, suffixes in known.items() if suffix in suffixes), None)


def refusal(name: str) -> str:
    """Why a format is not decoded, with the remedy where there is one."""
    remedy = REFUSED[name][1] if name in REFUSED else NOT_PICTURES.get(name, "")
    return f"format not supported: {name}" + (f"; {remedy}" if remedy else "")
