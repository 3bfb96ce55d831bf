"""What is to be learnt of the items, one file a task."""

from __future__ import annotations

from striate.data.dataset import Dataset
from striate.tasks.classification import Classification
from striate.tasks.regression import Regression
from striate.tasks.task import AnyCalibration, ProbeOutputs, Task, Tested

__all__ = [
    "AnyCalibration",
    "Classification",
    "ProbeOutputs",
    "Regression",
    "Task",
    "Tested",
    "task_of",
]


def task_of(dataset: Dataset) -> Task:
    """The task of a data set: numbers where it has targets, classes otherwise."""
    return Classification(dataset) if dataset.targets is None else Regression(dataset)
