"""`suggest`: which items without labels to label next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from striate.data.snapshot import from_json
from striate.data.source import Item, Reading
from striate.data.unlabelled import Input
from striate.errors import MAX_SEED, StriateError, check_whole, one_line
from striate.files import csv_text
from striate.metrics.unlabelled.diverse import (
    CHOICE,
    Chosen,
    diverse,
    doubt_of_classes,
    doubt_of_labels,
    foremost,
    projected,
)
from striate.progress import ProgressLike, as_progress
from striate.run.folder import LOCK
from striate.run.run import Run
from striate.run.unlabelled.looking import Seen, look_at
from striate.tasks.prediction import Prediction

MAX_UNKNOWN: Final = 0.25
"""Largest share of the suggestions that are unknown items: they may be rubbish, or a new class."""

_SURE: Final = 0.9
"""Lead of the most probable class from which the run is in no doubt."""

_LATER: Final = 4096
"""Items whose features wait at most until only the most doubtful are kept."""


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """An item to label.

    Attributes:
        item: Name of the item: its path as given, or its place in an array.
        path: Its file; empty where it has none of its own.
        prediction: What the run predicts for it, for a person.
        doubt: How much in doubt the run is about it, from 0 to 1.
        unknown: Whether it is unlike all that the run has learnt; None where not known.
        similar: Number of doubtful items that it stands for, itself among them.
        reason: Why to label it.
    """

    item: str
    path: str
    prediction: str
    doubt: float
    unknown: bool | None
    similar: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Suggested:
    """What to label next.

    Attributes:
        run: Folder of the run.
        items: The suggestions, the most useful first.
        num_items: Number of items that they were chosen from.
        notes: What a user should know.
        seen: The items that were looked at.
    """

    run: str
    items: tuple[Suggestion, ...]
    num_items: int
    notes: tuple[str, ...]
    seen: Seen

    def as_json(self) -> dict[str, Any]:
        """The document of `striate suggest --json`."""
        return {
            "run": self.run,
            "items": self.num_items,
            "suggestions": [asdict(one) for one in self.items],
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """A line for each suggestion."""
        lines = [f"{one.item}: {one.prediction}; {one.reason}" for one in self.items]
        return "\n".join(map(one_line, [*lines, *(f"note: {note}" for note in self.notes)]))

    def manifest(self, folder: Path) -> str:
        """A manifest as CSV whose empty column `label` is to be filled in.

        Args:
            folder: Where it will lie; paths below that are relative to it, others are whole.
        """
        rows = [
            (_place(one, folder), "", one.prediction, f"{one.doubt:.4f}", one.reason)
            for one in self.items
        ]
        return csv_text(("path", "label", "predicted", "doubt", "reason"), rows)


class _Pool:
    """The items that may be suggested, of any number the most doubtful, with their features."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: list[NDArray[np.int64]] = []
        self._rows: list[NDArray[np.float32]] = []
        self._keys: list[NDArray[np.float64]] = []
        self._waiting = 0

    def add(
        self, places: NDArray[np.int64], rows: NDArray[np.float32], keys: NDArray[np.float64]
    ) -> None:
        """Add items: their positions, their features, and how much they are wanted."""
        self._places.append(places)
        self._rows.append(rows)
        self._keys.append(keys)
        self._waiting += len(places)
        if self._waiting > max(_LATER, 2 * self._most):
            self.content()

    def content(self) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
        """Positions, features and keys of those that are kept."""
        if not self._places:
            return np.empty(0, np.int64), np.empty((0, 1), np.float32), np.empty(0)
        places, rows = np.concatenate(self._places), np.concatenate(self._rows)
        keys = np.concatenate(self._keys)
        kept = foremost(keys, self._most)
        self._places, self._rows, self._keys = [places[kept]], [rows[kept]], [keys[kept]]
        self._waiting = len(kept)
        return places[kept], rows[kept], keys[kept]


def suggest(
    run: Run,
    inputs: Sequence[Input] | Input,
    count: int,
    *,
    seed: int = 0,
    progress: ProgressLike = None,
) -> Suggested:
    """Choose items to label; see `Run.suggest`.

    Args:
        run: The run.
        inputs: What `Run.predict` takes.
        count: Number of items to suggest.
        seed: Seed of the choice.
        progress: Told of the work.

    Raises:
        ArgumentError: `count` is less than 1, or the seed is none.
        DataError: There is nothing to read.
    """
    check_whole("count", count, 1)
    check_whole("seed", seed, 0, MAX_SEED)
    source = run.open(inputs)
    known = _known(run)
    fresh: list[bool] = []

    def note(position: int, item: Item, reading: Reading) -> None:
        fresh.append(reading.sha256 not in known)
        known.add(reading.sha256)

    pools = _Pool(CHOICE * count), _Pool(CHOICE * count)
    random = np.random.default_rng(seed)
    told: list[NDArray[np.float64]] = []

    def look(outputs: Sequence[Prediction], features: Float[np.ndarray, "b f"]) -> None:
        start = sum(map(len, told))
        doubt = doubts(outputs)
        told.append(doubt)
        rows = projected(features)
        new = np.array(fresh[start : start + len(rows)])
        strange = np.array([bool(prediction.unknown) for prediction in outputs])
        # Among items of one doubt chance decides, and not the order in which they came.
        keys = doubt + 1e-9 * random.random(len(rows))
        for pool, wanted in zip(pools, (new & ~strange, new & strange), strict=True):
            places = np.flatnonzero(wanted)
            pool.add(start + places, rows[places], keys[places])

    seen = look_at(run, source, answered=look, reading=note, progress=as_progress(progress))
    doubt = np.concatenate(told)
    chosen = _chosen(pools, doubt, count, seed)
    items = tuple(
        _suggestion(seen, place, float(doubt[place]), similar) for place, similar in chosen
    )
    return Suggested(
        run=str(run.folder.path),
        items=items,
        num_items=len(seen.predictions),
        notes=_notes(seen, fresh, len(items), count),
        seen=seen,
    )


def doubts(predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    """How much in doubt a run is about each item, from 0 to 1; the same for all numbers.

    Args:
        predictions: What it predicts for them.
    """
    if not predictions or predictions[0].probabilities is None:
        return np.ones(len(predictions))
    probabilities = np.stack([np.asarray(p.probabilities) for p in predictions])
    several = predictions[0].labels is not None
    return (doubt_of_labels if several else doubt_of_classes)(probabilities)


def _chosen(
    pools: tuple[_Pool, _Pool], doubt: NDArray[np.float64], count: int, seed: int
) -> list[tuple[int, int]]:
    """Position of each suggestion with the number of items that it stands for."""
    (places, rows, _), (strange, strange_rows, _) = (pool.content() for pool in pools)
    share = len(strange) / max(1, len(strange) + len(places))
    num_strange = min(
        len(strange), max(round(count * min(share, MAX_UNKNOWN)), count - len(places))
    )
    found: list[tuple[int, int]] = []

    def add(places: NDArray[np.int64], chosen: Chosen) -> None:
        pairs = zip(places[chosen.positions], chosen.similar, strict=True)
        found.extend((int(place), int(similar)) for place, similar in pairs)

    if wanted := min(count - num_strange, len(places)):
        add(places, diverse(rows, doubt[places], wanted, seed=seed))
    if num_strange:
        add(strange, diverse(strange_rows, np.ones(len(strange)), num_strange, seed=seed))
    return found


def _suggestion(seen: Seen, place: int, doubt: float, similar: int) -> Suggestion:
    prediction, item = seen.predictions[place], seen.items[place]
    path = seen.source.path(item)
    stands = f"; it stands for {similar} like it" if similar > 1 else ""
    return Suggestion(
        item=item.id,
        path="" if path is None else str(path),
        prediction=prediction.answer(),
        doubt=doubt,
        unknown=prediction.unknown,
        similar=similar,
        reason=_reason(prediction) + stands,
    )


def _place(one: Suggestion, folder: Path) -> str:
    """The file of a suggestion as a manifest in a folder names it; its item where it has none."""
    if not one.path:
        return one.item
    path, root = Path(one.path).absolute(), folder.absolute()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _reason(prediction: Prediction) -> str:
    if prediction.unknown:
        return "unlike all that the run has learnt: a new class, or nothing that belongs here"
    if prediction.labels is not None and prediction.probabilities is not None:
        place = int(np.abs(prediction.probabilities - 0.5).argmin())
        likely = prediction.probabilities[place]
        return f"in doubt about {prediction.classes[place]} ({likely:.0%})"
    best = prediction.top(2)
    if len(best) < 2 or best[0][1] - best[1][1] > _SURE:
        return (
            "typical of its sort, of which the run is in no doubt"
            if best
            else "typical of its sort"
        )
    (first, p), (second, q) = best
    return f"in doubt between {first} ({p:.0%}) and {second} ({q:.0%})"


def _known(run: Run) -> set[str]:
    """Hashes of the items that the run was made from."""
    try:
        hashes = {item.sha256 for item in from_json(run.folder.read_json(LOCK)).items}
    except StriateError:
        return set()
    # The nodes of one graph are all in one file, and have its hash.
    return hashes if len(hashes) > 1 else set()


def _notes(seen: Seen, fresh: Sequence[bool], found: int, count: int) -> tuple[str, ...]:
    notes = []
    if repeated := len(fresh) - sum(fresh):
        notes.append(
            f"{repeated} items were left out: the run knows them, or they are exact copies"
        )
    if seen.num_skipped:
        notes.append(f"{seen.num_skipped} items could not be read")
    if found < count:
        notes.append(f"only {found} of {count} items could be suggested: there are no more")
    return tuple(notes)
