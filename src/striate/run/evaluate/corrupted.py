"""How a finished run bears common corruptions: its figures by severity, on the same items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from striate.data.layouts.layout import open_source
from striate.data.randomness import permutation_keys
from striate.data.snapshot import from_json
from striate.data.source import Item, Reading, Skip, Source
from striate.errors import MAX_SEED, DataError, RunError, check_whole, one_line
from striate.kinds.corruption import NUM_SEVERITIES
from striate.metrics.intervals import Estimate
from striate.progress import ProgressLike, as_progress
from striate.run.evaluate.labelled import figures_of, log_opening
from striate.run.folder import LOCK
from striate.run.run import Run
from striate.typing import PathLike

MAX_ITEMS: Final = 500
"""Items that are corrupted, by default at most: each is predicted once for each severity."""


@dataclass(frozen=True, kw_only=True)
class CorruptionCurve:
    """The figures of a run on items under one corruption.

    Attributes:
        name: Name of the corruption.
        means: What its level is.
        levels: The level at each severity, from 1 to 5.
        metrics: The metrics at each severity, by name.
    """

    name: str
    means: str
    levels: tuple[float, ...]
    metrics: tuple[Mapping[str, Estimate], ...]

    def values(self, metric: str) -> list[float | None]:
        """A metric at each severity."""
        return [at[metric].value for at in self.metrics]


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """The figures of a run on the same items as they are and under common corruptions.

    Attributes:
        run: Folder of the run.
        data: Name of the data.
        nouns: What one item and several are called.
        num_items: Number of items.
        num_skipped: Number of items left out, as they could not be read.
        metric: Name of the metric that a person wants first.
        clean: The metrics on the items as they are, by name.
        curves: The metrics under each corruption.
        seed: Seed of the choice of items and of what is random in the corruptions.
        notes: What a user should know of the items.
    """

    run: str
    data: str
    nouns: tuple[str, str]
    num_items: int
    num_skipped: int
    metric: str
    clean: Mapping[str, Estimate]
    curves: tuple[CorruptionCurve, ...]
    seed: int
    notes: tuple[str, ...] = ()

    def mean(self, metric: str) -> float | None:
        """The mean of a metric over all corruptions and severities; None where it is undefined."""
        values = [value for curve in self.curves for value in curve.values(metric)]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if len(known) == len(values) else None

    def as_json(self) -> dict[str, Any]:
        """The document of `striate eval --corruptions --json`."""
        return {
            "run": self.run,
            "data": self.data,
            "items": self.num_items,
            "skipped": self.num_skipped,
            "seed": self.seed,
            "metric": self.metric,
            "notes": list(self.notes),
            "metrics": figures_of(self.clean),
            "mean": {name: self.mean(name) for name in self.clean},
            "corruptions": [
                {
                    "name": curve.name,
                    "means": curve.means,
                    "severities": [
                        {"level": level, "metrics": figures_of(metrics)}
                        for level, metrics in zip(curve.levels, curve.metrics, strict=True)
                    ],
                }
                for curve in self.curves
            ],
        }

    def as_text(self) -> str:
        """The first metric as a table: a row for each corruption, a column for each severity."""
        skipped = f", {self.num_skipped} left out" if self.num_skipped else ""
        clean = self.clean[self.metric]
        width = max(len(curve.name) for curve in self.curves)
        head = "".join(f"{severity:>8}" for severity in range(1, NUM_SEVERITIES + 1))
        rows = [
            f"{curve.name:<{width}}" + "".join(map(_cell, curve.values(self.metric)))
            for curve in self.curves
        ]
        mean = self.mean(self.metric)
        return "\n".join(
            [
                *(f"note: {note}" for note in self.notes),
                f"{self.num_items} items of {self.data}{skipped}",
                f"{self.metric} as they are: {clean.as_text()}",
                f"{self.metric} by severity:",
                " " * width + head,
                *rows,
                f"mean over all: {'not defined' if mean is None else f'{mean:.4f}'}",
            ]
        )


def corrupted(
    run: Run,
    data: PathLike | None = None,
    *,
    max_items: int = MAX_ITEMS,
    seed: int = 0,
    progress: ProgressLike = None,
) -> Robustness:
    """Evaluate a finished run under common corruptions of its kind; see `Run.robustness`.

    Args:
        run: The run.
        data: Labelled items; without it the run's own test items, which must still be there.
        max_items: Number of items, at most; of more, so many are drawn.
        seed: Seed of the draw, and of what is random in the corruptions.
        progress: Told of the work.

    Raises:
        RunError: The kind of the items has no corruptions.
        DataError: The data cannot be used, or have classes that the model does not know.
        OptionError: A number is out of its range.
    """
    check_whole("max_items", max_items, 1)
    check_whole("seed", seed, 0, MAX_SEED)
    if not run.kind.corruptions:
        raise RunError(
            f"no corruption of {run.kind.nouns[1]} is known", why="only what has an axis has some"
        )
    progress = as_progress(progress)
    source, answered = _items(run, data)
    run.task.check_answers(answered, source.name, run.classes)
    chosen = np.sort(np.argsort(permutation_keys(seed, 0, len(answered)))[:max_items])
    wanted = [answered[place] for place in chosen]
    kept: list[Item] = []

    def variants() -> Iterator[Reading]:
        with progress.track("corrupting", len(wanted), "items") as tracker:
            for item, reading in run.read(source, wanted):
                tracker.advance()
                if isinstance(reading, Skip):
                    progress.say(f"skipped {one_line(reading.id)}: {one_line(reading.reason)}")
                    continue
                kept.append(item)
                yield reading
                for corruption in run.kind.corruptions:
                    for severity in range(1, NUM_SEVERITIES + 1):
                        yield corruption.applied(reading, severity, item=item.id, seed=seed)

    outputs = run.outputs(variants())
    if not kept:
        raise DataError(f"{source.name}: not one item can be read")
    by_item = outputs.reshape(len(kept), -1, outputs.shape[1])

    def figures(variant: int) -> Mapping[str, Estimate]:
        return run.task.evaluate(by_item[:, variant], run.calibration, kept, run.classes)

    curves = tuple(
        CorruptionCurve(
            name=corruption.name,
            means=corruption.means,
            levels=corruption.levels,
            metrics=tuple(figures(1 + NUM_SEVERITIES * n + k) for k in range(NUM_SEVERITIES)),
        )
        for n, corruption in enumerate(run.kind.corruptions)
    )
    return Robustness(
        run=str(run.folder.path),
        data=source.name if data is not None else f"the test split of {run.record.data}",
        nouns=run.kind.nouns,
        num_items=len(kept),
        num_skipped=len(wanted) - len(kept),
        metric=run.task.first_metrics[0],
        clean=figures(0),
        curves=curves,
        seed=seed,
        notes=_notes(run, source, answered, kept),
    )


def _items(run: Run, data: PathLike | None) -> tuple[Source, Sequence[Item]]:
    """The items to evaluate on: those of the data that are answered, or the run's test items."""
    if data is not None:
        source = open_source(data, run.record.kind)
        return source, [item for item in source.listing.items if run.task.is_answered(item)]
    test = set(from_json(run.folder.read_json(LOCK)).tested())
    source = open_source(run.record.data, run.record.kind)
    found = [item for item in source.listing.items if item.id in test]
    if not found:
        raise DataError(
            f"of the test items of {str(run.folder.path)!r} none is left in {source.name}",
            fix="name labelled data",
        )
    return source, found


def _notes(
    run: Run, source: Source, answered: Sequence[Item], kept: Sequence[Item]
) -> tuple[str, ...]:
    notes = list(run.task.answer_notes(kept, run.classes))
    if len(kept) < len(answered):
        notes.append(f"{len(kept)} of {len(answered)} items, drawn at random")
    lock = from_json(run.folder.read_json(LOCK))
    if source.name == run.record.data:
        tested = set(lock.tested())
        notes += log_opening(run, source, sum(item.id in tested for item in kept))
        known = sum(item.id not in tested for item in kept)
        if known:
            notes.append(
                f"the run learnt from {known} of them: on them it is better than on others"
            )
    return tuple(notes)


def _cell(value: float | None) -> str:
    return f"{'–' if value is None else f'{value:.4f}':>8}"
