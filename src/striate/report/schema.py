"""`report.json`: what the reports of all tasks share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from striate.errors import one_line
from striate.metrics.intervals import Estimate
from striate.typing import Kind

FORMAT = 2


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


class Mistake(Record):
    """A test item that was predicted badly."""

    id: Text


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
        unit: Unit of what is predicted; empty where it has none that is known.
        test: The metrics on the test items.
        worst_mistakes: The worst first.
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
    unit: Text = ""
    test: Record
    worst_mistakes: tuple[Mistake, ...]
