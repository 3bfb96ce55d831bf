"""`report.json`: everything the evaluation of a run found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from striate.errors import one_line
from striate.typing import Kind

FORMAT = 1

Text = Annotated[str, BeforeValidator(one_line)]
"""Text from outside (names of files and classes): control characters and bytes that are not
UTF-8 are made visible, so that it can be written and shown anywhere."""


class Record(BaseModel):
    """A frozen part of the report; a NaN never gets into it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(Record):
    """A value with its 95 % interval; `reason` says why either is missing."""

    value: float | None
    ci95: tuple[float, float] | None = None
    reason: Text = ""


class TestFigures(Record):
    """The metrics on the test items, calibrated but for `ece_uncalibrated`."""

    accuracy: Figure
    balanced_accuracy: Figure
    macro_f1: Figure
    roc_auc: Figure
    log_loss: Figure
    ece: Figure
    ece_uncalibrated: Figure


class BaselineFigures(Record):
    """The metrics of something simpler on the same items."""

    accuracy: Figure
    balanced_accuracy: Figure
    macro_f1: Figure
    roc_auc: Figure
    log_loss: Figure
    ece: Figure


class Baselines(Record):
    """What the model must beat.

    Attributes:
        majority: always the shares of the training classes, hence always the most common class.
        probe: a linear classifier on the frozen features; None where there was none.
    """

    majority: BaselineFigures
    probe: BaselineFigures | None


class ClassReport(Record):
    """The figures of one class on the test items."""

    name: Text
    support: int
    precision: float
    recall: Figure
    f1: float
    roc_auc: float | None


class Seconds(Record):
    """Where the time went."""

    total: float
    features: float
    train: float
    evaluate: float


class DataIssue(Record):
    """Something found in the data; `count` items are concerned, `ids` names some of them."""

    code: Text
    severity: Text
    message: Text
    count: int
    ids: tuple[Text, ...] = ()


class Choice(Record):
    """A decision that the program made for the user, and why."""

    topic: Text
    choice: Text
    why: Text


class Mistake(Record):
    """A test item that was classified wrongly, with the probabilities of both classes."""

    id: Text
    label: Text
    prediction: Text
    probability: float
    label_probability: float


class Reliability(Record):
    """A reliability diagram: items in equal-width bins of confidence; None in an empty bin."""

    count: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]


class WithoutLeaks(Record):
    """The figures on the test items that have no copy in the other parts."""

    num_items: int
    test: BaselineFigures


class RunReport(Record):
    """What the reports of all tasks share.

    Attributes:
        task: name of the task (of the data).
        kind: what an item is.
        nouns: what one item and several are called; None for the nouns of the kind.
        split_sizes: items in "train", "val" and "test".
        model_details: further facts on the model, for display.
        throughput: items per second, by what was done.
        history: a row an epoch, as in `history.csv`.
    """

    format: int = FORMAT
    striate: Text
    task: Text
    kind: Kind
    nouns: tuple[Text, Text] | None = None
    run: Text
    split_sizes: dict[str, int]
    method: Text
    model: Text
    model_details: dict[Text, str | int | float]
    seconds: Seconds
    data_issues: tuple[DataIssue, ...]
    throughput: dict[str, float]
    choices: tuple[Choice, ...]
    history: tuple[dict[str, float | None], ...]


class Report(RunReport):
    """The evaluation of a classifier.

    Attributes:
        confusion: test items by class (row) and prediction (column).
        bias: shift of each class in the calibration; empty where there is none.
        worst_mistakes: the surest first.
        leaks: how the figures change without items that leaked; None where none did.
    """

    task_kind: Literal["classification"] = "classification"
    classes: tuple[Text, ...]
    test: TestFigures
    per_class: tuple[ClassReport, ...]
    confusion: tuple[tuple[int, ...], ...]
    baselines: Baselines
    temperature: float
    bias: tuple[float, ...] = ()
    reliability: Reliability
    reliability_uncalibrated: Reliability
    worst_mistakes: tuple[Mistake, ...]
    leaks: WithoutLeaks | None
