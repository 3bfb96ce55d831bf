"""Stores of readings, each read once: what one is, how it is filled, and one for any shapes."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, Generic, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from striate.data.duplicates import first_appearance, text_numbers
from striate.data.sandbox import read_all
from striate.data.source import Item, Note, Reading, Skip, Source
from striate.files import storage_error
from striate.progress import Progress

_ALIGNMENT: Final = 64
_ARRAYS: Final = ("array", "edges", "edge_features")
_EMPTY: Final[NDArray[np.uint8]] = np.empty(0, np.uint8)


class Stack(Sequence[Reading]):
    """Readings of one shape, whose arrays lie in one.

    Args:
        array: (n, channels, *space) Their arrays.
        sha256s: The SHA-256 of each item's bytes as stored.
    """

    def __init__(self, array: NDArray[Any], sha256s: Sequence[str]) -> None:
        self.array = array
        self._sha256s = sha256s

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> Reading: ...

    @overload
    def __getitem__(self, index: slice) -> Stack: ...

    def __getitem__(self, index: int | slice) -> Reading | Stack:
        """One reading, or some of them."""
        if isinstance(index, slice):
            return Stack(self.array[index], self._sha256s[index])
        return Reading(array=self.array[index], sha256=self._sha256s[index])


class Store(ABC):
    """Readings of the items of a data set, kept so that each is read once."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of readings."""

    @abstractmethod
    def __getitem__(self, index: int) -> Reading:
        """The reading at a position."""

    def take(self, indices: Iterable[int] | NDArray[np.int64]) -> Sequence[Reading]:
        """The readings at some positions, in the order given; a `Stack` where it is quicker."""
        return list(self.each(indices))

    def each(self, indices: Iterable[int] | NDArray[np.int64]) -> Iterator[Reading]:
        """The readings at some positions, one after the other."""
        return (self[int(index)] for index in indices)


S = TypeVar("S", bound=Store, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Built(Generic[S]):
    """What came of reading items.

    Attributes:
        store: The readings of the items that could be read.
        items: These items, in the order of the store.
        skipped: The items that were left out, and why.
        notes: Remarks on what was read, one for each code.
        sha256s: The SHA-256 of each item's bytes as stored.
        duplicate_groups: A number for each item, (items,); copies share one.
    """

    store: S
    items: tuple[Item, ...]
    skipped: tuple[Skip, ...]
    notes: tuple[Note, ...]
    sha256s: tuple[str, ...]
    duplicate_groups: NDArray[np.int64]


def without(built: Built[ReadingStore], reasons: Mapping[int, str]) -> Built[ReadingStore]:
    """What was read without the items that do not go with the others.

    Args:
        built: What was read.
        reasons: Why each is left out, by its position in the store.
    """
    kept = [index for index in range(len(built.items)) if index not in reasons]
    gone = {built.items[index].id: reason for index, reason in reasons.items()}
    notes = (
        replace(note, ids=tuple(name for name in note.ids if name not in gone))
        for note in built.notes
        if not (note.ids and set(note.ids) <= set(gone))
    )
    return Built(
        store=built.store.only(kept),
        items=tuple(built.items[index] for index in kept),
        skipped=(*built.skipped, *(Skip(id=name, reason=why) for name, why in gone.items())),
        notes=tuple(notes),
        sha256s=tuple(built.sha256s[index] for index in kept),
        duplicate_groups=first_appearance(built.duplicate_groups[kept]),
    )


class ReadingPass:
    """One pass over the items of a source, which keeps account of what became of each.

    Args:
        source: The source that the items belong to.
        items: Items of `source.listing`.
        size: The shorter side wanted, in pixels (see `Source.read`).
        progress: The progress that is told of the work.
        workers: The number of items read at the same time; one for each core by default.
    """

    def __init__(
        self,
        source: Source,
        items: Sequence[Item],
        size: int | None,
        progress: Progress,
        workers: int | None,
    ) -> None:
        self._reading = read_all(source, items, size, workers)
        self._total, self._progress = len(items), progress
        self.items: list[Item] = []
        self.sha256s: list[str] = []
        self.skipped: list[Skip] = []
        self._notes: list[Note] = []

    def readings(self) -> Iterator[Reading]:
        """The readings of the items that can be read, in their order."""
        with self._progress.track("reading", self._total) as tracker:
            for item, reading in self._reading:
                if isinstance(reading, Skip):
                    self.skipped.append(reading)
                else:
                    yield reading
                    self.items.append(item)
                    self.sha256s.append(reading.sha256)
                    self._notes += reading.notes
                tracker.advance()

    def notes(self) -> tuple[Note, ...]:
        """The remarks on what was read: one for each code, with the ids of all its items."""
        by_code: defaultdict[str, list[Note]] = defaultdict(list)
        for note in self._notes:
            by_code[note.code].append(note)
        return tuple(map(_joined, by_code.values()))


def _joined(notes: Sequence[Note]) -> Note:
    first, count = notes[0], len(notes)
    message = first.message if count == 1 else f"{count} items, for one: {first.message}"
    ids = tuple(dict.fromkeys(name for note in notes for name in note.ids))
    return replace(first, message=message, ids=ids)


class _Place(NamedTuple):
    """Where an array lies in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class _Entry(NamedTuple):
    """A reading without its arrays, and the places of these by their names."""

    reading: Reading
    places: Mapping[str, _Place]


class ReadingStore(Store):
    """Readings in one file that is gone with the process.

    The file has no name once it is written, so that nothing is left behind by a kill.

    Args:
        memory: The file's bytes.
        entries: Where each reading is in the file.
    """

    def __init__(self, memory: NDArray[np.uint8], entries: Sequence[_Entry]) -> None:
        self._memory = memory
        self._entries = tuple(entries)

    @classmethod
    def build(
        cls,
        source: Source,
        items: Sequence[Item],
        folder: Path,
        progress: Progress | None = None,
        workers: int | None = None,
    ) -> Built[ReadingStore]:
        """Read items once; copies are items of the same content.

        Args:
            source: The source that the items belong to.
            items: Items of `source.listing`.
            folder: The folder of the file; made if it is not there.
            progress: The progress that is told of the work.
            workers: The number of items read at the same time.

        Raises:
            StorageError: The readings cannot be written.
        """
        taken = ReadingPass(source, items, None, progress or Progress(quiet=True), workers)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                writer = _Writer(file)
                for reading in taken.readings():
                    writer.add(reading)
                store = cls(writer.mapped(), writer.entries)
        except OSError as error:
            raise storage_error(folder / "readings", None, error) from error
        return Built(
            store=store,
            items=tuple(taken.items),
            skipped=tuple(taken.skipped),
            notes=taken.notes(),
            sha256s=tuple(taken.sha256s),
            duplicate_groups=text_numbers(taken.sha256s),
        )

    def only(self, indices: Sequence[int]) -> ReadingStore:
        """The store of some of the readings, in the order given, on the same file."""
        return ReadingStore(self._memory, [self._entries[index] for index in indices])

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Reading:
        """One reading; its arrays are views of the file, and what is written to them is not kept."""
        reading, places = self._entries[index]
        arrays: dict[str, Any] = {
            name: np.ndarray(place.shape, place.dtype, self._memory, place.offset)
            for name, place in places.items()
        }
        return replace(reading, **arrays)


class _Writer:
    """Appends readings to a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length = 0
        self.entries: list[_Entry] = []

    def add(self, reading: Reading) -> None:
        """Append one reading."""
        arrays = {name: getattr(reading, name) for name in _ARRAYS}
        places = {n: self._append(array) for n, array in arrays.items() if array is not None}
        rest = replace(reading, array=_EMPTY, edges=None, edge_features=None, notes=())
        self.entries.append(_Entry(rest, places))

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
