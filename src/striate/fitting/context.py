"""What every part of a fit needs to know."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Dataset
from striate.data.source import Source
from striate.errors import StoppedError
from striate.fitting.options import FitOptions
from striate.fitting.steps import Steps
from striate.kinds.inputs import Inputs
from striate.kinds.kind import Defaults, Kind
from striate.progress import Progress, duration
from striate.report.schema import Candidate as CandidateRow
from striate.report.schema import Choice
from striate.run.folder import RunFolder
from striate.tasks.objective import Objective
from striate.tasks.task import Task
from striate.train.energy import EnergyMeter
from striate.train.history import StopWish
from striate.train.logs.log import Log, NoLog
from striate.train.strategy import Strategy

REPORT_SECONDS: Final = 12.0
"""Seconds kept back for the report and its pictures."""

EVALUATION_SHARE: Final = 0.2
"""Largest share of the time that predicting held-out items may take."""


CHECK_STOP_EVERY: Final = 64
"""Items after which a pass over items looks whether the user asked to stop."""


@dataclass(kw_only=True)
class FitContext:
    """A fit in progress.

    Attributes:
        options: What the user chose.
        source: The data.
        kind: Kind of the items.
        task: What is predicted.
        folder: Run folder that is written.
        steps: Results of steps, kept for a resumed fit.
        device: Where to compute.
        progress: Told of the work.
        stop: Says whether to save and stop, or to "finish" with the best model so far.
        finishing: Whether the search was ended early and the best model so far is finished.
        is_fold: Whether it is a fold of a cross-validation, which has no report and whose best model
            so far is not kept to be used meanwhile.
        shared: Features of all items that the folds of a cross-validation share, by what made them.
        energy: Counts the energy of the fit; None where it began in another process.
        strategy: The processes that fit together.
        began: Moment of the start (`time.monotonic`), less the time of earlier attempts.
        choices: Decisions made for the user, for the report.
        candidates: What was tried, for the report.
        first_baseline: Seconds until the first model could be judged; None before.
        history: A row for each epoch of the last training by steps, whether it was kept or not.
        trained: Name of the method that trained by steps last.
        to_beat: Validation loss of the best model so far; None before the first.
        predicted_per_second: Items of the test part that the result predicted in a second.
        input_options: Options of the inputs, those of the user and those that the kind chose.
        dataset: The items, read, checked and split.
        inputs: How an item becomes a network's input, fitted to the training items.
        objective: The task on this data set.
        defaults: Networks and settings that suit the inputs.
        log: Where the curves and the figures are logged.
    """

    options: FitOptions
    source: Source
    kind: Kind
    task: Task
    folder: RunFolder
    steps: Steps
    device: torch.device
    progress: Progress
    stop: Callable[[], StopWish]
    began: float
    finishing: bool = False
    is_fold: bool = False
    shared: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    energy: EnergyMeter | None = None
    choices: list[Choice] = field(default_factory=list)
    candidates: list[CandidateRow] = field(default_factory=list)
    strategy: Strategy = field(default_factory=Strategy)
    first_baseline: float | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    trained: str = ""
    to_beat: float | None = None
    predicted_per_second: float = 0.0
    log: Log = field(default_factory=NoLog)
    input_options: dict[str, Any] = field(init=False)
    dataset: Dataset = field(init=False)
    inputs: Inputs[Any] = field(init=False)
    objective: Objective = field(init=False)
    defaults: Defaults = field(init=False)

    def seconds(self) -> float:
        """Time spent on the fit so far, in seconds."""
        return time.monotonic() - self.began

    def seconds_left(self) -> float:
        """Seconds until the time given is over."""
        return self.options.seconds - self.seconds()

    def seconds_to_train(self) -> float:
        """Seconds left for training once prediction and the report have their share."""
        report = 0.0 if self.is_fold else REPORT_SECONDS
        return (1 - EVALUATION_SHARE) * self.seconds_left() - report

    def decide(self, topic: str, make: Callable[[], Choice]) -> str:
        """A decision, made once and the same after a resume; the user is told."""
        choice = Choice(**self.steps.step(topic, lambda: make().model_dump()))
        self.tell(choice)
        return choice.choice

    def tell(self, choice: Choice) -> None:
        """Tell the user of a decision, and keep it for the report."""
        self.choices.append(choice)
        self.progress.say(f"{choice.topic}: {choice.choice} ({choice.why})")

    def tell_validation(self, name: str, model: str, outputs: Tensor) -> None:
        """Say how a model does on the validation items, as soon as that is known."""
        if self.first_baseline is None:
            self.first_baseline = self.seconds()
        metrics = self.objective.metrics
        figures = self.objective.epoch_metrics(outputs, self.dataset.indices("val"))
        told = [f"{key.replace('_', ' ')} {figures[key]:.4f}" for key in reversed(metrics)]
        after = duration(self.seconds())
        self.progress.say(f"{name} after {after}: {model}, validation {', '.join(told)}")

    def batches(
        self, indices: NDArray[np.int64], inputs: Inputs[Any] | None = None
    ) -> Iterator[Any]:
        """Inputs without chance of some items, in order, in batches that are computed at once.

        Args:
            indices: Positions of the items.
            inputs: How items become inputs; by default as in the fit.

        Raises:
            StoppedError: The user asked to stop.
        """
        inputs = inputs or self.inputs
        size = inputs.batch_size or max(1, len(indices))
        for start in range(0, len(indices), size):
            if start % CHECK_STOP_EVERY < size:
                self.check_stop()
            yield inputs.inputs(self.dataset.store.take(indices[start : start + size]))

    def end_search(self) -> None:
        """From now on finish the best model so far; steps of a resumed fit stay as they are."""
        self.finishing = True
        self.steps.keep = False
        self.progress.say("the search was ended; the best model so far is the result")

    def check_stop(self) -> None:
        """Leave where the user asked to stop, or the search where it was to be ended.

        Raises:
            StoppedError: The user did.
        """
        asked = self.stop()
        if asked and not (self.finishing and asked == "finish"):
            raise StoppedError
