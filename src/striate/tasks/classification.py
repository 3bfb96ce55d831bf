"""Classes: cross entropy, calibrated probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Dataset
from striate.metrics import Calibration, fit_calibration, negative_log_likelihood
from striate.report import AnyReport, RunFacts, TestItems, build_report
from striate.tasks.task import AnyCalibration, Task, Tested
from striate.transfer.probe import LinearProbe, ProbeConfig, cross_outputs, fit_probe

_CLASSES_NAMED = 10


class Classification(Task):
    """Which of some classes an item belongs to."""

    name = "classification"
    loss = "cross_entropy"
    metrics = ("log_loss", "accuracy")

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        self.num_outputs = len(dataset.classes)

    def training_targets(self, indices: NDArray[np.int64]) -> Tensor:
        """(items,) class numbers."""
        return torch.from_numpy(self.dataset.labels[indices])

    def class_counts(self) -> Tensor:
        """(classes,) training items of each."""
        labels = self.training_targets(self.dataset.indices("train"))
        return torch.bincount(labels, minlength=self.num_outputs)

    def probe_config(self, seed: int) -> ProbeConfig:
        """The strengths of a logistic regression."""
        return ProbeConfig(seed=seed)

    def can_learn(self, indices: NDArray[np.int64]) -> bool:
        """Whether each class occurs."""
        return len(np.unique(self.dataset.labels[indices])) == self.num_outputs

    def fit_probe(
        self, features: Tensor, indices: NDArray[np.int64], config: ProbeConfig
    ) -> LinearProbe:
        """Logistic regression, its strength chosen by cross-validation in these items."""
        return fit_probe(
            features[indices],
            self.training_targets(indices),
            self.num_outputs,
            config=config,
            groups=self.dataset.duplicate_groups[indices],
        )

    def cross_outputs(
        self, features: Tensor, indices: NDArray[np.int64], config: ProbeConfig
    ) -> tuple[Tensor, NDArray[np.int64]]:
        """Logits of stratified folds."""
        outputs, covered = cross_outputs(
            features[indices],
            self.training_targets(indices),
            self.num_outputs,
            config=config,
            groups=self.dataset.duplicate_groups[indices],
        )
        return outputs, indices[covered]

    def item_losses(
        self, outputs: Tensor, calibration: AnyCalibration, indices: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Negative log likelihoods."""
        assert isinstance(calibration, Calibration)
        probabilities = calibration.probabilities(outputs.numpy())
        chosen = probabilities[np.arange(len(indices)), self.dataset.labels[indices]]
        return np.asarray(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)))

    def calibrated(self, outputs: Tensor, indices: NDArray[np.int64]) -> tuple[Calibration, float]:
        """A temperature, with shifts of the classes where they help, and the log loss."""
        labels = self.dataset.labels[indices]
        calibration = fit_calibration(outputs.numpy(), labels)
        scaled = calibration.scaled(outputs.numpy())
        return calibration, negative_log_likelihood(scaled, labels)

    def epoch_metrics(self, outputs: Tensor, indices: NDArray[np.int64]) -> Mapping[str, float]:
        """Log loss and accuracy of calibrated probabilities."""
        calibration, loss = self.calibrated(outputs, indices)
        answers = calibration.scaled(outputs.numpy()).argmax(1)
        return {
            "log_loss": loss,
            "accuracy": float((answers == self.dataset.labels[indices]).mean()),
        }

    def uncalibrated_loss(self, outputs: Tensor, indices: NDArray[np.int64]) -> float:
        """Mean negative log likelihood."""
        return negative_log_likelihood(outputs.numpy(), self.dataset.labels[indices])

    def ignorance(self, indices: NDArray[np.int64]) -> float:
        """Entropy of the classes' shares."""
        labels = self.dataset.labels[indices]
        shares = np.bincount(labels) / len(labels)
        return float(-np.sum(shares[shares > 0] * np.log(shares[shares > 0])))

    def composition(self) -> tuple[str, str]:
        """The first classes with their counts."""
        classes = self.dataset.classes
        counts = np.bincount(self.dataset.labels, minlength=len(classes))
        named = list(zip(classes, counts, strict=True))[:_CLASSES_NAMED]
        return f"in {len(classes)} classes", ", ".join(f"{name} {n}" for name, n in named)

    def prediction_columns(self) -> Sequence[str]:
        """Label, prediction, and a probability a class."""
        return ["label", "prediction", *self.dataset.classes]

    def prediction_rows(
        self, outputs: Tensor, calibration: AnyCalibration, indices: NDArray[np.int64]
    ) -> Iterator[Sequence[float | str]]:
        """Names of both classes, and every probability."""
        assert isinstance(calibration, Calibration)
        classes = self.dataset.classes
        for index, row in zip(indices, calibration.probabilities(outputs.numpy()), strict=True):
            yield [
                classes[self.dataset.labels[index]],
                classes[int(row.argmax())],
                *(f"{value:.9g}" for value in row),
            ]

    def report(self, facts: RunFacts, tested: Tested, *, seed: int) -> AnyReport:
        """The evaluation; the probe's probabilities are not calibrated."""
        assert isinstance(tested.calibration, Calibration)
        dataset = self.dataset
        test = dataset.indices("test")
        probe = tested.probe
        items = TestItems(
            ids=dataset.ids(test),
            labels=dataset.labels[test],
            logits=tested.outputs.double().numpy(),
            calibration=tested.calibration,
            groups=dataset.duplicate_groups[test],
            probe_probabilities=None if probe is None else probe.test.double().softmax(1).numpy(),
            leaked=self.leaked(),
        )
        return build_report(facts, items, seed=seed)
