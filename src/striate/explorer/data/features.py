"""What the network of a run makes of all its items, computed once in the background and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from striate.data.layouts.layout import open_source
from striate.data.snapshot import SnapshotItem
from striate.data.source import Item, Reading, Skip, Source
from striate.errors import DataError, StriateError
from striate.files import sealed, unsealed, user_cache_folder, write_atomic
from striate.run.run import Run

FORMAT: Final = 1
"""A number to be raised when features come out otherwise: what was kept is then left."""

MAX_BYTES: Final = 1 << 30
"""The largest size of the features of all items together; of more items some are left out."""

KEPT: Final = 8
"""Runs whose features are kept in the cache folder; those that were used least recently go."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Featured:
    """Items with what the network makes of them.

    Attributes:
        positions: Numbers of these items among all.
        features: The pooled features, of which the head makes the outputs.
        outputs: The uncalibrated outputs.
        notes: What a user should know, a sentence each.
    """

    positions: Int[np.ndarray, " n"]
    features: Float[np.ndarray, "n f"]
    outputs: Float[np.ndarray, "n o"]
    notes: tuple[str, ...] = ()


class DataOfRun:
    """The data that a run was made of, where they are still there.

    Args:
        run: The run.
        items: Its items, as it saw them.
    """

    def __init__(self, run: Run, items: Sequence[SnapshotItem]) -> None:
        self.run, self.items = run, items
        self._lock = Lock()
        self._opened: tuple[Source, dict[str, Item]] | None = None

    def open(self) -> tuple[Source, dict[str, Item]]:
        """The source, and its items by their names.

        Raises:
            StriateError: It cannot be opened.
        """
        with self._lock:
            if self._opened is None:
                source = open_source(self.run.record.data, self.run.record.kind)
                self._opened = source, {item.id: item for item in source.listing.items}
            return self._opened


class FeatureJob:
    """Computes the features of all items of a run in a thread of its own.

    Args:
        data: The items of the run.
    """

    def __init__(self, data: DataOfRun) -> None:
        self._data = data
        self._lock = Lock()
        self._thread: Thread | None = None
        self._ended = Event()
        self._done = 0
        self._found: Featured | None = None
        self._reason = ""

    def start(self) -> None:
        """Begin, unless that was done before."""
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._work, name="features", daemon=True)
                self._thread.start()

    def wait(self, seconds: float | None = None) -> Featured | None:
        """The features once they are there; None where there are none, or not in that time."""
        self.start()
        self._ended.wait(seconds)
        return self._found

    @property
    def found(self) -> Featured | None:
        """The features; None where there are none yet, or cannot be any."""
        return self._found

    def state(self) -> dict[str, Any]:
        """How far it is: `state` is "working", "ready" or "failed", with `done`, `total`, `why`."""
        state = "working"
        if self._ended.is_set():
            state = "failed" if self._found is None else "ready"
        total = len(self._data.items)
        return {"state": state, "done": self._done, "total": total, "why": self._reason}

    def _work(self) -> None:
        try:
            self._found = self._kept() or self._computed()
        except StriateError as error:
            self._reason = str(error)
        # Whatever a reader or a network raises ends the map and not the page.
        except Exception as error:
            self._reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        finally:
            self._ended.set()

    def _kept(self) -> Featured | None:
        """The features as they were computed before; None where they were not, or are damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = self._path()
        try:
            content = unsealed(path.read_bytes())
            if content is None:
                return None
            arrays = load(content)
            notes = tuple(json.loads(arrays["notes"].tobytes()))
            found = Featured(
                positions=arrays["positions"],
                features=arrays["features"],
                outputs=arrays["outputs"],
                notes=notes,
            )
            path.touch()
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        return found

    def _path(self) -> Path:
        """Where the features are kept: by the weights, the preprocessing and the items."""
        record = self._data.run.record
        known = [FORMAT, record.model.sha256, record.preprocessing, record.data]
        items = [(item.id, item.sha256) for item in self._data.items]
        digest = hashlib.sha256(json.dumps([known, items]).encode()).hexdigest()
        return user_cache_folder() / "features" / f"{digest[:32]}.safetensors"

    def _computed(self) -> Featured:
        source, items = self._data.open()
        width = self._data.run.model.num_features
        chosen = _chosen(self._data.items, items, MAX_BYTES // (4 * max(1, width)))
        if not len(chosen):
            raise DataError(
                f"none of the run's items is left in {self._data.run.record.data}",
                fix="put the data back where the run was made, to see the map",
            )
        positions: list[int] = []
        changed: list[int] = []
        readings = self._readings(source, items, chosen.tolist(), positions, changed)
        parts = list(self._data.run.predictor.parts(readings))
        if not parts:
            raise DataError("not one item can be read")
        found = Featured(
            positions=np.array(positions, np.int64),
            features=np.concatenate([part.features.numpy() for part in parts]),
            outputs=np.concatenate([part.outputs.numpy() for part in parts]),
            notes=tuple(_notes(len(self._data.items), len(chosen), len(positions), len(changed))),
        )
        self._keep(found)
        return found

    def _readings(
        self,
        source: Source,
        items: dict[str, Item],
        chosen: Sequence[int],
        positions: list[int],
        changed: list[int],
    ) -> Iterator[Reading]:
        """What can be read of the chosen items; their numbers go into `positions`.

        Those whose content is another than the run saw go into `changed` too.
        """
        wanted = [items[self._data.items[number].id] for number in chosen]
        read = self._data.run.read(source, wanted)
        for number, (_, reading) in zip(chosen, read, strict=True):
            self._done += 1
            if isinstance(reading, Skip):
                continue
            if reading.sha256 != self._data.items[number].sha256:
                changed.append(number)
            positions.append(number)
            yield reading

    def _keep(self, found: Featured) -> None:
        """Write the features into the cache folder; where that fails they are computed again."""
        from safetensors.numpy import save

        path = self._path()
        arrays: dict[str, NDArray[Any]] = {
            "positions": found.positions,
            "features": np.ascontiguousarray(found.features, np.float32),
            "outputs": np.ascontiguousarray(found.outputs, np.float32),
            "notes": np.frombuffer(json.dumps(found.notes).encode(), np.uint8),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, sealed(save(arrays)))
            kept = sorted(path.parent.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
            for old in kept[:-KEPT]:
                old.unlink(missing_ok=True)
        except (OSError, StriateError):
            return


def _chosen(items: Sequence[SnapshotItem], there: dict[str, Item], count: int) -> NDArray[np.int64]:
    """Numbers of up to `count` items that are still there; test items before others."""
    found = [number for number, item in enumerate(items) if item.id in there]
    found.sort(key=lambda number: items[number].split != "test")
    return np.sort(np.array(found[:count], np.int64))


def _notes(total: int, chosen: int, read: int, changed: int) -> Iterator[str]:
    if chosen < total:
        yield (
            f"{total - chosen} of {total} items are not on the map: they are gone from the data, "
            "or are too many."
        )
    if read < chosen:
        yield f"{chosen - read} items cannot be read."
    if changed:
        yield f"{changed} items have another content than when the run was made."
