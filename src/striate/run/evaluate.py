"""`evaluate`: how good a finished run is, on its own test items or on new labelled data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from striate.data.layouts import open_source
from striate.data.layouts.node_source import NodeSource
from striate.data.source import Item, Reading, Skip, Source
from striate.errors import DataError, one_line
from striate.metrics import Estimate, NumberCalibration, estimates_text, evaluate_regression
from striate.metrics import evaluate as evaluate_items
from striate.progress import Progress
from striate.run.predictor import NodePredictor
from striate.run.run import Run
from striate.typing import PathLike


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Metrics of a run on some items.

    Attributes:
        data: name of the data.
        num_items: evaluated.
        num_skipped: left out, as they could not be read or have no label.
        metrics: value and 95 % interval, by name.
    """

    data: str
    num_items: int
    num_skipped: int
    metrics: Mapping[str, Estimate]

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
        lines = [f"{self.num_items} items of {self.data}{skipped}"]
        if "mae" in self.metrics:
            return "\n".join([*lines, *estimates_text(self.metrics)])
        for name, estimate in self.metrics.items():
            lines.append(f"{name:18} {estimate.as_text()}")
        return "\n".join(lines)


def evaluate(
    run: PathLike,
    data: PathLike | None = None,
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> Evaluated:
    """Evaluate a finished run.

    Args:
        run: its folder.
        data: labelled items; without it the figures of the run's own test items are given.
        device: where to compute.
        progress: is told of the work.

    Raises:
        RunError: there is no finished run.
        DataError: the data cannot be used, or has classes that the model does not know.
    """
    trained = Run(run, device=device)
    if data is None:
        metrics = {
            name: Estimate(value=figure.value, ci95=figure.ci95, reason=figure.reason)
            for name, figure in trained.report.test
        }
        size = trained.report.split_sizes["test"]
        return Evaluated(
            data=f"the test part of {trained.record.data}",
            num_items=size,
            num_skipped=0,
            metrics=metrics,
        )
    return _on_new_data(trained, data, progress or Progress(quiet=True))


def _on_new_data(trained: Run, data: PathLike, progress: Progress) -> Evaluated:
    if isinstance(trained.predictor, NodePredictor):
        source: Source = trained.open_graph([str(data)])
    else:
        source = open_source(str(data))
    if source.kind != trained.record.kind:
        raise DataError(
            f"{source.name} holds {source.kind}s", why=f"it was trained on {trained.record.kind}s"
        )
    answered = [item for item in source.listing.items if _has_answer(trained, item)]
    if trained.classes:
        _check_classes(trained, source.name, answered)
    elif not answered:
        raise DataError(f"{source.name}: no item has a target", fix="add a column target")
    if isinstance(trained.predictor, NodePredictor):
        assert isinstance(source, NodeSource), "checked by open_graph"
        return Evaluated(
            data=source.name,
            num_items=len(answered),
            num_skipped=len(source.listing.items) - len(answered),
            metrics=_metrics(trained, answered, trained.predictor.outputs(source, answered)),
        )
    kept: list[Item] = []

    def readable() -> Iterator[Reading]:
        with progress.track("evaluating", len(answered), "items") as tracker:
            for item, reading in trained.read(source, answered):
                tracker.advance()
                if isinstance(reading, Skip):
                    progress.say(f"skipped {one_line(reading.id)}: {one_line(reading.reason)}")
                else:
                    kept.append(item)
                    yield reading

    outputs = trained.outputs(readable())
    if not kept:
        raise DataError(f"{source.name}: not one item can be read")
    return Evaluated(
        data=source.name,
        num_items=len(kept),
        num_skipped=len(source.listing.items) + len(source.listing.skipped) - len(kept),
        metrics=_metrics(trained, kept, outputs),
    )


def _has_answer(trained: Run, item: Item) -> bool:
    return (item.label if trained.classes else item.target) is not None


def _check_classes(trained: Run, name: str, items: Sequence[Item]) -> None:
    unknown = sorted({str(item.label) for item in items} - set(trained.classes))
    if unknown:
        raise DataError(
            f"{name} has classes the model does not know: {', '.join(unknown[:8])}",
            why=f"it was trained on {', '.join(trained.classes[:8])}",
            fix="rename or remove them",
        )


def _metrics(trained: Run, items: Sequence[Item], outputs: Tensor) -> Mapping[str, Estimate]:
    calibration = trained.predictor.calibration
    if isinstance(calibration, NumberCalibration):
        targets = np.array([item.target for item in items], np.float64)
        return evaluate_regression(calibration.numbers(outputs.numpy()), targets)
    number = {name: k for k, name in enumerate(trained.classes)}
    labels = np.array([number[str(item.label)] for item in items])
    return evaluate_items(trained.predictor.probabilities(outputs), labels).metrics
