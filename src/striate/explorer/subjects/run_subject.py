"""A finished run, with its test items or files of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import torch

from striate.data.layouts.layout import open_source
from striate.data.snapshot import from_json
from striate.data.source import Item, Reading, Source
from striate.errors import ArgumentError, StriateError
from striate.explorer.subjects.sample_items import NAMES, sample, standardized
from striate.explorer.subjects.subject import Entry, Opened, Subject
from striate.models import Network
from striate.run.folder import LOCK, PREDICTIONS
from striate.run.run import load

MAX_ITEMS: Final = 500
"""Test items that one can choose from."""


class NoGridError(ArgumentError):
    """The items of a run are graphs, through which no window can be walked."""


class RunSubject(Subject):
    """The network of a run.

    Args:
        path: The run folder.
        files: Pictures, sounds, series or volumes of the user's, in place of the test items.

    Raises:
        RunError: There is no finished run.
        NoGridError: Its items are graphs.
        DataError: A file cannot be read.
    """

    network: Network

    def __init__(self, path: Path, files: Sequence[Path] = ()) -> None:
        self.run = load(path, device="cpu")
        self.name = str(path)
        self.network = self.run.model
        if not self.network.config.rank:
            raise NoGridError(
                f"the items of {self.name} are {self.run.kind.nouns[1]}",
                why="the page shows series, images and volumes",
            )
        self.classes = self.run.classes
        self.notes: list[str] = [f"{found.as_line()}." for found in self.run.followed]
        self._items: list[tuple[Source, Item] | None] = []
        self.entries: list[Entry] = []
        self._last: tuple[int, Reading] | None = None
        if files:
            source = self.run.open([str(file) for file in files])
            for item in source.listing.items:
                self._read(source, item)
            self._add(source, source.listing.items, {})
        else:
            self._add_test_items()
        if not self._items:
            self._items = [None]  # the built-in one
            self.entries = [Entry(name=NAMES[self.network.config.rank])]

    def _add(self, source: Source, items: Sequence[Item], answers: dict[str, str]) -> None:
        for item in items:
            answer = answers.get(item.id)
            self.entries.append(Entry(name=item.id, label=item.label, answer=answer))
            self._items.append((source, item))

    def _add_test_items(self) -> None:
        """The test items of the data that the run was made of, where they are still there."""
        try:
            taken = from_json(self.run.folder.read_json(LOCK))
            source = open_source(self.run.record.data)
        except StriateError as error:
            self.notes.append(f"The data of the run cannot be opened ({error}).")
            return
        test = set(taken.tested())
        found = (item for item in source.listing.items if item.id in test)
        self._add(source, list(islice(found, MAX_ITEMS)), self._answers())
        if len(test) > MAX_ITEMS:
            self.notes.append(f"The first {MAX_ITEMS} of {len(test)} test items are listed.")
        if not self._items:
            self.notes.append("Of the run's test items none is left in the data.")

    def _answers(self) -> dict[str, str]:
        """What the run said of its test items when it was made."""
        try:
            rows = self.run.folder.read_csv(PREDICTIONS)
        except StriateError:
            return {}
        return {row["item"]: row["prediction"] for row in rows if "prediction" in row}

    def open(self, number: int) -> Opened:
        """Read an item with the code that `striate predict` uses."""
        inputs = self.run.predictor.inputs
        found = self._items[number]
        if found is None:
            raw = sample(inputs.input_shape)
            return Opened(x=torch.from_numpy(standardized(raw))[None], raw=raw)
        return self._opened(found[1], self._kept(number, found))

    def add(self, name: str, content: bytes) -> None:
        """Take the content of a file as one more item."""
        source = self.run.open([content])
        item = source.listing.items[0]
        self._last = len(self._items), self._read(source, item)
        self._items.append((source, item))
        self.entries.append(Entry(name=name))

    def reading(self, number: int) -> tuple[Item, Reading] | None:
        """One of `entries` as `striate predict` reads it; None for a built-in item.

        Raises:
            DataError: It cannot be read; the message says why.
        """
        found = self._items[number]
        return None if found is None else (found[1], self._kept(number, found))

    def _kept(self, number: int, found: tuple[Source, Item]) -> Reading:
        """What is read of an item; of the last one it is kept, which is needed more than once."""
        last = self._last
        if last is None or last[0] != number:
            last = self._last = number, self._read(*found)
        return last[1]

    def _read(self, source: Source, item: Item) -> Reading:
        return self.decoder.read(item, lambda pool: self.run.read_one(source, item, pool))

    def _opened(self, item: Item, reading: Reading) -> Opened:
        inputs = self.run.predictor.inputs
        raw = inputs.inputs([reading])
        views = inputs.views(inputs.normalized(raw))
        (prediction,) = self.run.answers([item], self.run.outputs(iter([reading])))
        found = prediction.probabilities
        return Opened(
            x=views[0].contiguous(),
            raw=raw[0].numpy(),
            answer=prediction.answer(),
            probabilities=() if found is None else tuple(map(float, found)),
        )
