"""What a fit must know of its task: targets, loss, probe, calibration, figures, report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Dataset
from striate.errors import ArgumentError
from striate.metrics.deciding.aim import Aim
from striate.metrics.items.label_errors import DoubtfulLabel
from striate.report import EvaluatedItems, RunFacts, RunReport
from striate.tasks.prediction import Calibration
from striate.train.losses import Loss
from striate.transfer.probe import LinearProbe, ProbeConfig

Indices: TypeAlias = NDArray[np.int64]
"""Positions of items in the data set."""


@dataclass(frozen=True, kw_only=True)
class ProbeOutputs:
    """The outputs of the linear probe that a fit begins with.

    Attributes:
        val: Outputs of the validation items, in their order.
        test: Outputs of the test items, in their order.
    """

    val: Tensor
    test: Tensor


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The outputs of a fit's result on the test items.

    Attributes:
        outputs: (items, outputs) Uncalibrated outputs of the test items.
        calibration: The calibration of the outputs.
        probe: The outputs of the linear probe; None where there is none.
        novelty: (items,) Novelty of the test items; None where it is not known.
    """

    outputs: Tensor
    calibration: Calibration
    probe: ProbeOutputs | None
    novelty: NDArray[np.float64] | None = None


class Objective(ABC):
    """A task on one data set, as a fit learns it.

    A task whose own methods alone learn it has no loss, no probe and no targets of a training, and
    leaves the methods on these as they are.

    Args:
        dataset: The data set.

    Attributes:
        metrics: Names of the figures that an epoch's validation gives; the first chooses, and less
            of it is better.
        error_name: What the mean of `item_errors` is called.
        error_is_share: Whether it is a share of items or labels.
        num_outputs: Number of outputs that a network must have.
        values: (items, ...) The answers, as the target has them.
        quick: Whether probes are fitted quickly, where the task knows a way to (see
            `ProbeConfig.quick`).
        aim: What the user asks of the answers, which `Task.check_aim` accepts.
    """

    metrics: ClassVar[tuple[str, ...]]
    error_name: ClassVar[str]
    error_is_share: ClassVar[bool] = True
    num_outputs: int
    quick: bool = False
    aim: Aim = Aim()

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.values: NDArray[Any] = dataset.target.values

    def training_targets(self, indices: Indices) -> Tensor:
        """The targets of some items, as the loss takes them."""
        raise _own_methods_alone()

    def learnt_from(self, indices: Indices) -> Indices:
        """Those of some items that a model may learn from; all of them, unless some are for the test."""
        return indices

    def loss(self) -> Loss:
        """What the training of a network minimizes."""
        raise _own_methods_alone()

    def probe_config(self, seed: int) -> ProbeConfig:
        """How a probe of plain features is fitted, with this seed of the folds."""
        return ProbeConfig(seed=seed)

    def can_learn(self, indices: Indices) -> bool:
        """Whether a probe can be fitted to these items alone."""
        return False

    def fit_probe(self, features: Tensor, indices: Indices, config: ProbeConfig) -> LinearProbe:
        """A linear probe of some items.

        Args:
            features: (items, features) Features of all items.
            indices: Positions of the items to fit to.
            config: How to fit; where there are several values of C, cross-validation chooses.
        """
        raise _own_methods_alone()

    def cross_outputs(
        self,
        features: Tensor,
        indices: Indices,
        config: ProbeConfig,
        judged: Tensor | None = None,
    ) -> tuple[Tensor, Indices]:
        """Outputs of probes for items that each was not fitted to, and the items' positions.

        Args:
            features: (items, features) Features of all items.
            indices: Positions of the items to go through, fold by fold.
            config: How to fit, with one value of C.
            judged: (items, features) Other features of all items, such as those of their mirror
                images, of which the outputs are; `features` without it.
        """
        raise _own_methods_alone()

    def membership(self, indices: Indices) -> NDArray[np.bool_]:
        """(items, classes) Which items belong to which class; no columns where there are none."""
        return np.zeros((len(indices), 0), bool)

    def not_told_apart(self, outputs: Tensor, indices: Indices) -> str:
        """Two classes that these outputs clearly do not tell apart, named; empty where there are none.

        Args:
            outputs: (items, outputs) Outputs of held-out items.
            indices: Positions of the items.
        """
        return ""

    def doubtful_labels(self, outputs: Tensor, indices: Indices) -> list[DoubtfulLabel]:
        """Items whose labels are likely wrong, by their places in `outputs`; none without classes.

        Args:
            outputs: (items, outputs) Outputs of models that have not seen the items.
            indices: Positions of the items.
        """
        return []

    @abstractmethod
    def item_losses(
        self, outputs: Tensor, calibration: Calibration, indices: Indices
    ) -> NDArray[np.float64]:
        """(items,) The calibrated loss of each item."""

    @abstractmethod
    def item_errors(self, answers: NDArray[np.float64], indices: Indices) -> NDArray[np.float64]:
        """(items,) How wrong the answer to each item is, as `error_name` says.

        Args:
            answers: Calibrated answers.
            indices: Positions of the items.
        """

    @abstractmethod
    def calibrate(self, outputs: Tensor, indices: Indices) -> tuple[Calibration, float]:
        """The calibration that suits held-out items, and their mean loss under it.

        Args:
            outputs: (items, outputs) Outputs of the items.
            indices: Positions of the items.
        """

    @abstractmethod
    def epoch_metrics(self, outputs: Tensor, indices: Indices) -> Mapping[str, float]:
        """The figures of `metrics` for held-out items, calibrated on the spot."""

    @abstractmethod
    def null_loss(self, indices: Indices) -> float:
        """The mean loss of the best constant prediction on these items."""

    @abstractmethod
    def composition(self) -> tuple[str, str]:
        """What there is to predict, and more of it: the classes with their counts, or a range."""

    @abstractmethod
    def constant(self) -> NDArray[np.float64]:
        """The best answer that knows only the training items' answers."""

    @abstractmethod
    def uncalibrated_answers(self, outputs: Tensor) -> NDArray[np.float64]:
        """The answers that outputs give as they are."""

    @abstractmethod
    def report(self, facts: RunFacts, items: EvaluatedItems, *, seed: int) -> RunReport:
        """The evaluation of the test items as a report.

        Args:
            facts: What there is to say of the run apart from its test items.
            items: The test items with their outputs.
            seed: Seed of the bootstrap.
        """

    def evaluated(self, evaluation: Evaluation) -> EvaluatedItems:
        """The test items with the outputs of the result."""
        dataset, probe = self.dataset, evaluation.probe
        test = dataset.indices("test")
        groups = dataset.duplicate_groups
        leaked = np.isin(groups[test], groups[dataset.splits != "test"])
        return EvaluatedItems(
            ids=dataset.ids(test),
            truth=self.values[test],
            outputs=evaluation.outputs.double().numpy(),
            calibration=evaluation.calibration,
            constant=self.constant(),
            groups=groups[test],
            probe=None if probe is None else self.uncalibrated_answers(probe.test),
            leaked=leaked,
        )


def _own_methods_alone() -> ArgumentError:
    return ArgumentError(
        "this task",
        why="it has no loss that a network or a probe could be trained by",
        fix="choose a method of its own",
    )
