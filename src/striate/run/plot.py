"""Figures of a finished run for notebooks and papers, drawn by matplotlib from `report.json` alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.data.packages import imported
from striate.errors import ArgumentError
from striate.report.render import history_lines
from striate.report.schema import RunReport

_MANY_CLASSES = 12
"""From so many classes on the cells of a matrix hold no numbers."""


class RunPlots:
    """The figures of a run, each a `matplotlib.figure.Figure`.

    They are made without pyplot, so that no window opens and nothing is kept: show one in a
    notebook by naming it, or write it with `savefig`.

    Args:
        report: The evaluation of the run.
    """

    def __init__(self, report: RunReport) -> None:
        self._report = report

    def confusion(self) -> Any:
        """Test items by class (rows) and prediction (columns); a stronger colour is a larger share.

        Raises:
            ArgumentError: The run has no confusion matrix: it does not choose one of some classes.
            MissingExtraError: matplotlib is not installed.
        """
        counts = self._part("confusion", "a confusion matrix")
        classes = self._report.classes
        size = 2.5 + 0.45 * len(classes)
        figure, axes = _figure(size, size)
        shares = [[count / max(sum(row), 1) for count in row] for row in counts]
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, label="share of the class", fraction=0.046)
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="predicted", ylabel="true class")
        if len(classes) < _MANY_CLASSES:
            for row, column in ((r, c) for r in range(len(classes)) for c in range(len(classes))):
                colour = "white" if shares[row][column] > 0.5 else "black"
                text = {"ha": "center", "va": "center", "color": colour}
                axes.text(column, row, str(counts[row][column]), **text)
        return figure

    def calibration(self) -> Any:
        """Share that is right by stated probability, with 95 % intervals, before and after.

        Raises:
            ArgumentError: The run states no probability of one class.
            MissingExtraError: matplotlib is not installed.
        """
        after = self._part("reliability", "a reliability diagram")
        before = self._part("reliability_uncalibrated", "a reliability diagram")
        figure, axes = _figure(4.5, 4.5)
        axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
        axes.plot(before.confidence, before.accuracy, "s--", color="tab:orange", label="before calibration")  # fmt: skip
        pairs = list(zip(after.accuracy, after.interval, strict=True))
        below, above = [y - low for y, (low, _) in pairs], [high - y for y, (_, high) in pairs]
        bars = {"yerr": [below, above], "fmt": "o-", "color": "tab:blue", "capsize": 3}
        axes.errorbar(after.confidence, after.accuracy, label="as delivered", **bars)
        axes.set(
            xlabel="stated probability", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1)
        )
        axes.legend(loc="upper left")
        return figure

    def history(self) -> Any:
        """Losses and quality on the validation items by epoch, a panel for each.

        Raises:
            ArgumentError: Nothing was trained by epochs.
            MissingExtraError: matplotlib is not installed.
        """
        panels = history_lines(self._report)
        if not panels:
            raise ArgumentError("no history to draw", why="nothing was trained by epochs")
        figure, axes = _figure(4.5 * len(panels), 3.5, columns=len(panels))
        for panel, (title, lines) in zip(_each(axes, len(panels)), panels.items(), strict=True):
            for line in lines:
                known = [(x, y) for x, y in line.points if y is not None]
                panel.plot(*zip(*known, strict=True), marker=".", label=line.name)
            panel.set(title=title, xlabel="epoch")
            panel.legend()
        return figure

    def _part(self, name: str, what: str) -> Any:
        parts: Mapping[str, Any] = dict(self._report)
        if name not in parts:
            why = f"it is a run of {self._report.task_kind}"
            raise ArgumentError(f"this run has not {what}", why=why)
        return parts[name]


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """An empty figure of a size in inches, and its axes."""
    figure = imported("matplotlib.figure", "plot").Figure((width, height), layout="constrained")
    return figure, figure.subplots(1, columns)


def _each(axes: Any, count: int) -> list[Any]:
    """The axes of a figure, one or several, as a list."""
    return [axes] if count == 1 else list(axes)
