"""`evaluate`: how good a finished run is, on its own test items or on new labelled data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from striate.data.layouts.layout import open_source
from striate.data.source import Item, Reading, Skip, Source
from striate.errors import DataError, one_line
from striate.metrics.intervals import Estimate
from striate.progress import Progress, ProgressLike, as_progress
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
    """

    data: str
    num_items: int
    num_skipped: int
    metrics: Mapping[str, Estimate]
    lines: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """The document of `striate eval --json`."""
        metrics = {
            name: {"value": estimate.value, "ci95": estimate.ci95}
            for name, estimate in self.metrics.items()
        }
        return {
            "data": self.data,
            "items": self.num_items,
            "skipped": self.num_skipped,
            "metrics": metrics,
        }

    def as_text(self) -> str:
        """A line a metric."""
        skipped = f", {self.num_skipped} left out" if self.num_skipped else ""
        return "\n".join([f"{self.num_items} items of {self.data}{skipped}", *self.lines])


def evaluate(run: Run, data: PathLike | None = None, *, progress: ProgressLike = None) -> Evaluated:
    """Evaluate a finished run.

    Args:
        run: The run.
        data: Labelled items; without it the figures of the run's own test items are given.
        progress: Told of the work.

    Raises:
        DataError: The data cannot be used, or have classes that the model does not know.
    """
    if data is None:
        name = f"the test split of {run.record.data}"
        metrics: Mapping[str, Estimate] = dict(run.report.test)
        kept, skipped = run.report.split_sizes["test"], 0
    else:
        source = open_source(str(data))
        name, (metrics, kept) = source.name, _on_new_data(run, source, as_progress(progress))
        skipped = len(source.listing.items) + len(source.listing.skipped) - kept
    return Evaluated(
        data=name,
        num_items=kept,
        num_skipped=skipped,
        metrics=metrics,
        lines=run.task.lines(metrics, run.calibration.unit),
    )


def _on_new_data(
    run: Run, source: Source, progress: Progress
) -> tuple[Mapping[str, Estimate], int]:
    """Metrics of a run on labelled data, and the number of items that could be read."""
    if source.kind != run.record.kind:
        raise DataError(
            f"{source.name} holds {source.kind}s", why=f"it was trained on {run.record.kind}s"
        )
    answered = [item for item in source.listing.items if run.task.is_answered(item)]
    run.task.check_answers(answered, source.name, run.classes)
    kept: list[Item] = []

    def readable() -> Iterator[Reading]:
        with progress.track("evaluating", len(answered), "items") as tracker:
            for item, reading in run.read(source, answered):
                tracker.advance()
                if isinstance(reading, Skip):
                    progress.say(f"skipped {one_line(reading.id)}: {one_line(reading.reason)}")
                else:
                    kept.append(item)
                    yield reading

    outputs = run.outputs(readable())
    if not kept:
        raise DataError(f"{source.name}: not one item can be read")
    return run.task.evaluate(outputs, run.calibration, kept, run.classes), len(kept)
