"""Items and answers in NumPy's files: an .npz with X and y, or a pair of .npy files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.folder_walk import existing_path, is_folder
from striate.data.layouts.arrays import arrays_source
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.readers.content import refusing
from striate.data.readers.npy import opened_npz, read_npy
from striate.data.source import Source
from striate.errors import DataError
from striate.typing import Kind, SplitName

NAMES: Final[tuple[tuple[str, str, SplitName | None], ...]] = (
    ("x", "y", None),
    ("images", "labels", None),
    ("x_train", "y_train", "train"),
    ("x_val", "y_val", "val"),
    ("x_test", "y_test", "test"),
    ("train_images", "train_labels", "train"),
    ("val_images", "val_labels", "val"),
    ("test_images", "test_labels", "test"),
)
"""Names that items and answers go by, in lower case, and the split they are."""

EXTRAS: Final = ("kind", "sample_rate", "spacing", "groups", "values")
"""Names of further arrays that say something of the items, in lower case."""

NPZ: Final = ".npz"

_Arrays = Mapping[str, Callable[[], NDArray[Any]]]
"""How each array of a file or a folder is read, by its name in lower case."""


def open_npz(path: str | Path, kind: Kind | None = None) -> Source:
    """The items and answers of an .npz file, under one of the pairs of `NAMES`.

    Args:
        path: The file.
        kind: What the items are; by default that follows from an array `kind` in the file, or from
            the axes (see `arrays_source`).

    Raises:
        DataError: There is no such file, there are no such arrays, objects instead of numbers, a
            header that does not fit the file, or an archive that expands beyond reason.
    """
    path = existing_path(Path(path))
    with refusing(path), opened_npz(path) as arrays:
        return _open_pairs(path, arrays, kind)


def holds_pair(path: Path) -> bool:
    """Whether an .npz file has items and answers under one of the pairs of `NAMES`."""
    with refusing(path), opened_npz(path) as arrays:
        return any(x in arrays and y in arrays for x, y, _ in NAMES)


def items_of_npz(path: Path) -> list[NDArray[Any]]:
    """The items of an .npz file, whatever their answers: under the names of `NAMES`, or the one array.

    Raises:
        DataError: There are no such arrays, or as `open_npz`.
    """
    with refusing(path), opened_npz(path) as arrays:
        found = [x for x, _, _ in NAMES if x in arrays] or (
            list(arrays) if len(arrays) == 1 else []
        )
        if not found:
            raise DataError(
                f"{path} has no items", why=f"its arrays are {', '.join(arrays)}", fix="name them X"
            )
        return [arrays[name]() for name in found]


def open_npy_pair(path: str | Path, kind: Kind | None = None) -> Source:
    """The items and answers of two .npy files of a folder, mapped rather than read.

    Args:
        path: The folder, or the file with the items.
        kind: As of `open_npz`.

    Raises:
        DataError: As `open_npz`.
    """
    path = existing_path(Path(path))
    files = _npy_files(path if path.is_dir() else path.parent)
    if not path.is_dir():
        answers = next((y for x, y, _ in NAMES if x == path.stem.lower()), "y")
        if answers not in files:
            raise DataError(
                f"{path} has no labels beside it",
                why=f"{answers}.npy is not in {path.parent}",
                fix="save items and labels as X.npy and y.npy in one folder",
            )
        extras: dict[str, Path] = {name: files[name] for name in EXTRAS if name in files}
        files = {"x": path, "y": files[answers], **extras}
    arrays = {name: partial(read_npy, file) for name, file in files.items()}
    return _open_pairs(path, arrays, kind)


def _open_pairs(path: Path, arrays: _Arrays, kind: Kind | None) -> Source:
    """The source of every pair of items and answers among some arrays."""

    def read(name: str) -> NDArray[Any]:
        with refusing(f"{name} of {path}"):
            return arrays[name]()

    pairs = [(read(x), read(y), split) for x, y, split in NAMES if x in arrays and y in arrays]
    if not pairs:
        raise DataError(
            f"{path} has no items with labels",
            why=f"its arrays are {', '.join(arrays) or 'none'}",
            fix="name them X and y, or X_train, y_train, X_test, y_test",
        )
    shapes = {items.shape[1:] for items, _, _ in pairs}
    if len(shapes) > 1:
        raise DataError(f"the splits of {path} have different shapes: {sorted(shapes)}")
    extras = {name: read(name) for name in EXTRAS if name in arrays}
    return arrays_source(
        _joined([items for items, _, _ in pairs]),
        _joined([answers for _, answers, _ in pairs]),
        name=str(path),
        splits=[split for items, _, split in pairs for _ in range(len(items))],
        extras=extras if kind is None else {**extras, "kind": np.array(kind)},
    )


def _joined(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Arrays one behind the other; a single one stays mapped."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _npy_files(folder: Path) -> dict[str, Path]:
    return {entry.stem.lower(): entry for entry in sorted(folder.glob("*.npy"))}


def _holds_npy_pair(data: str) -> bool:
    if not is_folder(data):
        return Path(data).suffix.lower() == ".npy"
    names = _npy_files(Path(data))
    return any(x in names and y in names for x, y, _ in NAMES)


LAYOUTS.add(
    "npz",
    Layout(
        "an .npz file with the arrays X and y",
        lambda data: Path(data).suffix.lower() == NPZ and not is_folder(data),
        open_npz,
        open_as=open_npz,
    ),
)
LAYOUTS.add(
    "npy",
    Layout("a pair X.npy and y.npy", _holds_npy_pair, open_npy_pair, open_as=open_npy_pair),
)
