"""`striate pack`: any data set as shards."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from striate.data.layouts.shards.contents import SUFFIX, packed
from striate.data.layouts.shards.index import INDEX, READING, Index, Place, Shard, table_content
from striate.data.readers.reader import READERS
from striate.data.sandbox import DecoderPool, read_item
from striate.data.source import Item, Skip, Source, UnreadableItem
from striate.errors import DataError, OptionError
from striate.files import (
    atomic_file,
    check_output_folder,
    mark_output,
    missing_folders,
    os_reason,
    remove_empty,
    sha256,
    size_text,
    storage_error,
    write_atomic,
)
from striate.progress import Progress

SHARD_BYTES: Final = 256_000_000
"""Size of a shard, about: few enough files, and small enough to be fetched again where it is damaged."""

_BLOCK: Final = 512


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What was packed.

    Attributes:
        folder: The folder of the shards.
        index: Their index.
    """

    folder: Path
    index: Index

    @property
    def num_items(self) -> int:
        """Number of all items."""
        return sum(shard.num_items for shard in self.index.shards)

    def as_json(self) -> dict[str, Any]:
        """The document of `striate pack --json`."""
        return {
            "folder": str(self.folder),
            "items": self.num_items,
            "skipped": [{"id": skip.id, "reason": skip.reason} for skip in self.index.skipped],
            "shards": [
                {"name": s.name, "items": s.num_items, "bytes": s.size, "sha256": s.sha256}
                for s in self.index.shards
            ],
        }

    def as_text(self) -> str:
        """The lines for a person."""
        size = size_text(sum(shard.size for shard in self.index.shards))
        count = len(self.index.shards)
        shards = f"{count} shard{'s' * (count != 1)}"
        lines = [f"{self.num_items} items in {shards} of together {size}: {self.folder}"]
        lines += [f"left out {skip.id}: {skip.reason}" for skip in self.index.skipped]
        return "\n".join(lines)


def pack(
    source: Source, out: Path, *, shard_bytes: int = SHARD_BYTES, progress: Progress | None = None
) -> Packed:
    """Write a data set as shards, the same bytes every time.

    A shard is a tar file in which an item is two members of one name: `.json` with its id, label,
    target, split and group, and its file as it is, whatever it holds; or an .npz file with its
    arrays where it has no file of its own. The items stay in their order. The index is written last.

    Args:
        source: The data.
        out: The folder to write to, new or empty.
        shard_bytes: The size of a shard, about, in bytes.
        progress: Told of the work.

    Raises:
        OptionError: The folder is one of the data, or holds something.
        DataError: The items are nodes of one graph.
        StorageError: Something cannot be written.
    """
    made = missing_folders(out)
    _prepare(source, out)
    writer = _Writer(out, shard_bytes)
    pool = DecoderPool()
    skipped = list(source.listing.skipped)
    try:
        with (progress or Progress(quiet=True)).track(
            "packing", len(source.listing.items)
        ) as tracker:
            for item in source.listing.items:
                try:
                    writer.add(item, *_content(source, item, pool))
                except UnreadableItem as error:
                    skipped.append(Skip(id=item.id, reason=error.reason))
                tracker.advance()
        writer.end()
    except BaseException:
        remove_empty(made)
        raise
    finally:
        pool.close()
    index = Index(
        kind=source.kind,
        name=source.name,
        shards=tuple(writer.shards),
        skipped=tuple(skipped),
        notes=source.listing.notes,
        conventions=source.conventions,
        nouns=source.nouns,
    )
    write_atomic(out / INDEX, index.content())
    return Packed(folder=out, index=index)


def _prepare(source: Source, out: Path) -> None:
    """Make the folder; what is left there of a packing that was not finished is replaced."""
    check_output_folder(out, [source.name], "out")
    try:
        if (out / INDEX).exists():
            raise OptionError(
                "out", str(out), why="there are shards already", fix="choose a new folder"
            )
        mark_output(out)
    except OSError as error:
        raise storage_error(out, None, error) from None
    ours = tuple(f"{stem}{end}" for stem in ("shard-*", ".shard-*") for end in ("", ".*"))
    left = {path for pattern in ours for path in out.glob(pattern)}
    others = sorted(path.name for path in out.iterdir() if path not in left and path.name[0] != ".")
    if others:
        why = f"it holds files that are no shards, as {others[0]}"
        raise OptionError("out", str(out), why=why, fix="choose a new folder")
    for path in left:
        path.unlink()


def _content(source: Source, item: Item, pool: DecoderPool) -> tuple[str, str, bytes]:
    """The reader of an item, the end of its name in the shard, and what it holds.

    Raises:
        UnreadableItem: It cannot be read.
    """
    stored = source.stored(item)
    if stored is not None:
        suffix = stored.suffix or next(iter(READERS.get(stored.reader).suffixes), ".bin")
        if isinstance(stored.content, bytes):
            return stored.reader, suffix, stored.content
        try:
            return stored.reader, suffix, stored.content.read_bytes()
        except OSError as error:
            raise UnreadableItem(os_reason(error)) from error
    reading = read_item(source, item, None, pool)
    if reading.graph is not None:
        raise DataError(
            f"{source.name} cannot be packed", why="its items are nodes of one graph, which is one"
        )
    return READING, SUFFIX, packed(reading)


@dataclass
class _Hashed:
    """A file that is hashed while it is written."""

    file: BinaryIO
    digest: Any = field(default_factory=hashlib.sha256)
    size: int = 0

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        self.size += len(content)
        return self.file.write(content)

    def tell(self) -> int:
        return self.size


class _Writer:
    """Writes items into one shard after the other.

    Args:
        out: The folder.
        shard_bytes: The size of a shard, about.
    """

    def __init__(self, out: Path, shard_bytes: int) -> None:
        self._out, self._shard_bytes = out, shard_bytes
        self._count = 0
        self._waiting: list[tuple[Item, str, str, bytes]] = []
        self._waiting_bytes = 0
        self.shards: list[Shard] = []

    def add(self, item: Item, reader: str, suffix: str, content: bytes) -> None:
        """Append an item."""
        size = len(content) + 3 * _BLOCK
        if self._waiting and self._waiting_bytes + size > self._shard_bytes:
            self.end()
        self._waiting.append((item, reader, suffix, content))
        self._waiting_bytes += size

    def end(self) -> None:
        """Write the shard of what was added."""
        if not self._waiting:
            return
        number = len(self.shards)
        name = f"shard-{number:06}.tar"
        places = []
        with atomic_file(self._out / name, self._waiting_bytes) as file:
            hashed = _Hashed(file)
            with tarfile.open(fileobj=hashed, mode="w", format=tarfile.GNU_FORMAT) as tar:  # type: ignore[call-overload]  # it only writes
                for item, reader, suffix, content in self._waiting:
                    key = f"{self._count:010}"
                    _append(tar, f"{key}.json", _facts(item))
                    offset = _append(tar, f"{key}{suffix}", content)
                    places.append(
                        Place(
                            shard=number,
                            offset=offset,
                            size=len(content),
                            sha256=hashlib.sha256(content).digest(),
                            reader=reader,
                            suffix=suffix,
                        )
                    )
                    self._count += 1
        table = table_content([item for item, *_ in self._waiting], places)
        table_name = f"shard-{number:06}.json"
        write_atomic(self._out / table_name, table)
        self.shards.append(
            Shard(
                name=name,
                size=hashed.size,
                sha256=hashed.digest.hexdigest(),
                num_items=len(places),
                table=table_name,
                table_sha256=sha256(table),
            )
        )
        self._waiting, self._waiting_bytes = [], 0


def _append(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Append a member; where its content begins."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    offset = tar.offset + _BLOCK
    tar.addfile(info, io.BytesIO(content))
    return offset


def _facts(item: Item) -> bytes:
    """What is known of an item, for those who read the shards without the index."""
    known = {
        "id": item.id,
        "label": item.label,
        "target": item.target,
        "split": item.split,
        "group": item.group,
        **({"extra": dict(item.extra)} if item.extra else {}),
    }
    told = {name: value for name, value in known.items() if value is not None}
    return json.dumps(told).encode()
