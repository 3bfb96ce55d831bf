"""What a task is, for data, for a fit and for a finished run; and which task some items are for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from torch import Tensor

from striate.data.dataset import Dataset
from striate.data.source import Item, Source
from striate.data.target import Target
from striate.errors import DataError, OptionError
from striate.metrics.deciding.aim import Aim
from striate.metrics.intervals import Estimate, estimate_lines
from striate.metrics.paired import PairedComparison
from striate.registry import Registry, load_entry, load_package
from striate.report import RunReport
from striate.tasks.objective import Objective
from striate.tasks.prediction import Calibration, Judged, Prediction

Rows: TypeAlias = Sequence[Mapping[str, str]]
"""Rows of a `predictions.csv`, by column."""

Items: TypeAlias = Sequence[Item]
Classes: TypeAlias = tuple[str, ...]
"""Names of the classes, in the order of their numbers; empty where there are none."""

Metrics: TypeAlias = Mapping[str, Estimate]
"""The metrics of a task, by name."""


class Task(ABC):
    """What is predicted, without a state of its own.

    A report or a calibration that a method is given is one of this task.

    Attributes:
        name: Name of the task, in `run.json` and (as `task_kind`) in `report.json`.
        truth_column: Column of `predictions.csv` that holds the true answer.
        report_type: The reports of the task.
        template: The page of a report.
        first_metrics: The metrics that a person wants first.
        digits: Significant digits in which a metric is shown; four decimals where None.
        in_unit: The metrics that are in the unit of the answers.
        one_class: Whether each item has exactly one of the classes, so that counts of true and
            predicted classes say everything.
        prediction_type: Its predictions; a subclass where they say what those of no other task do.
        own_methods: The methods that alone learn it; none where those of a kind do.
        instead: What a user can do where none of its own methods suits the data.
        text_columns: The columns of a prediction that hold text and not a number, besides
            `unknown`.
    """

    name: ClassVar[str]
    truth_column: ClassVar[str]
    report_type: ClassVar[type[RunReport]]
    template: ClassVar[Path]
    first_metrics: ClassVar[tuple[str, ...]]
    digits: ClassVar[int | None] = None
    in_unit: ClassVar[tuple[str, ...]] = ()
    one_class: ClassVar[bool] = False
    prediction_type: ClassVar[type[Prediction]] = Prediction
    own_methods: ClassVar[tuple[str, ...]] = ()
    instead: ClassVar[str] = ""
    text_columns: ClassVar[tuple[str, ...]] = ("prediction", "set")

    def arranged(self, source: Source, options: Mapping[str, Any]) -> Source:
        """The data as options of this task ask to have them; as they are where none asks anything.

        It is called for every task, before it is known which one the data are for.

        Args:
            source: The data.
            options: The options of the fit, by name.

        Raises:
            DataError: The data cannot be had so.
            UnknownNameError: There is no such class.
        """
        return source

    def claims(self, items: Items) -> bool:
        """Whether there are items that this task is to be learnt from."""
        return any(map(self.is_answered, items))

    @abstractmethod
    def is_answered(self, item: Item) -> bool:
        """Whether an item has an answer to learn from."""

    def check_learnable(self, items: Items, name: str) -> None:
        """Make sure, before they are read, that items can be learnt from.

        Args:
            items: Every item of the data.
            name: Name of the data, for messages.

        Raises:
            DataError: They cannot.
        """
        given = {item.split or "train" for item in items}
        if "train" not in given:
            raise DataError(
                f"{name} has no training items",
                why=f"the splits given are {', '.join(sorted(given))}",
                fix="add a split named train",
            )

    def check_aim(self, aim: Aim, items: Items) -> None:
        """Make sure, before items are read, that answers can be decided as a user asks.

        Args:
            aim: What the user asks.
            items: Every item of the data.

        Raises:
            OptionError: The answers of the task are not decided in this way.
            UnknownNameError: There is no such class.
        """
        for name, value in vars(aim).items():
            if value is not None and value != {}:
                why = "only answers of one class of several are decided by it"
                raise OptionError(name, value, why=why, fix="leave it out")

    @abstractmethod
    def encode(self, items: Items, name: str) -> Target:
        """What is to be predicted of items that are answered, for the data of that name."""

    @abstractmethod
    def objective(self, dataset: Dataset) -> Objective:
        """What a fit must know to learn the task from a data set.

        Raises:
            DataError: There is nothing to learn.
        """

    @abstractmethod
    def calibration(self, document: Mapping[str, Any]) -> Calibration:
        """The calibration that `to_json` wrote."""

    @abstractmethod
    def predictions(
        self, ids: Sequence[str], outputs: Tensor, calibration: Any, classes: Classes
    ) -> list[Prediction]:
        """The predictions of some items.

        Args:
            ids: The items' ids.
            outputs: (items, outputs) Uncalibrated outputs of a network.
            calibration: The calibration of the outputs.
            classes: Names of the classes.
        """

    @abstractmethod
    def truth(self, target: Target, index: int) -> str | float:
        """The true answer of an item, as `predictions.csv` has it."""

    @abstractmethod
    def columns(self, classes: Classes) -> list[str]:
        """Names of the columns of `predictions.csv` that hold a prediction."""

    @abstractmethod
    def cells(self, prediction: Prediction) -> list[str | float]:
        """The cells of those columns."""

    @abstractmethod
    def judged(self, row: Mapping[str, str]) -> Judged:
        """A row of `predictions.csv` with its true answer, and how wrong it is."""

    @abstractmethod
    def check_answers(self, items: Items, name: str, classes: Classes) -> None:
        """Make sure that a finished run can be evaluated on some items.

        Args:
            items: New items that are answered.
            name: Name of their data, for the message.
            classes: Names of the classes that the run knows.

        Raises:
            DataError: It cannot.
        """

    @abstractmethod
    def evaluate(
        self, outputs: Tensor, calibration: Any, items: Items, classes: Classes
    ) -> Metrics:
        """The metrics of a finished run on some items, by name.

        Args:
            outputs: (items, outputs) Uncalibrated outputs of the run's network.
            calibration: The calibration of the outputs.
            items: The items, which `check_answers` accepts.
            classes: Names of the classes.
        """

    def answer_notes(self, items: Items, classes: Classes) -> tuple[str, ...]:
        """What a user should know of the answers of items whose figures are told.

        Args:
            items: The items, which `check_answers` accepts.
            classes: Names of the classes that the run knows.
        """
        return ()

    @abstractmethod
    def compare(self, first: Rows, second: Rows, classes: Classes) -> PairedComparison:
        """Compare two finished runs.

        Args:
            first: Rows of the one's `predictions.csv`.
            second: Rows of the other's, of the same items in the same order.
            classes: Names of the classes, the same in both.
        """

    @abstractmethod
    def context(self, report: Any) -> dict[str, Any]:
        """The variables of the page's template."""

    @abstractmethod
    def output_named(self, name: str, classes: Classes) -> int:
        """Number of the network's output that a user asks for by name.

        Raises:
            UnknownNameError: There is no such class.
            ArgumentError: The outputs of the task have no names.
        """

    def output_name(self, number: int, classes: Classes) -> str | None:
        """What an output of the network is evidence for; None for a higher number.

        Args:
            number: Number of the output.
            classes: Names of the classes.
        """
        return classes[number] if classes else None

    @abstractmethod
    def mistakes(self, report: Any, classes: Classes) -> list[tuple[str, int]]:
        """The id of each of the report's mistakes, and the output that its prediction came from."""

    def read_report(self, document: Any) -> RunReport:
        """The report in the content of `report.json`.

        Raises:
            pydantic.ValidationError: It is no report of this task.
        """
        return self.report_type.model_validate(document)

    def lines(self, metrics: Metrics, unit: str = "") -> list[str]:
        """A line for each metric, for a person; `unit` is that of the answers."""
        return estimate_lines(metrics, self.digits, unit, self.in_unit)

    def summary(self, report: RunReport) -> list[str]:
        """The metrics that a person wants first, a line each."""
        metrics = dict(report.test)
        return [
            f"{name}: "
            + metrics[name].as_text(self.digits, report.unit if name in self.in_unit else "")
            for name in self.first_metrics
            if metrics[name].value is not None
        ]


TASKS: Registry[Task] = Registry("task")


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        UnknownNameError: There is none.
    """
    return load_entry(TASKS, "striate.tasks", name)


def arranged(source: Source, options: Mapping[str, Any]) -> Source:
    """The data as the options of a fit ask to have them; see `Task.arranged`.

    Args:
        source: The data.
        options: The options, by name.

    Raises:
        DataError: The data cannot be had so.
        UnknownNameError: There is no such class.
    """
    for task in _every_task():
        source = task.arranged(source, options)
    return source


def task_of(items: Items, method: str = "auto") -> Task:
    """The task that some items are for.

    A task with methods of its own comes first: it claims what other tasks cannot be learnt from, or
    the user has named such a method.

    Args:
        items: The items.
        method: Name of the method by which it is to be learnt; "auto" for any.

    Raises:
        DataError: There is none, or more than one.
    """
    every = _every_task()
    own = [task for task in every if method in task.own_methods]
    if method == "auto":
        own = [task for task in every if task.own_methods and task.claims(items)]
    if own:
        return own[0]
    claiming = [task for task in every if not task.own_methods and task.claims(items)]
    if not claiming:
        raise DataError(
            "no item has an answer to learn from",
            fix="give the items a label (a folder for each class) or a target",
        )
    if len(claiming) > 1:
        counts = (f"{sum(map(task.is_answered, items))} for {task.name}" for task in claiming)
        raise DataError(
            f"the items are for different tasks: {', '.join(counts)}",
            fix="give every item a label, or every item a target",
        )
    return claiming[0]


def _every_task() -> list[Task]:
    load_package("striate.tasks")
    return [task for _, task in TASKS.items()]
