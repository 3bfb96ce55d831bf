"""Readings kept on disk while a job runs: any shapes, mapped into memory when asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data.sandbox import read_all
from striate.data.source import Item, Note, Reading, Skip, Source
from striate.errors import StorageError
from striate.files import storage_error
from striate.progress import Progress

_ALIGNMENT = 64


class _Place(NamedTuple):
    """Where an array lies in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """One reading: its arrays' places, and what is small enough to keep."""

    array: _Place
    edges: _Place | None
    edge_features: _Place | None
    sha256: str
    spacing: tuple[float, ...]


class ReadingStore:
    """Readings in one file that is gone with the process.

    The file has no name once it is written, so that nothing is left behind by a kill.

    Args:
        memory: the file's bytes.
        entries: of each reading.
    """

    def __init__(self, memory: NDArray[np.uint8], entries: Sequence[_Entry]) -> None:
        self._memory = memory
        self._entries = tuple(entries)

    @classmethod
    def build(
        cls,
        source: Source,
        items: Iterable[Item],
        folder: Path,
        progress: Progress | None = None,
        workers: int | None = None,
    ) -> Built:
        """Read items once.

        Args:
            source: what the items belong to.
            items: items of `source.listing`.
            folder: where the file is; made if it is not there.
            progress: is told of the work.
            workers: threads that read.

        Raises:
            StorageError: the readings cannot be written.
        """
        items = tuple(items)
        progress = progress or Progress(quiet=True)
        kept: list[Item] = []
        skipped: list[Skip] = []
        notes: list[Note] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                writer = _Writer(file)
                with progress.track("reading", len(items), "items") as tracker:
                    for item, reading in read_all(source, items, None, workers):
                        if isinstance(reading, Skip):
                            skipped.append(reading)
                        else:
                            kept.append(item)
                            notes += reading.notes
                            writer.add(reading)
                        tracker.advance()
                store = cls(writer.mapped(), writer.entries)
        except OSError as error:
            raise _not_written(folder, error) from error
        return Built(store=store, items=tuple(kept), skipped=tuple(skipped), notes=tuple(notes))

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Reading:
        """One reading; its arrays are views of the file, and what is written to them is not kept."""
        entry = self._entries[index]
        return Reading(
            array=self._view(entry.array),
            sha256=entry.sha256,
            spacing=entry.spacing,
            edges=None if entry.edges is None else self._view(entry.edges),
            edge_features=None if entry.edge_features is None else self._view(entry.edge_features),
        )

    def take(self, indices: Iterable[int] | NDArray[np.int64]) -> list[Reading]:
        """Some readings, in the order asked for."""
        return [self[int(index)] for index in indices]

    def each(self, indices: Iterable[int] | NDArray[np.int64]) -> Iterator[Reading]:
        """Some readings, one after the other."""
        return (self[int(index)] for index in indices)

    def _view(self, place: _Place) -> NDArray[Any]:
        size = int(np.prod(place.shape, dtype=np.int64)) * place.dtype.itemsize
        return (
            self._memory[place.offset : place.offset + size].view(place.dtype).reshape(place.shape)
        )


@dataclass(frozen=True, kw_only=True)
class Built:
    """What came of reading: the store, the items in it, and what was left out or remarked."""

    store: ReadingStore
    items: tuple[Item, ...]
    skipped: tuple[Skip, ...]
    notes: tuple[Note, ...]


class _Writer:
    """Appends readings to a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length = 0
        self.entries: list[_Entry] = []

    def add(self, reading: Reading) -> None:
        """Append one reading."""
        self.entries.append(
            _Entry(
                array=self._append(reading.array),
                edges=None if reading.edges is None else self._append(reading.edges),
                edge_features=(
                    None if reading.edge_features is None else self._append(reading.edge_features)
                ),
                sha256=reading.sha256,
                spacing=reading.spacing,
            )
        )

    def mapped(self) -> NDArray[np.uint8]:
        """Everything written, as memory whose pages are copied where they are changed."""
        if not self._length:
            return np.empty(0, np.uint8)
        self._file.flush()
        return np.memmap(self._file, np.uint8, "c", shape=(self._length,))

    def _append(self, array: NDArray[Any]) -> _Place:
        place = _Place(self._length, array.shape, array.dtype)
        data = np.ascontiguousarray(array)
        padding = -data.nbytes % _ALIGNMENT
        self._file.write(data.data if data.nbytes else b"")
        self._file.write(bytes(padding))
        self._length += data.nbytes + padding
        return place


def _not_written(folder: Path, error: OSError) -> StorageError:
    needed = 0 if not folder.is_dir() else os.statvfs(folder).f_frsize
    return storage_error(folder / "readings", needed, error)
