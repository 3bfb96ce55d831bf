"""Molecules in a table: a CSV file with the columns smiles, label or target, and, if wanted, split
and group.

Without a column group or split the group of a molecule is its Bemis-Murcko scaffold, so that the
split is by scaffold: molecules that share a ring system are mostly one chemist's series, and figures
on a random split would promise more than a new series gives. Molecules without rings have no
scaffold in common and are split one by one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from striate.data.folder_walk import check_classes, is_folder, unique_ids
from striate.data.layouts.layout import SOURCES, SourceFormat
from striate.data.layouts.split_column import splits_of
from striate.data.readers.delimited import Table, header_of, read_table
from striate.data.readers.molecule import molecule_reading, parse_smiles, scaffold_of
from striate.data.readers.reader import TEXTS
from striate.data.source import Item, Listing, Note, Reading, Skip, Source, UnreadableItem
from striate.errors import DataError

COLUMN: Final = "smiles"


class MoleculeSource(Source):
    """Molecules by their SMILES.

    Args:
        name: for messages.
        listing: the items.
        smiles: of each item, by its id.
    """

    kind = "graph"
    nouns = ("molecule", "molecules")

    def __init__(self, *, name: str, listing: Listing, smiles: Mapping[str, str]) -> None:
        self.name, self.listing = name, listing
        self.smiles = dict(smiles)

    def read(self, item: Item, size: int | None = None) -> Reading:
        """The molecule as a graph; raises UnreadableItem for a SMILES that does not parse."""
        return molecule_reading(self.smiles[item.id])


def open_smiles(path: str | Path, *, labelled: bool = True) -> MoleculeSource:
    """The molecules of a table.

    Args:
        path: the table.
        labelled: it has a label or a target, as one to learn from must.

    Raises:
        DataError: no such file, a column missing, rows that do not make sense (named by line),
            fewer than two classes.
        MissingExtraError: rdkit is not installed.
    """
    table = read_table(Path(path))
    smiles = table.required(COLUMN)
    labels, targets = table.column("label"), None
    if labels is None and (labelled or "target" in table.columns):
        if "target" not in table.columns:
            table.required("label")
        targets = table.numbers("target")
    _check_labels(table, labels)
    return molecules(
        smiles,
        name=str(path),
        labels=labels,
        targets=targets,
        splits=table.column("split"),
        groups=table.column("group"),
        lines=table.lines,
    )


def molecules(
    smiles: list[str],
    *,
    name: str,
    labels: list[str] | None = None,
    targets: list[float] | None = None,
    splits: list[str] | None = None,
    groups: list[str] | None = None,
    lines: tuple[int, ...] | None = None,
) -> MoleculeSource:
    """A source of molecules; those that do not parse are left out, with the SMILES as the reason.

    Args:
        smiles: of each molecule.
        name: for messages.
        labels: class of each, or None.
        targets: number of each, or None.
        splits: part that each is in, empty where Striate is to choose; or None.
        groups: what must not be torn apart; by default the scaffolds.
        lines: where each stands in its table, for messages.

    Raises:
        DataError: a split of no known name, or fewer than two classes.
    """
    ids = unique_ids(smiles)
    parts = splits_of(splits, name, lines, len(smiles))
    items, skipped, of_item = [], [], {}
    for place, (item_id, text) in enumerate(zip(ids, smiles, strict=True)):
        try:
            scaffold = scaffold_of(parse_smiles(text))
        except UnreadableItem as error:
            skipped.append(Skip(id=item_id or f"line {place + 2}", reason=error.reason))
            continue
        of_item[item_id] = text
        items.append(
            Item(
                id=item_id,
                label=None if labels is None else labels[place],
                target=None if targets is None else targets[place],
                split=parts[place],
                group=scaffold if groups is None else groups[place] or None,
            )
        )
    notes = check_classes(items, name) if labels is not None else []
    if groups is None and not any(parts) and (labels or targets):
        count = len({item.group for item in items if item.group})
        message = f"split by scaffold: {count} ring systems, each on one side"
        notes.append(Note(code="scaffold-split", message=message, severity="info"))
    listing = Listing(items=tuple(items), skipped=tuple(skipped), notes=tuple(notes))
    return MoleculeSource(name=name, listing=listing, smiles=of_item)


def _check_labels(table: Table, labels: list[str] | None) -> None:
    if labels is None:
        return
    empty = [f"line {n}" for n, label in zip(table.lines, labels, strict=True) if not label]
    if empty:
        raise DataError(
            f"{table.path} has rows without a label",
            why=", ".join(empty[:5]),
            fix="write the class, or take the rows out",
        )


def _matches(data: str) -> bool:
    path = Path(data)
    return path.suffix.lower() == ".csv" and not is_folder(path) and COLUMN in header_of(path)


SOURCES.add(
    "smiles",
    SourceFormat(
        layout="a CSV file with the columns smiles and label or target (molecules)",
        matches=_matches,
        open=open_smiles,
    ),
)


def _given(text: str) -> Source:
    """What is to be predicted: the molecules of a table, or one by its SMILES.

    Raises:
        DataError: no such column.
    """
    if os.path.isfile(text):  # noqa: PTH113 - Path.is_file raises on over-long names
        return open_smiles(text, labelled=False)
    return MoleculeSource(name=text, listing=Listing(items=(Item(id="0"),)), smiles={"0": text})


TEXTS.add("graph", _given)
