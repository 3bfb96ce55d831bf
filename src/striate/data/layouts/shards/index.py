"""The index of shards: `index.json`, and for each shard a table of its items.

`index.json` has the form of WebDataset's index for random access (`wids`), and beside that what a
data set is besides its items. It holds its own SHA-256 and that of every other file, and the table of
a shard that of each item, so that a changed bit is found wherever it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from striate.data.source import Item, Note, Skip
from striate.errors import DataError
from striate.files import read_sealed_json, sealed_json, sha256

INDEX: Final = "index.json"
FORMAT: Final = 1

READING: Final = "reading"
"""In place of a reader's name: the item is not a file but arrays, as `contents.packed` writes them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One tar file.

    Attributes:
        name: Name of the file.
        size: Number of its bytes.
        sha256: The SHA-256 of its bytes.
        num_items: Number of its items.
        table: Name of the table of its items.
        table_sha256: The SHA-256 of that.
    """

    name: str
    size: int
    sha256: str
    num_items: int
    table: str
    table_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an item's content lies, and how it is read.

    Attributes:
        shard: Number of the shard.
        offset: Where in the shard it begins, in bytes.
        size: Number of its bytes.
        sha256: The SHA-256 of its bytes.
        reader: Name of the file format, or `READING`.
        suffix: The end of the member's name.
    """

    shard: int
    offset: int
    size: int
    sha256: bytes
    reader: str
    suffix: str


@dataclass(frozen=True, kw_only=True)
class Index:
    """What a data set in shards is besides its items.

    Attributes:
        kind: Name of the kind of the items.
        name: Name of the data that were packed.
        shards: The tar files.
        skipped: What could not be packed, and why.
        notes: What a user should know of the data.
        conventions: See `Source.conventions`.
        nouns: See `Source.nouns`.
    """

    kind: str
    name: str
    shards: tuple[Shard, ...]
    skipped: tuple[Skip, ...]
    notes: tuple[Note, ...]
    conventions: Mapping[str, Any]
    nouns: tuple[str, str] | None

    def content(self) -> bytes:
        """The content of `index.json`."""
        shards = [
            {
                "url": shard.name,
                "nsamples": shard.num_items,
                "filesize": shard.size,
                "sha256": shard.sha256,
                "items": shard.table,
                "items_sha256": shard.table_sha256,
            }
            for shard in self.shards
        ]
        about = {
            "format": FORMAT,
            "kind": self.kind,
            "conventions": dict(self.conventions),
            "nouns": self.nouns,
            "skipped": [asdict(skip) for skip in self.skipped],
            "notes": [asdict(note) for note in self.notes],
        }
        return sealed_json(
            {"wids_version": 1, "name": self.name, "shardlist": shards, "striate": about}
        )

    @classmethod
    def read(cls, content: bytes, where: str) -> Index:
        """The index in the content of `index.json`.

        Args:
            content: What the file holds.
            where: Its path, for messages.

        Raises:
            DataError: It is damaged, or of another version.
        """
        document = read_sealed_json(content)
        if document is None:
            raise DataError(f"{where} is damaged", why="it is not as it was written", fix=_AGAIN)
        about = document.get("striate", {})
        if about.get("format") != FORMAT:
            why = f"it is of format {about.get('format')!r}, and this Striate reads {FORMAT}"
            raise DataError(f"cannot read {where}", why=why)
        return cls(
            kind=about["kind"],
            name=document["name"],
            shards=tuple(map(_shard, document["shardlist"])),
            skipped=tuple(Skip(**skip) for skip in about["skipped"]),
            notes=tuple(Note(**{**note, "ids": tuple(note["ids"])}) for note in about["notes"]),
            conventions=about["conventions"],
            nouns=tuple(about["nouns"]) if about["nouns"] else None,
        )


_AGAIN: Final = "copy it again, or pack the data again"


def is_index(head: bytes) -> bool:
    """Whether a file begins as an index of shards does."""
    return head.lstrip(b"{ \r\n").startswith(b'"wids_version"')


def _shard(entry: Mapping[str, Any]) -> Shard:
    return Shard(
        name=entry["url"],
        size=entry["filesize"],
        sha256=entry["sha256"],
        num_items=entry["nsamples"],
        table=entry["items"],
        table_sha256=entry["items_sha256"],
    )


def table_content(items: Sequence[Item], places: Sequence[Place]) -> bytes:
    """The table of a shard, a column for each fact: shorter than an object for each item."""
    columns: dict[str, list[Any]] = {
        "id": [item.id for item in items],
        "label": [item.label for item in items],
        "target": [item.target for item in items],
        "split": [item.split for item in items],
        "group": [item.group for item in items],
        "extra": [dict(item.extra) for item in items],
        "reader": [place.reader for place in places],
        "suffix": [place.suffix for place in places],
        "offset": [place.offset for place in places],
        "size": [place.size for place in places],
        "sha256": [place.sha256.hex() for place in places],
    }
    empty = {"label", "target", "split", "group", "extra"}
    kept = {name: c for name, c in columns.items() if name not in empty or any(map(_known, c))}
    return json.dumps(kept, separators=(",", ":"), allow_nan=False).encode()


def _known(value: Any) -> bool:
    return value is not None and value != {}


def read_table(
    content: bytes, number: int, shard: Shard, where: str
) -> Iterator[tuple[Item, Place]]:
    """The items of a shard with their places.

    Args:
        content: What its table's file holds.
        number: Number of the shard.
        shard: The shard.
        where: The table's path, for messages.

    Raises:
        DataError: The table is damaged.
    """
    if sha256(content) != shard.table_sha256:
        raise DataError(f"{where} is damaged", why="its SHA-256 is another", fix=_AGAIN)
    columns: dict[str, list[Any]] = json.loads(content)
    count, named = shard.num_items, ("id", "label", "target", "split", "group")
    known = [columns.get(name, [None] * count) for name in named]
    extras = columns.get("extra", [{}] * count)
    where_they_lie = (columns[name] for name in ("reader", "suffix", "offset", "size", "sha256"))
    for facts, extra, place in zip(
        zip(*known, strict=True), extras, zip(*where_they_lie, strict=True), strict=True
    ):
        reader, suffix, offset, size, digest = place
        item = Item(**dict(zip(named, facts, strict=True)), extra=extra)
        yield (
            item,
            Place(
                shard=number,
                offset=offset,
                size=size,
                sha256=bytes.fromhex(digest),
                reader=reader,
                suffix=suffix,
            ),
        )
