"""`evaluate`: how good a finished run is, on its own test items or on new labelled data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from striate.data.layouts.layout import open_source
from striate.data.snapshot import from_json
from striate.data.source import Item, Reading, Skip, Source
from striate.errors import DataError, StriateError, one_line
from striate.metrics.intervals import Estimate
from striate.progress import Progress, ProgressLike, as_progress
from striate.run.folder import LOCK, TEST_OPENINGS
from striate.run.run import Run
from striate.typing import PathLike


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Metrics of a run on some items.

    Attributes:
        data: Name of the data.
        num_items: Number of items evaluated.
        num_skipped: Number of items left out, as they could not be read or have no label.
        metrics: Value and 95 % interval of each metric, by name.
        lines: The metrics for a person, a line each.
        num_known: Number of items that the run learnt from, by their content.
        others: The metrics of the other items; empty where all or none are known.
        other_lines: Those for a person.
        notes: What a user should know of the items.
    """

    data: str
    num_items: int
    num_skipped: int
    metrics: Mapping[str, Estimate]
    lines: Sequence[str]
    num_known: int = 0
    others: Mapping[str, Estimate] = field(default_factory=dict)
    other_lines: Sequence[str] = ()
    notes: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """The document of `striate eval --json`."""
        return {
            "data": self.data,
            "items": self.num_items,
            "skipped": self.num_skipped,
            "known": self.num_known,
            "notes": list(self.notes),
            "metrics": figures_of(self.metrics),
            "metrics_of_others": figures_of(self.others),
        }

    def as_text(self) -> str:
        """What the figures are not worth, where the run knows items; then a line a metric."""
        skipped = f", {self.num_skipped} left out" if self.num_skipped else ""
        lines = [f"note: {note}" for note in self.notes]
        if self.num_known:
            lines.insert(0, self._warning())
        lines += [f"{self.num_items} items of {self.data}{skipped}", *self.lines]
        if self.others:
            num_others = self.num_items - self.num_known
            lines += [f"{num_others} of them that the run did not learn from", *self.other_lines]
        return "\n".join(lines)

    def _warning(self) -> str:
        of_all = f"{self.num_known} of {self.num_items}" if self.others else f"all {self.num_items}"
        return (
            f"warning: the run learnt from {of_all} items: on them it is better than on new ones"
            + ("; the figures of the others follow" if self.others else "")
        )


def evaluate(run: Run, data: PathLike | None = None, *, progress: ProgressLike = None) -> Evaluated:
    """Evaluate a finished run.

    Items that the run has learnt from, by their content, are told and counted, and the figures of
    the others are given too.

    Args:
        run: The run.
        data: Labelled items; without it the figures of the run's own test items are given.
        progress: Told of the work.

    Raises:
        DataError: The data cannot be used, or have classes that the model does not know.
    """
    if data is None:
        metrics: Mapping[str, Estimate] = dict(run.report.test)
        return Evaluated(
            data=f"{'all folds' if run.report.folds else 'the test split'} of {run.record.data}",
            num_items=run.report.split_sizes["test"],
            num_skipped=0,
            metrics=metrics,
            lines=run.task.lines(metrics, run.calibration.unit),
        )
    return _on_new_data(run, open_source(data, run.record.kind), as_progress(progress))


def _on_new_data(run: Run, source: Source, progress: Progress) -> Evaluated:
    """Metrics of a run on labelled data."""
    answered = [item for item in source.listing.items if run.task.is_answered(item)]
    run.task.check_answers(answered, source.name, run.classes)
    learnt_from, tested = _hashes(run)
    kept: list[Item] = []
    known: list[bool] = []
    num_tested = 0

    def readable() -> Iterator[Reading]:
        nonlocal num_tested
        with progress.track("evaluating", len(answered), "items") as tracker:
            for item, reading in run.read(source, answered):
                tracker.advance()
                if isinstance(reading, Skip):
                    progress.say(f"skipped {one_line(reading.id)}: {one_line(reading.reason)}")
                else:
                    kept.append(item)
                    known.append(reading.sha256 in learnt_from)
                    num_tested += reading.sha256 in tested
                    yield reading

    outputs = run.outputs(readable())
    if not kept:
        raise DataError(f"{source.name}: not one item can be read")

    def figures(positions: Sequence[int]) -> Mapping[str, Estimate]:
        items = [kept[position] for position in positions]
        return run.task.evaluate(outputs[list(positions)], run.calibration, items, run.classes)

    metrics = figures(range(len(kept)))
    new = [position for position, is_known in enumerate(known) if not is_known]
    others = figures(new) if 0 < len(new) < len(kept) else {}
    unit = run.calibration.unit
    return Evaluated(
        data=source.name,
        num_items=len(kept),
        num_skipped=len(source.listing.items) + len(source.listing.skipped) - len(kept),
        metrics=metrics,
        lines=run.task.lines(metrics, unit),
        num_known=len(kept) - len(new),
        others=others,
        other_lines=run.task.lines(others, unit) if others else (),
        notes=(*run.task.answer_notes(kept, run.classes), *log_opening(run, source, num_tested)),
    )


def _hashes(run: Run) -> tuple[set[str], set[str]]:
    """Hashes of the items that a run has learnt from or was chosen by, and of its test items."""
    try:
        items = from_json(run.folder.read_json(LOCK)).items
    except StriateError:
        return set(), set()
    if len({item.sha256 for item in items}) <= 1:
        # The nodes of one graph are all in one file, and have its hash.
        return set(), set()
    learnt = {item.sha256 for item in items if item.split != "test"}
    return learnt, {item.sha256 for item in items if item.split == "test"} - learnt


def log_opening(run: Run, source: Source, num_tested: int) -> tuple[str, ...]:
    """Log that test items of the run were looked at again, and say how often that was done."""
    if not num_tested:
        return ()
    folder, columns = run.folder, ("when", "data", "items")
    try:
        earlier = folder.read_csv(TEST_OPENINGS) if (folder.path / TEST_OPENINGS).exists() else []
        rows = [[row[name] for name in columns] for row in earlier]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows.append([now, source.name, str(num_tested)])
        folder.write_csv(TEST_OPENINGS, columns, rows)
    except (KeyError, StriateError) as error:
        return (f"{num_tested} test items of the run are among them; {one_line(str(error))}",)
    return (
        f"{num_tested} test items of the run are among them, and its test part was looked at "
        f"{len(rows) + 1} times now, the fit included ({TEST_OPENINGS}): where choices follow from "
        "such figures, they flatter the model",
    )


def figures_of(metrics: Mapping[str, Estimate]) -> dict[str, Any]:
    """Value and interval of each metric, fit for JSON."""
    return {
        name: {"value": estimate.value, "ci95": estimate.ci95} for name, estimate in metrics.items()
    }
