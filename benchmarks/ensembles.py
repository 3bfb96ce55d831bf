"""What a weighted mean of two models of one fit would gain, inside its training and validation items.

    python benchmarks/ensembles.py SET [SET ...] [--seeds 0] [--methods probe kernel wide]

Sets are those of the league; no test item is looked at. Two models that both have outputs of a
cross-validation are compared on those, where one is a trained network on the validation items. The
weight of the mean of their calibrated probabilities (of predictions, where numbers are learnt) is
fitted to one half of the items and judged on the other, 20 times. Columns: items, the loss of each
model, the loss of the mean, its gain over the better one, and how many standard errors of the items'
gains that is; a choice between models wants two. A set takes seconds to minutes, `scratch` among the
methods minutes. Results: docs/decisions/0009-no-ensembles.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from league_sets import SETS, SetMissingError, source_of
from scipy.optimize import minimize_scalar

from striate.fitting import fit as fitting
from striate.fitting.baseline import Baseline
from striate.fitting.candidate import Proposal
from striate.fitting.context import FitContext
from striate.fitting.framing import choose_framing
from striate.fitting.prepare import methods_to_try

SPLITS = 20
"""Times that the items are halved."""

Answers = np.ndarray[Any, Any]
Loss = Callable[[Answers, Answers], Answers]


class EnoughError(Exception):
    """Ends a fit before anything is chosen."""


def log_loss(probabilities: Answers, labels: Answers) -> Answers:
    """(items,) Negative log likelihood of each item's own class."""
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-300))


def squared_error(numbers: Answers, truth: Answers) -> Answers:
    """(items,) Squared error of each item."""
    return (numbers - truth) ** 2


def weight_of(first: Answers, second: Answers, truth: Answers, loss: Loss) -> float:
    """The weight of the second in the mean of the two with the least loss."""
    found = minimize_scalar(
        lambda w: loss((1 - w) * first + w * second, truth).mean(), bounds=(0, 1), method="bounded"
    )
    return float(found.x)


def mean_losses(first: Answers, second: Answers, truth: Answers, loss: Loss) -> Answers:
    """(items,) Losses of the mean whose weight other items gave."""
    rng, total = np.random.default_rng(0), np.zeros(len(truth))
    for _ in range(SPLITS):
        half = rng.permutation(len(truth)) % 2 == 0
        for fitted, judged in ((half, ~half), (~half, half)):
            w = weight_of(first[fitted], second[fitted], truth[fitted], loss)
            total[judged] += loss((1 - w) * first[judged] + w * second[judged], truth[judged])
    return total / SPLITS


def held_out(context: FitContext, pair: Sequence[Proposal]) -> tuple[list[Answers], Answers]:
    """Calibrated answers of two models for the items that judge both, and the truth."""
    objective = context.objective
    val = context.dataset.indices("val")
    crossed = [proposal.cross_outputs for proposal in pair]
    if all(crossed):
        parts = [outputs() for outputs in crossed if outputs]
    else:
        parts = [(proposal.outputs, val) for proposal in pair]
    both = np.intersect1d(parts[0][1], parts[1][1])
    answers = []
    for outputs, indices in parts:
        calibration, _ = objective.calibrate(outputs, indices)
        rows = np.searchsorted(indices, both)
        answers.append(calibration.answers(outputs.double().numpy()[rows]))
    return answers, objective.values[both]


def judged(context: FitContext, wanted: Sequence[str], name: str) -> None:
    """Fit what is wanted and print a row for each pair."""
    methods = methods_to_try(context)
    context.inputs = choose_framing(context)
    baseline = Baseline(context)
    proposals = [m.propose(context, baseline) for m in methods if m.name in wanted]
    loss: Loss = log_loss if context.dataset.classes else squared_error
    for pair in combinations(proposals, 2):
        (first, second), truth = held_out(context, pair)
        alone = [loss(answers, truth) for answers in (first, second)]
        best = min(alone, key=np.mean)
        gain = best - mean_losses(first, second, truth, loss)
        errors = gain.mean() / max(gain.std() / len(gain) ** 0.5, 1e-12)
        print(
            f"{name:24} {pair[0].method} + {pair[1].method:8} n={len(truth):4} "
            f"{alone[0].mean():.4f} {alone[1].mean():.4f} mean {best.mean() - gain.mean():.4f} "
            f"gain {gain.mean() / best.mean():+.1%}, {errors:+.1f} standard errors",
            flush=True,
        )
    raise EnoughError


def main() -> None:
    """Go through the sets and seeds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="+", choices=sorted(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--methods", nargs="+", default=["probe", "kernel", "wide"])
    asked = parser.parse_args()
    for name in asked.sets:
        for seed in asked.seeds:
            row = f"{name}, seed {seed}"
            fitting._learn = lambda context, row=row: judged(context, asked.methods, row)
            with tempfile.TemporaryDirectory() as folder:
                try:
                    source = source_of(SETS[name], seed)
                    fitting.fit(source, out=Path(folder) / "run", seed=seed, progress=False)
                except EnoughError:
                    continue
                except SetMissingError as error:
                    print(f"{row}: {error}")


if __name__ == "__main__":
    main()
