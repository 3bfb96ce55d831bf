"""Pages as files that open without a server, with their numbers inside."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from math import ceil, prod
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from striate.errors import ArgumentError, OptionError
from striate.explorer.app import DATA, FIRST, page_files
from striate.explorer.bundle import one_page
from striate.explorer.data.save import data_document
from striate.explorer.data.session import DataSession, what_it_saw
from striate.explorer.grid import Grid
from striate.explorer.maps import PER_PAGE
from striate.explorer.session import Session
from striate.explorer.walked import INPUT
from striate.files import holds_output, mark_output, storage_error, write_atomic

ITEM: Final = 0
"""Number of the only item in the saved page."""

SEEDS: Final = 4
"""Sets of exercises that are saved."""

CELLS: Final = 20_000
"""Cells whose steps are saved, shared among the layers."""

LAYER_BYTES: Final = 400_000
TOTAL_BYTES: Final = 12_000_000
"""Bytes of windows, and as many of kernels, of one layer and of all; a cell needs one of each."""

MAPS: Final = 64
"""Channels of a layer whose maps are saved."""

MAP_BYTES: Final = 200_000
"""Bytes of the maps of one layer with every value."""


def save_pages(session: Session | None, folder: Path, data: DataSession | None = None) -> Path:
    """Write the pages of a network and of the data of a run into a folder.

    Args:
        session: The network, of which the first item's page is written; None for none.
        folder: The folder.
        data: The data of the run; None for none.

    Returns:
        The path of the first page.

    Raises:
        OptionError: The folder holds a page that Striate did not write.
        StorageError: A file could not be written.
    """
    documents = {}
    if session is not None:
        documents[FIRST] = _Saving(session, data).document
    if data is not None:
        documents[DATA] = partial(data_document, data)
    for name in documents:
        if (folder / name).exists() and not holds_output(folder):
            why = f"it holds an {name} that striate did not write"
            raise OptionError("save", str(folder), why=why, fix="choose a new folder")
    for name, document in documents.items():
        numbers = json.dumps(document(), allow_nan=False, separators=(",", ":"))
        packed = base64.b64encode(gzip.compress(numbers.encode(), mtime=0)).decode()
        _write(folder / name, one_page(page_files(), packed, name).encode())
    return folder / next(iter(documents))


def _write(path: Path, content: bytes) -> None:
    try:
        mark_output(path.parent)
    except OSError as error:
        fix = "choose another folder with `save=`"
        raise storage_error(path.parent, len(content), error, fix=fix) from None
    write_atomic(path, content)


@dataclass(eq=False)
class _Saving:
    """Gathers the answers that the page will ask for, by their addresses."""

    session: Session
    data: DataSession | None = None
    answers: dict[str, Any] = field(default_factory=dict)
    cells: dict[int, list[str]] = field(default_factory=dict)
    arrays: list[Any] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)
    _places: set[tuple[int, int, str]] = field(default_factory=set)

    def document(self) -> dict[str, Any]:
        """All that the saved page needs."""
        network = self.session.network
        nodes = range(INPUT, len(network["nodes"]))
        items = [network["items"][self.shown]]
        self._keep("network", {}, {**network, "first": ITEM, "items": items})
        self._keep("item", {"item": ITEM}, {**self.session.item(self.shown), "item": ITEM})
        if self.data is not None:
            self._keep_saw(self.data)
        share = min(LAYER_BYTES, TOTAL_BYTES // len(nodes))
        for number in nodes:
            self._keep_maps(number, self._grid(number))
            self._keep_cells(number, share, CELLS // len(nodes))
        self._keep_learning()
        self._keep_evidence()
        parts = {"answers": self.answers, "cells": self.cells, "arrays": self.arrays}
        return {**parts, "seeds": SEEDS}

    def _keep_saw(self, data: DataSession) -> None:
        """What the run says of the item, and the nearest training items with their pictures."""
        data.job.wait()
        answer = what_it_saw(data, self.session.subject, self.shown)
        self._keep("saw", {"item": ITEM}, answer)
        for near in answer.get("nearest", ()):
            self._keep("data/thumbnail", {"item": near["item"]}, data.thumbnail(near["item"]))

    @property
    def shown(self) -> int:
        """The item that is saved, by its number in the session."""
        return self.session.first

    def _grid(self, number: int) -> Grid:
        return self.session.walked(self.shown).grid(number)

    def _keep(self, name: str, parameters: dict[str, Any], answer: Any) -> None:
        self.answers[f"api/{name}?{urlencode(parameters)}"] = self._shared(answer)

    def _shared(self, value: Any) -> Any:
        """An answer whose arrays are kept apart, each once."""
        if isinstance(value, list):
            return [self._shared(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "shape" not in value:
            return {key: self._shared(each) for key, each in value.items()}
        key = json.dumps(value)
        if key not in self._numbers:
            self._numbers[key] = len(self.arrays)
            self.arrays.append(value)
        return {"array": self._numbers[key]}

    def _keep_maps(self, number: int, grid: Grid) -> None:
        """The small maps, and with every value as many as there is room for."""
        where = {"item": ITEM, "node": number}
        depth = {"depth": grid.space[0] // 2} if len(grid.space) == 3 else {}
        for first in range(0, min(grid.channels, MAPS), PER_PAGE):
            answer = self.session.maps(self.shown, number, first, depth.get("depth"))
            self._keep("maps", {**where, "first": first, **depth}, answer)
            if first == 0 and depth:  # the overview asks for the middle slice without naming it
                self._keep("maps", {**where, "first": 0}, answer)
        if not grid.space:
            self._keep("vector", where, self.session.vector(self.shown, number))
            return
        size = 4 * prod(grid.space[-2:])
        for channel in range(max(1, min(grid.channels, MAPS, MAP_BYTES // size))):
            here = {**where, "channel": channel, **depth}
            self._keep(
                "map", here, self.session.map(self.shown, number, channel, depth.get("depth"))
            )
        if number == INPUT and depth:
            for slice_ in range(grid.space[0]):
                here = {**where, "channel": 0, "depth": slice_}
                self._keep("map", here, self.session.map(self.shown, number, 0, slice_))

    def _keep_learning(self) -> None:
        """The tour, some sets of exercises, and the cells that they lead to."""
        steps = self.session.tour(self.shown)
        self._keep("tour", {"item": ITEM}, steps)
        looks = [step["look"] for step in steps]
        for seed in range(SEEDS):
            made = self.session.exercises(self.shown, seed)
            self._keep("exercises", {"item": ITEM, "seed": seed}, made)
            looks += [each.get("look") for each in made]
        for look in looks:
            if look and look["view"] == "network":
                self._keep_look(look["node"], look["channel"], look["position"])

    def _keep_evidence(self) -> None:
        """Where the evidence lies, of networks for which a method can tell."""
        method: str | None = ""
        try:
            while method is not None:
                evidence = self.session.evidence(self.shown, method)
                verdict = self.session.verdict(self.shown, method)
                here = {"item": ITEM} | ({"method": method} if method else {})
                self._keep("evidence", here, evidence)
                self._keep("verdict", here, verdict)
                method = verdict["then"]
        except ArgumentError:
            return

    def _keep_look(self, number: int, channel: int, position: Sequence[int] | None) -> None:
        """One cell with its map."""
        space = self._grid(number).space
        position = [size // 2 for size in space] if position is None else position
        depth = {"depth": space[0] // 2} if len(space) == 3 else {}
        if space:
            here = {"item": ITEM, "node": number, "channel": channel, **depth}
            found = self.session.map(self.shown, number, channel, depth.get("depth"))
            self._keep("map", here, found)
        self._keep_cell(number, channel, position)

    def _keep_cell(self, number: int, channel: int, position: Sequence[int]) -> None:
        """The steps of a cell, once."""
        place = ",".join(map(str, position))
        where = (number, channel, place)
        if where in self._places:
            return
        self._places.add(where)
        here = {"item": ITEM, "node": number, "channel": channel, "position": place}
        self._keep("cell", here, self.session.cell(self.shown, number, channel, position))
        self.cells.setdefault(number, []).append(f"{channel}:{place}")

    def _keep_cells(self, number: int, share: int, most: int) -> None:
        """Steps of cells that lie evenly over the layer, as many as there is room for."""
        grid = self._grid(number)
        middle = [size // 2 for size in grid.space]
        first = self.session.cell(self.shown, number, 0, middle)
        size = 4 * max(prod(first[key]["shape"]) if key in first else 1 for key in _ARRAYS)
        room = max(1, share // size)
        positions = list(_spread(grid.space, min(room, most)))
        channels = range(max(1, min(grid.channels, room, most // len(positions))))
        for channel, position in product(channels, positions):
            self._keep_cell(number, channel, position)
        self.cells[number].sort(key=lambda key: key != f"0:{','.join(map(str, middle))}")


_ARRAYS: Final = ("window", "kernel", "vector")
"""Arrays in the steps of a cell."""


def _spread(space: Sequence[int], most: int) -> Iterator[tuple[int, ...]]:
    """Positions that lie evenly, the middle among them; of a volume in the middle slice alone."""
    fixed = [range(space[0] // 2, space[0] // 2 + 1)] if len(space) == 3 else []
    free = space[-2:] if len(space) == 3 else space
    step = 1
    while prod(ceil(size / step) for size in free) > most:
        step += 1
    axes = [range(size // 2 % step, size, step) for size in free]
    return product(*fixed, *axes)
