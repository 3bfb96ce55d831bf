"""What is gained by leaving the least sure answers to a person: risk against coverage.

Source: Geifman and El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from striate.metrics.intervals import Draws, Estimate, Numbers, Weights, bootstrap

MAX_POINTS: Final = 100
"""Points of a curve that are kept, at most."""


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """The mean error of the surest answers, by how many of all they are.

    Attributes:
        coverage: Shares of the items, ascending to 1.
        risk: Mean error of the surest items of that share; of items that are equally sure, what is
            expected of any choice among them.
        threshold: The least confidence among those items.
        area: Mean risk over all shares; lower is better.
    """

    coverage: Float[np.ndarray, " p"]
    risk: Float[np.ndarray, " p"]
    threshold: Float[np.ndarray, " p"]
    area: Estimate


def risk_coverage(
    confidence: Float[np.ndarray, " n"],
    errors: Float[np.ndarray, " n"],
    groups: Numbers | None = None,
    *,
    seed: int = 0,
) -> RiskCoverage:
    """The curve, with the area below it and its interval.

    Args:
        confidence: How sure the answer to each item is.
        errors: How wrong it is, such as 0 or 1.
        groups: Number of each item's group (copies), which counts as one fact.
        seed: Seed of the draws.
    """
    order = np.argsort(-confidence, kind="stable")
    sure = confidence[order]
    counts = np.arange(1, len(sure) + 1)
    risk = expected_risk(confidence, errors, np.ones((len(errors), 1)))[:, 0]
    kept = np.unique(np.linspace(0, len(sure) - 1, min(MAX_POINTS, len(sure))).round().astype(int))
    area = bootstrap(
        lambda weights: {"area": risk_area(confidence, errors, weights)},
        np.zeros(len(errors), np.int64),
        groups,
        undefined="there is no item",
        seed=seed,
    )["area"]
    return RiskCoverage(
        coverage=counts[kept] / len(sure), risk=risk[kept], threshold=sure[kept], area=area
    )


def expected_risk(
    confidence: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"], weights: Weights
) -> Float[np.ndarray, "n b"]:
    """The mean error of the surest items, down to each, in the order of falling confidence.

    Items that are equally sure stand in no order: each first part of them has their mean error.

    Args:
        confidence: How sure each answer is.
        errors: How wrong each is.
        weights: How often each item counts.
    """
    order = np.argsort(-confidence, kind="stable")
    _, tie = np.unique(-confidence[order], return_inverse=True)
    weight = weights[order]
    lost = np.zeros((int(tie.max()) + 1, weight.shape[1]))
    total = np.zeros_like(lost)
    np.add.at(lost, tie, weight * errors[order][:, None])
    np.add.at(total, tie, weight)
    means = np.divide(lost, total, out=np.zeros_like(lost), where=total > 0)
    risks = np.cumsum(weight * means[tie], 0)
    return np.asarray(risks / np.maximum(np.cumsum(weight, 0), 1e-12))


def risk_area(
    confidence: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"], weights: Weights
) -> Draws:
    """The area below the curve: the mean risk over the items' shares."""
    order = np.argsort(-confidence, kind="stable")
    weight = weights[order]
    risk = expected_risk(confidence, errors, weights)
    return np.asarray((risk * weight).sum(0) / weight.sum(0))
