"""One file or series read by itself, to see what Striate makes of it."""

from __future__ import annotations

from pathlib import Path

from striate.data.folder_walk import existing_path
from striate.data.readers.reader import READERS, FileSource, kind_of_files
from striate.data.sandbox import read_all
from striate.data.source import Item, Listing, Reading, Skip, load_formats
from striate.errors import DataError, UnknownNameError
from striate.typing import Kind, PathLike


def read(path: PathLike, kind: Kind | None = None) -> Reading:
    """What Striate reads of one file, or of one folder that is a series (slices, frames).

    Args:
        path: The file or the folder.
        kind: What it holds: "image", "signal", "volume" and so on. By default the name and the
            head of the file decide, as they do in a fit.

    Returns:
        The reading: `array`, channels first; `spacing`, the distance between samples where it is
        known; `notes`, what was decided on the way.

    Raises:
        DataError: There is no such file, or it cannot be read; the message says why.
        UnknownNameError: There is no such kind.

    >>> import numpy as np, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "image.npy"
    >>> np.save(path, np.zeros((64, 64, 5), np.uint16))
    >>> reading = read(path)
    >>> reading.array.shape, str(reading.array.dtype)
    ((5, 64, 64), 'uint16')
    """
    load_formats()
    path = existing_path(Path(path))
    kinds = sorted({reader.kind for _, reader in READERS.items()})
    if kind is not None and kind not in kinds:
        raise UnknownNameError("kind of files", kind, kinds)
    item = Item(id=path.name)
    source = FileSource(
        kind or kind_of_files([path]), str(path), Listing(items=(item,)), {item.id: path}
    )
    _, reading = next(iter(read_all(source, [item], None, workers=1)))
    if isinstance(reading, Skip):
        raise DataError(f"cannot read {path}", why=reading.reason)
    return reading
