"""`report.json`: what the reports of all tasks share."""

from __future__ import annotations

from math import inf
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

from striate.errors import one_line
from striate.metrics.intervals import Estimate, widened
from striate.typing import Kind

FORMAT = 2

BOUNDS: Final = {
    "log_loss": (0.0, inf),
    "mae": (0.0, inf),
    "rmse": (0.0, inf),
    "median_absolute_error": (0.0, inf),
    "r2": (-inf, 1.0),
    "pearson": (-1.0, 1.0),
}
"""What a metric can be at least and at most, by name; all others are shares."""

R = TypeVar("R", bound="RunReport")


def _one_line(value: object) -> object:
    return one_line(value) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_one_line)]
"""Text from outside (names of files and classes): control characters and bytes that are not
UTF-8 are made visible, so that it can be written and shown anywhere."""


class Record(BaseModel):
    """A frozen part of the report; a NaN never gets into it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, revalidate_instances="always"
    )


class Seconds(Record):
    """Where the time went; `first_baseline` is when the first figures were known."""

    total: float
    first_baseline: float | None = None
    features: float
    train: float
    evaluate: float


class DataIssue(Record):
    """Something found in the data, and what to do about it.

    `count` items are concerned, and `ids` names some of them.
    """

    code: Text
    severity: Text
    message: Text
    count: int
    ids: tuple[Text, ...] = ()
    advice: Text = ""


class Choice(Record):
    """A decision that the program made for the user, and why."""

    topic: Text
    choice: Text
    why: Text


class Candidate(Record):
    """A model that was tried.

    Attributes:
        method: Name of the method.
        model: Name of the network.
        judged_by: What `loss` was measured on, such as "validation" or "cross-validation".
        loss: Calibrated loss on held-out items, by which candidates are chosen; None where the
            model was not judged.
        seconds: Time that it took.
        kept: Whether it is the result.
        why: Why it was kept, or why not.
    """

    method: Text
    model: Text
    judged_by: Text = ""
    loss: float | None = None
    seconds: float | None = None
    kept: bool
    why: Text = ""


class NoveltyFigures(Record):
    """How many test items are taken for unlike all that the model knows.

    Attributes:
        false_alarms: Share of known items that is to be taken so.
        num_items: Number of known items that the threshold was taken from.
        flagged: Share of the test items that is.
        strangest: Ids of the strangest of them, the strangest first.
    """

    false_alarms: float
    num_items: int
    flagged: Estimate
    strangest: tuple[Text, ...]


class FoldFigures(Record):
    """A fold of a cross-validation.

    Attributes:
        fold: Its number, from 1.
        num_items: Number of items that it tested.
        method: Name of the method that made its model.
        model: Name of its network.
        seconds: Time that it took.
        metrics: The first metrics of the task on its items, by name.
    """

    fold: int
    num_items: int
    method: Text
    model: Text
    seconds: float
    metrics: dict[str, Estimate]


class Folds(Record):
    """A cross-validation.

    Attributes:
        num_folds: Number of folds.
        widening: Factor on the half widths of the intervals of the pooled items, since the models
            of the folds share training items.
        by_fold: The figures of each fold.
    """

    num_folds: int
    widening: float
    by_fold: tuple[FoldFigures, ...]

    def spread(self, metric: str) -> tuple[float, float] | None:
        """The smallest and the largest value of a metric over the folds; None where it has none."""
        values = [fold.metrics[metric].value for fold in self.by_fold]
        known = [value for value in values if value is not None]
        return (min(known), max(known)) if known else None


class LearningCurve(Record):
    """How the error falls with the number of items that a linear probe learns from.

    Attributes:
        error_name: What the error is.
        is_share: Whether it is a share.
        sizes: Numbers of items learnt from.
        errors: The error at each, by cross-validation.
        num_items: Number of items that there are to learn from.
        gain: By how much the error would fall with twice as many.
        expected: The error with twice as many.
        is_supported: Whether the data tell that twice as many would help.
    """

    error_name: Text
    is_share: bool
    sizes: tuple[int, ...]
    errors: tuple[Estimate, ...]
    num_items: int
    gain: Estimate
    expected: Estimate
    is_supported: bool


class SliceFigures(Record):
    """Items that have something in common, and clearly larger errors than the others.

    Attributes:
        column: What they have in common.
        value: The value that they share, or its range.
        num_items: Number of the items, copies counting once.
        error: Their mean error, with an interval at which those of all slices hold at once.
        others: Mean error of the other items.
        p_value: Chance that one of the slices that were tried is as bad where none is.
    """

    column: Text
    value: Text
    num_items: int
    error: Estimate
    others: float
    p_value: float


class SliceReport(Record):
    """Where the model is clearly worse than elsewhere; nothing found where nothing stands out."""

    error_name: Text
    is_share: bool
    num_tried: int
    found: tuple[SliceFigures, ...] = ()


class NearItem(Record):
    """A training item that a model takes for like another.

    Attributes:
        id: Its name.
        label: Its true answer.
        similarity: Cosine between the standardized features of both, 1 where they point the same way.
    """

    id: Text
    label: Text | float
    similarity: float


class FollowedPart(Record):
    """A part of items that the model follows when it names a class.

    Attributes:
        label: Name of the class.
        part: What the part is called, such as "top left corner".
        share: How far the part of an item of the class takes items of other classes to it, from 0
            (not at all) to 1 (the score is that of the item that the part comes from).
        otherwise: How far what is put in to compare takes them.
        num_items: Number of items of other classes into which the part was put.
        num_turned: Number of those that were then taken for the class.
    """

    label: Text
    part: Text
    share: float
    otherwise: float
    num_items: int
    num_turned: int

    def verdict(self) -> str:
        """What was found, as a sentence without an end."""
        return (
            f"The model follows what is in the {self.part}: put into other images, that of "
            f"{self.label} takes them {self.share:.0%} of the way to {self.label} "
            f"({self.num_turned} of {self.num_items} are then taken for it)"
        )

    def advice(self) -> str:
        """What to do about it, as a sentence without an end."""
        return (
            f"look at the {self.part} of images of {self.label}: where a mark, a frame or the "
            "background tells them, crop or cover it in all images and fit again"
        )

    def as_line(self) -> str:
        """What was found, and what to do about it."""
        return f"{self.verdict()}; {self.advice()}"


class Mistake(Record):
    """A test item that was predicted badly.

    Attributes:
        id: Its name.
        nearest: The training items that are most like it, the most similar first; none where
            that was not looked for.
    """

    id: Text
    nearest: tuple[NearItem, ...] = ()


class RunReport(Record):
    """What the reports of all tasks share.

    Attributes:
        task: Name of the data.
        task_kind: Name of the task.
        classes: Names of the classes, in the order of their numbers; empty where there are none.
        kind: Name of the kind of the items.
        nouns: What one item and several are called.
        run: The run folder, as the user would type it.
        split_sizes: Number of items in "train", "val" and "test".
        method: Name of the method that made the model.
        method_summary: How the method works, in a few words.
        is_baseline: Whether the result is the baseline itself, with which it is not compared.
        model: Name of the network.
        weights: What the network started from.
        model_details: Further facts on the model, for display.
        throughput: Items per second, by what was done.
        choices: Decisions that were made for the user.
        candidates: The models that were tried.
        history: A row for each epoch, as in `history.csv`.
        history_of: What was trained in those epochs, where its network is not the result.
        novelty: What is unlike all that the model knows; None where that cannot be told.
        data_command: The command that shows what was found in the data with pictures; empty where
            there is none.
        folds: The figures of each fold of a cross-validation; None without one. The figures of the
            report are then those of all items, each predicted by the fold that had not learnt it.
        slices: Where the model is clearly worse; None where that was not looked for.
        learning_curve: What more items would bring; None where that was not estimated.
        followed: Parts at the border of the items that the model follows, of some classes.
        hardware: What computed.
        energy_joules: Energy that the processors took meanwhile; None where it cannot be read.
        unit: Unit of what is predicted; empty where it has none that is known.
        test: The metrics on the test items.
        worst_mistakes: The worst first.
        nearest_among: Number of training items that the nearest of each mistake were looked for in.
    """

    format: int = FORMAT
    striate: Text
    task: Text
    task_kind: str
    classes: tuple[Text, ...] = ()
    kind: Kind
    nouns: tuple[Text, Text]
    run: Text
    split_sizes: dict[str, int]
    method: Text
    method_summary: Text = ""
    is_baseline: bool = False
    model: Text
    weights: Text = ""
    model_details: dict[Text, str | int | float]
    seconds: Seconds
    data_issues: tuple[DataIssue, ...]
    throughput: dict[str, float]
    choices: tuple[Choice, ...]
    candidates: tuple[Candidate, ...] = ()
    history: tuple[dict[str, float | None], ...]
    history_of: Text = ""
    novelty: NoveltyFigures | None = None
    data_command: Text = ""
    folds: Folds | None = None
    slices: SliceReport | None = None
    learning_curve: LearningCurve | None = None
    followed: tuple[FollowedPart, ...] = ()
    hardware: Text = ""
    energy_joules: float | None = None
    unit: Text = ""
    test: Record
    worst_mistakes: tuple[Mistake, ...]
    nearest_among: int = 0


def with_wider_intervals(report: R, factor: float) -> R:
    """The same report with wider intervals of the model's figures, all and class by class.

    Args:
        report: A report of any task.
        factor: Factor on the distance of the limits from the figure.
    """
    updates: dict[str, Any] = {"test": _widened(report.test, factor)}
    if (rows := getattr(report, "per_class", None)) is not None:
        updates["per_class"] = tuple(_widened(row, factor) for row in rows)
    return report.model_copy(update=updates)


def _widened(figures: Record, factor: float) -> Record:
    return figures.model_copy(
        update={
            name: widened(figure, factor, *BOUNDS.get(name, (0.0, 1.0)))
            for name, figure in figures
            if isinstance(figure, Estimate)
        }
    )
