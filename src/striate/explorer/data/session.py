"""What the data page asks for, computed once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int

from striate.data.readers.tables import SEPARATOR
from striate.data.snapshot import from_json
from striate.data.source import Reading
from striate.errors import ArgumentError, one_line
from striate.explorer.data.comparison import Comparison
from striate.explorer.data.corrections import Corrections
from striate.explorer.data.features import DataOfRun, Featured, FeatureJob
from striate.explorer.data.items import Row, columns_of, made_rows, probabilities, rows_on_file
from striate.explorer.data.plane import has_umap, principal_plane, umap_plane
from striate.explorer.data.thumbnails import Thumbnails
from striate.explorer.numbers import packed
from striate.explorer.subjects.subject import Subject
from striate.files import utf8_text
from striate.kinds.kind import Kind
from striate.metrics.neighbours import nearest_neighbours, standardization
from striate.run.folder import LOCK
from striate.run.run import Run
from striate.tasks.prediction import Prediction

NEIGHBOURS: Final = 8
"""Training items that are shown beside an item."""

TOP: Final = 8
"""Classes whose probabilities are shown."""

PLANES: Final = ("pca", "umap")


class DataSession:
    """The items of a run being looked at.

    Args:
        run: A finished run.
        other: A second run on the same items; None for none.
        patch_out: The table that corrected labels are written to; None for none.

    Raises:
        RunError: The run has no list of its items, or the second cannot be compared with it.
        OptionError: Corrections cannot be written there.
    """

    def __init__(self, run: Run, other: Run | None = None, patch_out: Path | None = None) -> None:
        self.run = run
        self.items = from_json(run.folder.read_json(LOCK)).items
        self.comparison = None if other is None else Comparison(run, other, self.items)
        self.corrections = Corrections(run, self.items, patch_out)
        data = DataOfRun(run, self.items)
        self.thumbnails = Thumbnails(data)
        self.job = FeatureJob(data)
        self._lock = Lock()
        self._umap: Thread | None = None
        self._planes: dict[str, dict[str, Any]] = {}
        self._rows = rows_on_file(run, self.items)
        self._all_rows: list[Row | None] | None = None

    def about(self) -> dict[str, Any]:
        """The run, and what the page can do with it."""
        run = self.run
        one, many = run.kind.nouns
        return {
            "name": str(run.folder.path),
            "data": run.record.data,
            "nouns": [one, many],
            "task": run.task.name,
            "unit": run.calibration.unit,
            "classes": list(map(utf8_text, run.classes)),
            "one_class": run.task.one_class,
            "umap": has_umap(),
            "compared": self.comparison is not None,
            "pictures": type(run.kind).thumbnail is not Kind.thumbnail,
            "network": bool(run.model.config.rank),
            "num_items": len(self.items),
            "summary": run.task.summary(run.report) if run.has_report else [],
        }

    def state(self) -> dict[str, Any]:
        """How far the features are, which are begun by this."""
        self.job.start()
        return self.job.state()

    def table(self, *, whole: bool) -> dict[str, Any]:
        """The items in columns.

        Args:
            whole: Whether items that `predictions.csv` leaves out, such as those the run learnt
                from, have the answers that were computed with the features.
        """
        rows = self.rows if whole else self._rows
        columns = columns_of(self.run, self.items, rows)
        if self.comparison is not None:
            columns += self.comparison.columns()
        return {
            "names": [utf8_text(item.id) for item in self.items],
            "columns": [column.document() for column in columns],
        }

    @property
    def rows(self) -> Sequence[Row | None]:
        """The row of predictions of each item: that of `predictions.csv`, or a computed one."""
        found = self.job.found
        if found is None:
            return self._rows
        with self._lock:
            if self._all_rows is None:
                self._all_rows = self._with_computed(found)
            return self._all_rows

    def _with_computed(self, found: Featured) -> list[Row | None]:
        missing = np.array([self._rows[n] is None for n in found.positions.tolist()], bool)
        numbers = found.positions[missing].tolist()
        outputs = torch.from_numpy(np.array(found.outputs[missing]))
        items = [self.items[number] for number in numbers]
        rows = list(self._rows)
        made = made_rows(self.run, items, outputs, found.features[missing])
        for number, row in zip(numbers, made, strict=True):
            rows[number] = row
        return rows

    def plane(self, kind: str) -> dict[str, Any]:
        """The map: `state`, and once it is ready `x` and `y` of each item, NaN for none.

        Args:
            kind: "pca", or "umap" where that is installed, which is begun by this.

        Raises:
            ArgumentError: There is no such map.
        """
        if kind not in PLANES or (kind == "umap" and not has_umap()):
            raise ArgumentError(f"map {kind[:20]!r}", why="there is no such map here")
        found = self.job.found
        if found is None:
            return self.state()
        with self._lock:
            if kind == "pca" and kind not in self._planes:
                self._planes[kind] = self._principal(found)
            if kind == "umap" and self._umap is None:
                self._umap = Thread(target=self._by_umap, args=(found,), daemon=True)
                self._umap.start()
            return self._planes.get(kind, {"state": "working"})

    def _principal(self, found: Featured) -> dict[str, Any]:
        plane, shares = principal_plane(found.features)
        return self._spread(found, plane) | {
            "shares": shares.tolist(),
            "notes": list(found.notes),
        }

    def _by_umap(self, found: Featured) -> None:
        # Another library's errors end this map and not the page.
        try:
            made = self._spread(found, umap_plane(found.features)) | {"notes": list(found.notes)}
        except Exception as error:
            made = {"state": "failed", "why": str(error).partition("\n")[0]}
        with self._lock:
            self._planes["umap"] = made

    def _spread(self, found: Featured, plane: Float[np.ndarray, "n 2"]) -> dict[str, Any]:
        """Coordinates for all items from those of the items that have features."""
        everywhere = np.full((len(self.items), 2), np.nan, np.float32)
        everywhere[found.positions] = plane
        x, y = packed(everywhere[:, 0]), packed(everywhere[:, 1])
        return {"state": "ready", "x": x, "y": y}

    def item(self, number: int) -> dict[str, Any]:
        """What is known of an item beside the columns: probabilities and its prediction set.

        Raises:
            ArgumentError: There is no such item.
        """
        self._check(number)
        row = self.rows[number]
        members = "" if row is None else row.get("set", "")
        return {
            "probabilities": probabilities(self.run, row, TOP),
            "set": members.split(SEPARATOR) if members else [],
            "interval": [] if row is None or "low" not in row else [row["low"], row["high"]],
        }

    def thumbnail(self, number: int) -> dict[str, Any]:
        """The picture of an item as an address that holds it; none where there is none.

        Raises:
            ArgumentError: There is no such item.
        """
        self._check(number)
        return {"url": self.thumbnails.url(number)}

    def nearest(self, number: int) -> dict[str, Any]:
        """The training items that are most like an item in what the network makes of it.

        Raises:
            ArgumentError: There is no such item.
        """
        self._check(number)
        if self.job.found is None:
            return self.state()
        return {"state": "ready", "nearest": self.nearest_of([number])[0]}

    def nearest_of(self, numbers: Sequence[int]) -> list[list[dict[str, Any]]]:
        """The same of several items once the features are there; none of an item without any."""
        places = self._places
        known = {number: place for place, number in enumerate(self._train)}
        found = [number for number in numbers if number in places]
        rows = [places[number] for number in found]
        features = self._standardized(self._features[rows])
        own = np.array([known.get(number, -1) for number in found], np.int64)
        answers = dict(zip(found, self._neighbours(features, own), strict=True))
        return [answers.get(number, []) for number in numbers]

    def nearest_to(self, reading: Reading) -> dict[str, Any]:
        """The same for an item that is none of the run's."""
        if self.job.found is None:
            return self.state()
        (part,) = self.run.predictor.parts([reading])
        features = self._standardized(part.features.numpy())
        (nearest,) = self._neighbours(features, np.array([-1]))
        return {"state": "ready", "nearest": nearest}

    @cached_property
    def _places(self) -> dict[int, int]:
        """The row among the features of each item that has any."""
        assert self.job.found is not None, "the features are there"
        return {number: row for row, number in enumerate(self.job.found.positions.tolist())}

    @property
    def _features(self) -> Float[np.ndarray, "n f"]:
        assert self.job.found is not None, "the features are there"
        return self.job.found.features

    @cached_property
    def _train(self) -> list[int]:
        """The training items that have features, which are the known ones."""
        return [number for number in self._places if self.items[number].split == "train"]

    @cached_property
    def _scale(self) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
        return standardization(self._features[[self._places[number] for number in self._train]])

    def _standardized(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
        """Features as a linear probe takes them: less the mean of training items, and scaled."""
        if not self._train:
            return features
        mean, scale = self._scale
        return np.asarray((features - mean) * scale, np.float32)

    @cached_property
    def _known(self) -> Float[np.ndarray, "r f"]:
        """The standardized features of the training items."""
        rows = [self._places[number] for number in self._train]
        return self._standardized(self._features[rows])

    def _neighbours(
        self, features: Float[np.ndarray, "n f"], own: Int[np.ndarray, " n"]
    ) -> list[list[dict[str, Any]]]:
        """The training items nearest to each of some items, which are not their own neighbours."""
        train = self._train
        rows, similarities = nearest_neighbours(features, self._known, NEIGHBOURS, own=own)
        return [
            [
                {
                    "item": train[place],
                    "name": utf8_text(self.items[train[place]].id),
                    "label": utf8_text(self.items[train[place]].label),
                    "similarity": similarity,
                }
                for place, similarity in zip(row, alike, strict=True)
                if place >= 0
            ]
            for row, alike in zip(rows.tolist(), similarities.tolist(), strict=True)
        ]

    @cached_property
    def compared(self) -> dict[str, Any]:
        """The two runs beside each other.

        Raises:
            ArgumentError: There is no second run.
        """
        if self.comparison is None:
            raise ArgumentError("no second run", fix="start with `with=`")
        return self.comparison.document()

    def _check(self, number: int) -> None:
        if not 0 <= number < len(self.items):
            raise ArgumentError(f"item {number}", why=f"there are {len(self.items)}")


def what_it_saw(data: DataSession, subject: Subject, number: int) -> dict[str, Any]:
    """What the run says of an item of the network's page, and the training items nearest to it.

    Args:
        data: The run's data.
        subject: The network's items.
        number: Which of them.

    Raises:
        DataError: It cannot be read.
    """
    read = subject.reading(number)
    if read is None:
        return {"state": "none"}
    item, reading = read
    (prediction,) = data.run.predicted([item], [reading])
    return {**verdict_of(prediction), **data.nearest_to(reading)}


def verdict_of(prediction: Prediction) -> dict[str, Any]:
    """The answer, the most probable classes, the prediction set, and how strange the item is."""
    return {
        "answer": one_line(prediction.answer()),
        "probabilities": [
            {"class": utf8_text(name), "probability": share} for name, share in prediction.top(TOP)
        ],
        "set": list(map(utf8_text, prediction.prediction_set or ())),
        "unknown": prediction.unknown,
        "novelty": prediction.novelty,
    }
