"""Items whose labels are likely wrong, by what models answer that have not seen them.

As many are in doubt as are estimated to be wrong (`num_errors`), the most doubtful ones
(`label_doubts`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from striate.metrics.items.label_doubts import (
    label_doubts,
    num_errors,
    other_probabilities,
    plain_doubts,
    usual_probabilities,
)

MIN_DOUBT: Final = 3.0
"""The least of `plain_doubts` at which a label is likely wrong.

Where classes overlap, models are confidently wrong of many items between two of them, and the
estimate of how many labels are wrong is too large."""


SURE: Final = 0.5
"""The least probability of another class at which a label is put to it; below, the item is left out."""


class DoubtfulLabel(NamedTuple):
    """A label that is likely wrong.

    Attributes:
        item: Position of the item.
        likely: Number of the class that it more likely belongs to.
        probability: Probability of that class.
        own_probability: Probability of the class that the label names.
    """

    item: int
    likely: int
    probability: float
    own_probability: float

    @property
    def is_sure(self) -> bool:
        """Whether the likely class is probable enough to be the new label."""
        return self.probability >= SURE


def doubtful_labels(
    probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> list[DoubtfulLabel]:
    """The items whose labels are likely wrong, the most doubtful first (see `label_doubts`).

    They are as many as are estimated to be wrong, but for those of less plain doubt than
    `MIN_DOUBT`.

    Args:
        probabilities: Calibrated probabilities, each row of a model that has not seen the item.
        labels: Numbers of the classes that the labels name.
    """
    usual = usual_probabilities(probabilities, labels)
    others = other_probabilities(probabilities, labels, usual)
    plain = plain_doubts(probabilities, labels, usual)
    doubts = label_doubts(probabilities, labels)
    ranked = np.argsort(-doubts, kind="stable")[: round(num_errors(probabilities, labels, usual))]
    return [
        DoubtfulLabel(
            int(i),
            int(others[i].argmax()),
            float(others[i].max()),
            float(probabilities[i, labels[i]]),
        )
        for i in ranked
        if plain[i] >= MIN_DOUBT
    ]
