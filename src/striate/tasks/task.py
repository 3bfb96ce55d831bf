"""What a fit must know of its task: targets, loss, probe, calibration, figures, report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Dataset
from striate.metrics import Calibration, NumberCalibration
from striate.report import AnyReport, RunFacts
from striate.transfer.probe import LinearProbe, ProbeConfig

AnyCalibration: TypeAlias = Calibration | NumberCalibration
"""Makes of a network's outputs what a user reads: probabilities, or numbers with an interval."""


@dataclass(frozen=True, kw_only=True)
class ProbeOutputs:
    """What the baseline says: outputs of validation and test items, in their order."""

    val: Tensor
    test: Tensor


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A model's outputs on the test items, and how they are read.

    Attributes:
        outputs: (items, outputs) of the test items.
        calibration: fitted on the validation items.
        probe: of the baseline; None where there is none.
    """

    outputs: Tensor
    calibration: AnyCalibration
    probe: ProbeOutputs | None


class Task(ABC):
    """One task on one data set.

    Attributes:
        name: as `run.json` says it.
        loss: that training lowers.
        metrics: that an epoch's validation gives, the one that chooses first; less is better.
        num_outputs: of a network.
    """

    name: ClassVar[str]
    loss: ClassVar[Literal["cross_entropy", "squared_error"]]
    metrics: ClassVar[tuple[str, ...]]
    num_outputs: int

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    @abstractmethod
    def training_targets(self, indices: NDArray[np.int64]) -> Tensor:
        """(items,) class numbers, or (items, 1) standardized numbers: what the loss takes."""

    @abstractmethod
    def class_counts(self) -> Tensor | None:
        """Training items of each class; None where there are no classes."""

    @abstractmethod
    def probe_config(self, seed: int) -> ProbeConfig:
        """How a probe of plain features is fitted; the seed is that of the folds."""

    @abstractmethod
    def can_learn(self, indices: NDArray[np.int64]) -> bool:
        """Whether a probe can be fitted to these items alone."""

    @abstractmethod
    def fit_probe(
        self, features: Tensor, indices: NDArray[np.int64], config: ProbeConfig
    ) -> LinearProbe:
        """A linear probe of some items.

        Args:
            features: (items, features) of all items.
            indices: of those to fit to.
            config: how; where there are several strengths, cross-validation chooses.
        """

    @abstractmethod
    def cross_outputs(
        self, features: Tensor, indices: NDArray[np.int64], config: ProbeConfig
    ) -> tuple[Tensor, NDArray[np.int64]]:
        """What probes say of items that each was not fitted to, and which items these are.

        Args:
            features: (items, features) of all items.
            indices: of those to go through, fold by fold.
            config: how, with one strength.
        """

    @abstractmethod
    def item_losses(
        self, outputs: Tensor, calibration: AnyCalibration, indices: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """(items,) the loss of each item, calibrated."""

    @abstractmethod
    def calibrated(
        self, outputs: Tensor, indices: NDArray[np.int64]
    ) -> tuple[AnyCalibration, float]:
        """The calibration that suits held-out items, and their loss under it.

        Args:
            outputs: (items, outputs) of the items.
            indices: of the items.
        """

    @abstractmethod
    def epoch_metrics(self, outputs: Tensor, indices: NDArray[np.int64]) -> Mapping[str, float]:
        """The figures of `metrics` for held-out items, calibrated on the spot."""

    @abstractmethod
    def uncalibrated_loss(self, outputs: Tensor, indices: NDArray[np.int64]) -> float:
        """Log loss or squared error of outputs as they are."""

    @abstractmethod
    def ignorance(self, indices: NDArray[np.int64]) -> float:
        """The loss of the best constant answer on these items."""

    @abstractmethod
    def composition(self) -> tuple[str, str]:
        """What there is to predict, and more of it: the classes with their counts, or a range."""

    @abstractmethod
    def prediction_columns(self) -> Sequence[str]:
        """Column names of `predictions.csv`, after the item and its split."""

    @abstractmethod
    def prediction_rows(
        self, outputs: Tensor, calibration: AnyCalibration, indices: NDArray[np.int64]
    ) -> Iterator[Sequence[float | str]]:
        """The cells of those columns for some items."""

    @abstractmethod
    def report(self, facts: RunFacts, tested: Tested, *, seed: int) -> AnyReport:
        """The evaluation of the test items."""

    def leaked(self) -> NDArray[np.bool_] | None:
        """(test items,) those with a copy in another part; None where there are none."""
        groups, splits = self.dataset.duplicate_groups, self.dataset.splits
        found = np.isin(groups[self.dataset.indices("test")], groups[splits != "test"])
        return found if found.any() else None
