"""IDX pairs, the layout of MNIST: `train-images-idx3-ubyte` with `train-labels-idx1-ubyte`.

Format: two zero bytes, the type (8 is uint8), the number of axes, each axis as a big-endian
uint32, then the values. (LeCun, Cortes, Burges: The MNIST database.)
"""

from __future__ import annotations

import gzip
import io
import math
import re
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import existing_path, is_folder
from striate.data.layouts.arrays import ArraySource
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.readers.content import opened, refusing
from striate.data.readers.npy import check_expansion
from striate.data.source import Source, UnreadableItem
from striate.errors import DataError
from striate.typing import SplitName

_IMAGES: Final = re.compile(r"(?P<part>.*?)-?images[-.]idx3-ubyte(?:\.gz)?", re.IGNORECASE)
_SPLITS: Final[dict[str, SplitName]] = {"train": "train", "t10k": "test", "test": "test"}


def open_idx(path: str | Path) -> Source:
    """The images of an IDX pair, or of the training and the test pair of a folder.

    Args:
        path: The folder, or the file with the images.

    Raises:
        DataError: There is no such file, no labels beside it, or a header does not fit the file.
    """
    path = existing_path(Path(path))
    files = _image_files(path) if path.is_dir() else [path]
    images = [read_idx(file, num_axes=3) for file in files]
    labels = [read_idx(_labels_beside(file), num_axes=1) for file in files]
    splits = [_SPLITS.get(_part(file)) if len(files) > 1 else None for file in files]
    if len({array.shape[1:] for array in images}) > 1:
        raise DataError(f"the splits of {path} have images of different sizes")
    return ArraySource(
        np.concatenate(images),
        np.concatenate(labels),
        splits=[split for split, array in zip(splits, images, strict=True) for _ in array],
        name=str(path),
    )


def read_idx(path: Path, num_axes: int) -> NDArray[np.uint8]:
    """One IDX file of uint8, compressed by gzip or not.

    Raises:
        DataError: The file is of another type or number of axes, or holds less or more data than
            its header says.
    """
    with refusing(path), opened(path) as stored:
        packed = path.suffix.lower() == ".gz"
        try:
            with gzip.open(stored) if packed else stored as file:
                return _values(file, num_axes, path.stat().st_size)
        except (EOFError, zlib.error) as error:
            raise UnreadableItem(str(error)) from error


def _values(file: io.BufferedIOBase, num_axes: int, stored: int) -> NDArray[np.uint8]:
    """The array of an open file that takes so many bytes on the disk."""
    header = file.read(4 + 4 * num_axes)
    if header[:4] != bytes([0, 0, 8, num_axes]) or len(header) < 4 + 4 * num_axes:
        begin = header[:4].hex() or "nothing"
        raise UnreadableItem(f"no IDX file of uint8 with {num_axes} axes: it begins with {begin}")
    shape = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
    length = math.prod(shape)
    check_expansion(length, stored)
    values = file.read(length + 1)
    if len(values) != length:
        held = "more" if len(values) > length else len(values)
        raise UnreadableItem(f"shape {shape} needs {length} bytes and there are {held}")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _labels_beside(images: Path) -> Path:
    name = images.name.replace("images", "labels").replace("idx3", "idx1")
    for candidate in (name, name.removesuffix(".gz"), f"{name}.gz"):
        if (images.parent / candidate).is_file() and candidate != images.name:
            return images.parent / candidate
    raise DataError(f"{images} has no labels beside it", why=f"{name} is not there")


def _image_files(folder: Path) -> list[Path]:
    """The image files of a folder, one for each split."""
    found = sorted(entry for entry in folder.iterdir() if _IMAGES.fullmatch(entry.name))
    return list({_part(entry): entry for entry in found}.values())


def _part(images: Path) -> str:
    match = _IMAGES.fullmatch(images.name)
    return match["part"].lower() if match else ""


def _matches(data: str) -> bool:
    path = Path(data)
    return bool(_image_files(path)) if is_folder(data) else bool(_IMAGES.fullmatch(path.name))


LAYOUTS.add(
    "idx",
    Layout(
        "an IDX pair (NAME-images-idx3-ubyte with NAME-labels-idx1-ubyte, .gz or not)",
        _matches,
        open_idx,
    ),
)
