"""`check`: what there is to know of some data, before any training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.data.dataset import Dataset
from striate.data.layouts import open_source
from striate.data.prepare import prepare, prepare_readings
from striate.errors import ArgumentError, one_line
from striate.files import user_cache_folder
from striate.fitting.choices import choose_image_size
from striate.progress import Progress
from striate.tasks import task_of
from striate.typing import PathLike

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Data that was read, checked and split.

    Attributes:
        dataset: as a fit would see it.
        image_size: that a fit would choose, in pixels; None where the items are no images.
    """

    dataset: Dataset
    image_size: int | None

    def as_json(self) -> dict[str, Any]:
        """The document of `striate check --json`."""
        dataset = self.dataset
        counts = np.bincount(dataset.labels, minlength=len(dataset.classes)).tolist()
        targets = dataset.targets
        return {
            "data": dataset.name,
            "kind": dataset.kind,
            "items": len(dataset.items),
            "image_size": self.image_size,
            "classes": dict(zip(dataset.classes, counts, strict=False)),
            "targets": None if targets is None else [float(targets.min()), float(targets.max())],
            "splits": {part: len(dataset.indices(part)) for part in ("train", "val", "test")},
            "notes": [
                {"code": n.code, "severity": n.severity, "message": n.message, "items": n.ids}
                for n in dataset.notes
            ],
            "skipped": [{"item": skip.id, "reason": skip.reason} for skip in dataset.skipped],
        }

    def as_text(self) -> str:
        """The findings in lines, warnings first."""
        found = self.as_json()
        splits = ", ".join(f"{part} {count}" for part, count in found["splits"].items())
        size = "" if self.image_size is None else f"; image size {self.image_size} px"
        what, details = task_of(self.dataset).composition()
        lines = [
            f"{found['items']} items {what}: {details}",
            f"split: {splits}{size}",
        ]
        notes = sorted(self.dataset.notes, key=lambda note: note.severity != "warning")
        lines += [f"{note.severity}: {note.message}" for note in notes]
        skipped = self.dataset.skipped
        lines += [f"left out: {skip.id}: {skip.reason}" for skip in skipped[:_SHOWN]]
        if len(skipped) > _SHOWN:
            lines.append(f"left out: {len(skipped) - _SHOWN} more")
        if len(lines) == 2:
            lines.append("nothing to complain about")
        return "\n".join(map(one_line, lines))


def check(
    data: PathLike,
    *,
    seed: int = 0,
    image_size: int | None = None,
    progress: Progress | None = None,
) -> Checked:
    """Read, check and split some data as a fit would.

    Args:
        data: see `striate.fit`.
        seed: of the split.
        image_size: side of the network's input; from the data by default.
        progress: is told of the work.

    Raises:
        DataError: the data cannot be used for a fit; the message says why.
    """
    source = open_source(str(data))
    if source.kind != "image":
        if image_size is not None:
            raise ArgumentError("--image-size", why=f"it is of no use for a {source.kind}")
        folder = user_cache_folder()
        dataset: Dataset = prepare_readings(source, folder=folder, seed=seed, progress=progress)
        return Checked(dataset=dataset, image_size=None)
    size, _ = choose_image_size(source, image_size)
    dataset = prepare(source, size=size, seed=seed, progress=progress)
    return Checked(dataset=dataset, image_size=size)
