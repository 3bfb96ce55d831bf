"""What is tested of new items against the held-out items of a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.errors import one_line
from striate.metrics.intervals import number_text
from striate.metrics.unlabelled.two_sample import classifier_test, holm
from striate.tasks.prediction import Prediction

LEVEL: Final = 0.02
"""Share of data like the known ones that are taken for unlike them, over all tests together."""

MIN_CLASS: Final = 20
"""Items of either side from which a class is tested by itself."""

_MIN_KNOWN: Final = 20
"""Test items from which the share of unknown ones among them is a yardstick."""

MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "bits": ("of less content", "of more content"),
    "border": ("darker at the border", "brighter at the border"),
    "bright": ("darker in their bright parts", "brighter in their bright parts"),
    "brightest": ("darker in their brightest parts", "brighter in their brightest parts"),
    "brightness": ("darker", "brighter"),
    "colour": ("less coloured", "more coloured"),
    "contrast": ("of less contrast", "of more contrast"),
    "dark": ("darker in their dark parts", "brighter in their dark parts"),
    "darkest": ("darker in their darkest parts", "brighter in their darkest parts"),
    "height": ("less high", "higher"),
    "length": ("shorter", "longer"),
    "level": ("lower in level", "higher in level"),
    "loudness": ("quieter", "louder"),
    "middle": ("darker in the middle of their range", "brighter in the middle of their range"),
    "sharpness": ("less sharp", "sharper"),
    "width": ("narrower", "wider"),
}
"""What lower and higher values of a plain figure mean; others are told by their names."""


_PLAINEST: Final = frozenset(
    {"brightness", "colour", "contrast", "height", "length", "loudness", "sharpness", "width"}
)
"""Figures that a person understands at once; they are told before others."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One test of new items against held-out ones.

    Attributes:
        name: What is compared, in kebab case.
        p_value: How often a difference as large comes by chance, raised by Holm's method for the
            number of checks.
        found: Whether the items differ.
        says: What was measured, for a person.
    """

    name: str
    p_value: float
    found: bool
    says: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A plain figure in which new items differ from known ones.

    Attributes:
        trait: Name of the figure.
        known: Median over the run's test items.
        new: Median over the new items.
        says: What the difference means, for a person.
    """

    trait: str
    known: float
    new: float
    says: str

    def as_text(self) -> str:
        """The difference with its figures."""
        new, known = number_text(self.new), number_text(self.known)
        return f"{self.says} ({self.trait} {new} instead of {known})"


@dataclass(frozen=True, kw_only=True)
class ClassShare:
    """How often a class is predicted, and whether the items of it are like known ones.

    Attributes:
        name: Name of the class.
        known: Share of the run's test items for which it is predicted.
        new: Share of the new items.
        count: Number of new items for which it is predicted.
        unknown: Share of these that are taken for none of the classes; None where not known.
        p_value: Of the test that its items are like known ones of it, raised for the number of
            classes; None where there are too few.
        found: Whether they differ.
    """

    name: str
    known: float
    new: float
    count: int
    unknown: float | None
    p_value: float | None
    found: bool


def unknown_p_value(known: NDArray[np.bool_], new: NDArray[np.bool_], promised: float) -> float:
    """How often so many unknown items come by chance among items like the known ones.

    Args:
        known: Which test items are taken for unknown.
        new: Which new items are.
        promised: Share that the threshold was chosen for; taken where there are few test items.
    """
    from scipy.stats import binomtest, fisher_exact

    count = int(new.sum())
    if len(known) < _MIN_KNOWN:
        return float(binomtest(count, len(new), promised, alternative="greater").pvalue)
    among = int(known.sum())
    table = [[count, len(new) - count], [among, len(known) - among]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def answers_p_value(known: Sequence[Prediction], new: Sequence[Prediction], seed: int) -> float:
    """How often the predictions of two sets of like items differ so much.

    Of classes that is a difference of their probabilities, of numbers one of their distributions.

    Args:
        known: What is predicted for test items.
        new: What is predicted for new items.
        seed: Seed of the permutations.
    """
    values = [np.array([p.value for p in each], np.float64) for each in (known, new)]
    if not np.isnan(values[1]).any():
        return _kolmogorov_smirnov(*values)[1]
    first, second = (np.stack([_shares(p) for p in each]) for each in (known, new))
    return classifier_test(first, second, seed=seed).p_value


def _kolmogorov_smirnov(
    known: NDArray[np.float64], new: NDArray[np.float64]
) -> tuple[float, float]:
    """The largest difference of two distributions, and how often chance gives one as large."""
    from scipy.stats import ks_2samp

    with warnings.catch_warnings():
        # For some sizes SciPy has no exact p-value, warns, and takes the asymptotic one.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = ks_2samp(known, new)
    return float(found.statistic), float(found.pvalue)


def _shares(prediction: Prediction) -> NDArray[np.float64]:
    return np.asarray(prediction.numbers(), np.float64)


def differences(
    known: Mapping[str, NDArray[np.float64]], new: Mapping[str, NDArray[np.float64]]
) -> tuple[list[Difference], float]:
    """The plain figures in which new items differ, the clearest first; and the p-value of them all.

    Args:
        known: Figures of test items by name, NaN where one has none.
        new: Figures of new items.
    """
    pairs = {name: (_finite(known[name]), _finite(new[name])) for name in known if name in new}
    pairs = {name: pair for name, pair in pairs.items() if all(map(len, pair))}
    if not pairs:
        return [], 1.0
    tests = [_kolmogorov_smirnov(*pair) for pair in pairs.values()]
    p_values = holm(np.array([p for _, p in tests]))
    clear = [
        (apart, _difference(name, *pairs[name]))
        for name, (apart, _), p in zip(pairs, tests, p_values, strict=True)
        if p <= LEVEL
    ]
    clear.sort(key=lambda row: (row[1].trait not in _PLAINEST, -row[0]))
    return [difference for _, difference in clear], float(p_values.min())


def _difference(name: str, known: NDArray[Any], new: NDArray[Any]) -> Difference:
    before, after = float(np.median(known)), float(np.median(new))
    if after == before:
        says = f"{name} otherwise spread"
    else:
        says = MEANINGS.get(name, (f"lower in {name}", f"higher in {name}"))[after > before]
    return Difference(trait=name, known=before, new=after, says=says)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def class_shares(
    names: Sequence[str],
    known: Sequence[Prediction],
    new: Sequence[Prediction],
    features: tuple[NDArray[np.float64], NDArray[np.float64]],
    sampled: NDArray[np.int64],
    seed: int,
) -> list[ClassShare]:
    """How often each class is predicted, and whether the items of it differ; none without classes.

    Args:
        names: Names of the classes.
        known: What is predicted for test items.
        new: What is predicted for new items.
        features: Features of the test items, and of some of the new ones.
        sampled: Positions of those new items.
        seed: Seed of the permutations.
    """
    rows: list[ClassShare] = []
    some = [new[place] for place in sampled]
    for name in names:
        of = [np.array([name in _labels(p) for p in each]) for each in (known, new, some)]
        unknown = [p.unknown for p in new if name in _labels(p) and p.unknown is not None]
        parts = features[0][of[0]], features[1][of[2]]
        tested = min(map(len, parts)) >= MIN_CLASS
        rows.append(
            ClassShare(
                name=name,
                known=float(of[0].mean()) if len(of[0]) else 0.0,
                new=float(of[1].mean()),
                count=int(of[1].sum()),
                unknown=float(np.mean(unknown)) if unknown else None,
                p_value=classifier_test(*parts, seed=seed).p_value if tested else None,
                found=False,
            )
        )
    return _judged(rows)


def _judged(rows: list[ClassShare]) -> list[ClassShare]:
    tested = [place for place, row in enumerate(rows) if row.p_value is not None]
    raised = holm(np.array([rows[place].p_value for place in tested], np.float64))
    for place, p in zip(tested, raised.tolist(), strict=True):
        rows[place] = replace(rows[place], p_value=p, found=p <= LEVEL)
    return rows


def _labels(prediction: Prediction) -> tuple[str, ...]:
    if prediction.labels is not None:
        return prediction.labels
    return () if prediction.label is None else (prediction.label,)


def joined(words: Sequence[str], most: int = 3) -> str:
    """Words of a list in one line."""
    return one_line(", ".join(words[:most]))
