"""What a fit does with items of a kind, and what it has in common for all of them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Dataset
from striate.fitting.baseline import probe_of
from striate.fitting.context import Job
from striate.fitting.training import Training, history_rows, plan_training, run_training
from striate.progress import duration
from striate.report import AnyReport, Choice, Picture
from striate.run.folder import FeedRecord, PreprocessingRecord
from striate.run.predictor import Predictor
from striate.tasks import ProbeOutputs, Task
from striate.train.plan import Deadline, TrainPlan
from striate.transfer.probe import LinearProbe

REPORTING: Final = 12.0
"""Seconds kept back for the report and its pictures."""

LEAST_TRAINING: Final = 20.0
"""Seconds below which training by steps is not begun."""

EVALUATION_SHARE: Final = 0.2
"""Of the time, the most that predicting held-out items may take."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that may be the result.

    Attributes:
        method: how it was trained.
        model: name of its network.
        predictor: calibrated on the validation items.
        outputs: of the validation items, uncalibrated; None where it learnt from them too.
        loss: of held-out items, calibrated.
        history: a row an epoch.
        details: what else the report says of the model.
    """

    method: str
    model: str
    predictor: Predictor
    outputs: Tensor | None
    loss: float
    history: Sequence[dict[str, float]] = ()
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a fit ends with.

    Attributes:
        candidate: the best model.
        probe: outputs of the baseline; None where there was none.
    """

    candidate: Candidate
    probe: ProbeOutputs | None


class Pipeline(ABC):
    """A fit of one kind of items, step by step.

    Args:
        job: the fit.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    @abstractmethod
    def look(self) -> Dataset:
        """Read, check and split the data."""

    @abstractmethod
    def train(self, task: Task) -> Chosen:
        """Train what the method asks for, and choose on the validation items alone.

        Raises:
            ArgumentError: the method does not suit the kind.
            WeightsError: the pretrained weights do not fit.
            WeightsUnavailableError: they are not on this machine, nor to be had.
            StoppedError: the user asked to stop.
        """

    @abstractmethod
    def outputs(self, predictor: Predictor, indices: NDArray[np.int64], label: str) -> Tensor:
        """(items, outputs) uncalibrated outputs of some items, in their order.

        Raises:
            StoppedError: the user asked to stop.
        """

    @abstractmethod
    def pictures(self, report: AnyReport, predictor: Predictor) -> Mapping[str, Picture]:
        """Pictures of the worst mistakes, by the item's id."""

    @abstractmethod
    def preprocessing(self, predictor: Predictor) -> PreprocessingRecord | FeedRecord:
        """How an item becomes the network's input, for `run.json`."""

    @abstractmethod
    def input_shape(self) -> Sequence[int]:
        """Of one item's input, channels first."""

    def candidate(
        self,
        task: Task,
        method: str,
        model: str,
        predictor: Predictor,
        history: Sequence[dict[str, float]] = (),
    ) -> Candidate:
        """A trained network as a calibrated candidate."""
        val = task.dataset.indices("val")
        outputs: Tensor = self.job.ledger.timed(
            "evaluate", lambda: self.outputs(predictor, val, "predicting validation")
        )
        calibration, loss = task.calibrated(outputs, val)
        return Candidate(
            method=method,
            model=model,
            predictor=replace(predictor, calibration=calibration),
            outputs=outputs,
            loss=loss,
            history=history,
        )

    def fit_probe(self, task: Task, features: Tensor) -> tuple[LinearProbe, ProbeOutputs]:
        """The baseline; its figures on validation are the first that the user sees."""
        job = self.job
        probe: LinearProbe = job.ledger.timed(
            "train",
            lambda: probe_of(
                task, features, task.dataset.indices("train"), job.config.seed, job.ledger
            ),
        )
        val, test = task.dataset.indices("val"), task.dataset.indices("test")
        outputs = ProbeOutputs(val=probe.logits(features[val]), test=probe.logits(features[test]))
        self.tell_validation(task, "baseline", "linear probe on frozen features", outputs.val)
        return probe, outputs

    def tell_validation(self, task: Task, name: str, model: str, outputs: Tensor) -> None:
        """Say how a model does on validation, as soon as it is there."""
        figures = task.epoch_metrics(outputs, task.dataset.indices("val"))
        told = [f"{key.replace('_', ' ')} {figures[key]:.4f}" for key in reversed(task.metrics)]
        self.job.progress.say(
            f"{name} after {duration(self.job.seconds())}: {model}, validation {', '.join(told)}"
        )

    def refitted(
        self,
        task: Task,
        method: str,
        model: str,
        predictor: Predictor,
        held_out: tuple[Tensor, NDArray[np.int64]],
    ) -> Candidate:
        """A model on frozen features that learnt from the validation items too, as the result.

        Args:
            task: of the fit.
            method: how it was trained.
            model: name of its network.
            predictor: not calibrated yet.
            held_out: what models like it say of items that each was not fitted to, and which.
        """
        why = "no network trained by steps is the result, so nothing else needs them"
        self.job.tell(Choice(topic="validation items", choice="learnt from in the end", why=why))
        calibration, loss = task.calibrated(*held_out)
        return Candidate(
            method=method,
            model=model,
            predictor=replace(predictor, calibration=calibration),
            outputs=None,
            loss=loss,
        )

    def seconds_to_train(self) -> float:
        """What is left for training once prediction and the report have their share."""
        return (1 - EVALUATION_SHARE) * self.job.seconds_left() - REPORTING

    def run_training(self, training: Training, end: float) -> list[dict[str, float]]:
        """Train to the moment `end`, or for the epochs asked for; a row an epoch."""
        job = self.job
        asked = job.config.epochs

        def make_plan() -> dict[str, object]:
            return plan_training(
                training, epochs=asked, seconds=end - time.monotonic(), seed=job.config.seed
            ).to_json()

        plan = TrainPlan(**job.ledger.decide("plan", make_plan))
        job.progress.say(
            f"training {plan.epochs} epochs of {training.batches.steps_per_epoch} steps"
        )
        deadline = Deadline(end - time.monotonic()) if asked is None else None
        result = job.ledger.timed(
            "train",
            lambda: run_training(
                training,
                plan,
                folder=job.folder,
                deadline=deadline,
                progress=job.progress,
                stop=job.stop,
            ),
        )
        return history_rows(result.history)
