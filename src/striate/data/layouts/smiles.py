"""Molecules in a table: a CSV file with the columns smiles, label or target, and, if wanted, split
and group.

Without a column group or split the group of a molecule is its Bemis-Murcko scaffold, so that the
split is by scaffold: molecules that share a ring system are mostly one chemist's series, and figures
on a random split would promise more than a new series gives. Molecules without rings have no
scaffold in common and are split one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from striate.data.folder_walk import class_notes, is_folder, unique_ids
from striate.data.layouts.layout import LAYOUTS, Layout
from striate.data.readers.molecule import molecule_reading, parse_smiles, scaffold_of
from striate.data.readers.reader import TEXTS
from striate.data.readers.tables import header_of, read_table
from striate.data.source import Item, Listing, MemorySource, Note, Skip, Source, UnreadableItem
from striate.typing import SplitName

COLUMN: Final = "smiles"


def open_smiles(path: str | Path, *, labelled: bool = True) -> Source:
    """The molecules of a table.

    Args:
        path: The table.
        labelled: Whether there must be a label or a target, as of molecules to learn from.

    Raises:
        DataError: There is no such file, a column is missing, rows do not make sense (named by
            line), or there are fewer than two classes.
        MissingExtraError: rdkit is not installed.
    """
    table = read_table(Path(path))
    if labelled:
        table.check_answered(COLUMN)
    smiles = table.required(COLUMN)
    labels, targets, extras = table.answers()
    return molecules(
        smiles,
        name=str(path),
        labels=labels,
        targets=targets,
        splits=table.splits(),
        groups=table.column("group"),
        extras=extras,
        in_place=not labelled,
        notes=table.notes,
    )


def molecules(
    smiles: Sequence[str],
    *,
    name: str,
    labels: Sequence[str | None] | None = None,
    targets: Sequence[float | None] | None = None,
    splits: Sequence[SplitName | None] | None = None,
    groups: Sequence[str] | None = None,
    extras: Sequence[Mapping[str, str]] | None = None,
    in_place: bool = False,
    notes: Sequence[Note] = (),
) -> Source:
    """A source of molecules; those that do not parse are left out, with the SMILES as the reason.

    Args:
        smiles: The SMILES of each molecule.
        name: The data's name in messages and in the run folder.
        labels: The class of each molecule, None where there is none.
        targets: The number of each molecule, None where there is none.
        splits: The split of each molecule, None where Striate is to choose.
        groups: The group of each molecule, which is not torn apart; by default its scaffold.
        extras: Further columns of each molecule's row in its table.
        in_place: Whether molecules that do not parse stay among the others, and are refused when
            they are read.
        notes: What a user should know of the table.

    Raises:
        DataError: There are fewer than two classes.
        MissingExtraError: rdkit is not installed.
    """
    items, skipped, of_item = [], [], {}
    for place, (item_id, text) in enumerate(zip(unique_ids(smiles), smiles, strict=True)):
        try:
            scaffold = scaffold_of(parse_smiles(text))
        except UnreadableItem as error:
            if not in_place:
                skipped.append(Skip(id=item_id or f"line {place + 2}", reason=error.reason))
                continue
            scaffold = ""
        of_item[item_id] = text
        items.append(
            Item(
                id=item_id,
                label=labels[place] if labels else None,
                target=targets[place] if targets else None,
                split=splits[place] if splits else None,
                group=scaffold if groups is None else groups[place] or None,
                extra=extras[place] if extras else {},
            )
        )
    found = [*notes, *(class_notes(item.label for item in items) if any(labels or ()) else [])]
    if groups is None and not any(splits or ()):
        count = len({item.group for item in items if item.group})
        message = f"split by scaffold: {count} ring systems, each on one side"
        found.append(Note(code="scaffold-split", message=message, severity="info"))
    listing = Listing(items=tuple(items), skipped=tuple(skipped), notes=tuple(found))
    return _source(name, listing, of_item)


def _source(name: str, listing: Listing, smiles: Mapping[str, str]) -> Source:
    nouns = ("molecule", "molecules")
    return MemorySource(
        "graph", name, listing, lambda item: molecule_reading(smiles[item.id]), nouns
    )


def open_molecules(text: str, *, stored: bool) -> Source:
    """Molecules to be predicted: those of a table, or one by its SMILES.

    Args:
        text: The name of the table, or the SMILES.
        stored: Whether it is the name of a table.

    Raises:
        DataError: The table has no column of SMILES.
    """
    if stored:
        return open_smiles(text, labelled=False)
    return _source(text, Listing(items=(Item(id="0"),)), {"0": text})


def _matches(data: str) -> bool:
    path = Path(data)
    return (
        path.suffix.lower() in (".csv", ".tsv")
        and not is_folder(path)
        and COLUMN in header_of(path)
    )


LAYOUTS.add(
    "smiles",
    Layout(
        "a CSV or TSV file with the columns smiles and label or target (molecules)",
        _matches,
        open_smiles,
    ),
)
TEXTS.add("graph", open_molecules)
