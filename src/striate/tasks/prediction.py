"""What a model says of an item, whatever its task, and what makes answers of its outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final

import numpy as np
from jaxtyping import Bool, Float, Shaped
from torch import nn

from striate.errors import one_line
from striate.metrics.intervals import number_text

NOVELTY_COLUMNS: Final = ("unknown", "novelty")
"""Columns of `predictions.csv` on how strange an item is; of classes a set stands between them."""


class Promise(ABC):
    """What is promised of a new item beside its answer: a set of classes, or an interval.

    Attributes:
        name: Of the output of an exported file.
    """

    name: ClassVar[str]

    @abstractmethod
    def output(self, classes: Sequence[str]) -> dict[str, Any]:
        """Name, shape, meaning and type of the output, for an exported file."""

    @abstractmethod
    def module(self) -> nn.Module:
        """From a tensor of the network's outputs to one of promises, in float32."""

    @abstractmethod
    def of(self, answers: Float[np.ndarray, "n ..."]) -> Shaped[np.ndarray, "n k"]:
        """The promises that go with answers, as the run itself makes them."""

    @abstractmethod
    def read(self, told: Sequence[Any], classes: Sequence[str]) -> Shaped[np.ndarray, " k"]:
        """One item's promise as `of` has it, from what the reader of an exported file tells of it."""

    @abstractmethod
    def same(
        self, expected: Shaped[np.ndarray, "n k"], got: Shaped[np.ndarray, "n k"]
    ) -> Bool[np.ndarray, " n"]:
        """Of which items two promises say the same."""

    @abstractmethod
    def follows(
        self, answers: Float[np.ndarray, "n ..."], got: Shaped[np.ndarray, "n k"]
    ) -> Bool[np.ndarray, " n"]:
        """Of which items a promise is what these answers ask for, but for the rounding of float32."""


class Calibration(ABC):
    """What makes answers of a network's outputs: probabilities, or numbers.

    Attributes:
        unit: Unit of the answers, such as "mm"; empty where they have none that is known.
    """

    unit: str = ""

    @abstractmethod
    def answers(self, outputs: Float[np.ndarray, "n outputs"]) -> Float[np.ndarray, "n ..."]:
        """The answers to some items, in float64."""

    @abstractmethod
    def outputs_of(self, answers: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "n outputs"]:
        """Outputs that this calibration makes these answers of, whatever model gave them."""

    @property
    def promise(self) -> Promise | None:
        """What is promised of new items beside their answers; None where nothing is."""
        return None

    def without_promises(self) -> Calibration:
        """The same answers without what is promised of new items: sets of classes, intervals."""
        return self

    @abstractmethod
    def module(self) -> nn.Module:
        """The same as a module in float32, from a tensor of outputs to one of answers."""

    @abstractmethod
    def outputs(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Name, shape and meaning of the outputs and of the answers, for an exported file."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The calibration as `run.json` has it."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A row of `predictions.csv`, judged by its true answer.

    Attributes:
        truth: The true answer: the name of a class, the names of labels, or a number.
        answer: What was predicted, in the same form.
        error: How wrong that is: 0 where it is right, 1 for another class, the number of wrong
            labels, or the distance from the true number.
    """

    truth: str | float
    answer: str | float
    error: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a model says of one item; what a task does not give is None.

    A task that says more has a subclass of its own (`Task.prediction_type`).

    Attributes:
        item: The item's id: its path as given, or its place in an array.
        label: The class that the item is taken for: the most probable one, unless the run was told
            to decide otherwise.
        labels: The classes that an item of several has.
        value: The predicted number, in the unit of the training targets.
        interval: Lower and upper limit around the number.
        unit: Unit of the number; empty where it is not known.
        probabilities: (classes,) Calibrated probability of each class.
        classes: Names of the classes, in the order of the probabilities.
        confidence: Probability of the predicted class.
        undecided: Whether the answer is too unsure at the cost of "I don't know" that the run was
            given; None where it was given none.
        prediction_set: The classes that the item may have, at the level of the run.
        unknown: Whether the item seems to be none of the classes, or unlike all that a number is
            predicted for.
        novelty: How unlike the known items the item is, in standard deviations; unknown above 0.
        reason: Why the item could not be read.
    """

    item: str
    label: str | None = None
    labels: tuple[str, ...] | None = None
    value: float | None = None
    interval: tuple[float, float] | None = None
    unit: str = ""
    probabilities: Float[np.ndarray, " classes"] | None = None
    classes: tuple[str, ...] = ()
    confidence: float | None = None
    undecided: bool | None = None
    prediction_set: tuple[str, ...] | None = None
    unknown: bool | None = None
    novelty: float | None = None
    reason: str | None = None

    @property
    def id(self) -> str:
        """The item's id, as `item`."""
        return self.item

    @property
    def output(self) -> int:
        """Number of the network's output that the prediction came from: of the predicted class.

        Calibration may shift classes, so that it need not be the largest output.
        """
        if self.label in self.classes:
            return self.classes.index(self.label)
        return 0 if self.probabilities is None else int(self.probabilities.argmax())

    def numbers(self) -> Float[np.ndarray, " numbers"]:
        """The answer as it is computed: the probability of each class, or the predicted number."""
        known = self.probabilities
        return np.array([self.value] if known is None else known, np.float64)

    def top(self, count: int) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities, the best first."""
        if self.probabilities is None:
            return []
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.classes[k], float(self.probabilities[k])) for k in order]

    def _answers(self, count: int) -> list[tuple[str, float]]:
        """The class that the item is taken for, then the most probable ones, to so many in all."""
        own = [pair for pair in self.top(len(self.classes)) if pair[0] == self.label]
        return [*own, *(pair for pair in self.top(count) if pair not in own)][:count]

    def novelty_cells(self) -> tuple[str, str | float]:
        """The cells of `NOVELTY_COLUMNS`; empty where nothing is known of the novelty."""
        if self.novelty is None or self.unknown is None:
            return "", ""
        # A number, for a text that begins with a minus is escaped.
        return str(self.unknown).lower(), float(f"{self.novelty:.6g}")

    def answer(self, top: int = 1) -> str:
        """The number with its interval, the labels, or the most probable classes.

        It is for a person; the class that the item is taken for is the first.
        """
        if self.reason is not None:
            return self.reason
        if self.labels is not None:
            known = dict(self.top(len(self.classes)))
            told = (f"{name} {known[name]:.1%}" if name in known else name for name in self.labels)
            return ", ".join(told) or "none"
        if self.value is None:
            likely = ", ".join(f"{label} {p:.1%}" for label, p in self._answers(top))
            return f"I don't know ({likely})" if self.undecided else likely
        unit = f" {self.unit}" if self.unit else ""
        if self.interval is None:
            return number_text(self.value) + unit
        low, high = self.interval
        return f"{number_text(self.value)} ± {number_text((high - low) / 2)}{unit}"

    def as_text(self, top: int = 1) -> str:
        """A line for a person.

        Args:
            top: Number of classes that are told, with their probabilities.
        """
        strange = " (unknown: it is unlike the items that the model learnt from)"
        return f"{one_line(self.item)}: {one_line(self.answer(top))}{strange * bool(self.unknown)}"

    def to_json(self) -> dict[str, Any]:
        """What is known of the item, by name, fit for JSON; the probabilities by class."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        del known["classes"]
        if self.probabilities is not None:
            pairs = zip(self.classes, self.probabilities.tolist(), strict=True)
            known["probabilities"] = dict(pairs)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in known.items()
            if value is not None and value != ""
        }
