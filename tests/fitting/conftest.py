"""Data sets without anything to read, for what asks a fit's objective alone."""

import numpy as np
import pytest

from striate.data.dataset import Dataset
from striate.data.source import Item
from striate.tasks.task import task_of


@pytest.fixture
def objective_of():
    """The objective of items with these labels or numbers, in these splits."""

    def make(splits, labels=None, targets=None):
        items = tuple(
            Item(
                id=str(n),
                label=None if labels is None else str(labels[n]),
                target=None if targets is None else float(targets[n]),
            )
            for n in range(len(splits))
        )
        task = task_of(items)
        dataset = Dataset(
            kind="image",
            name="made",
            items=items,
            target=task.encode(items, "made"),
            splits=np.asarray(splits),
            sha256=tuple(map(str, range(len(splits)))),
            duplicate_groups=np.arange(len(splits)),
            store=[None] * len(splits),
        )
        return task.objective(dataset)

    return make
