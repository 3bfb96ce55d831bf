"""Where a model is worst: groups of items that have something in common and larger errors.

Many groups are looked at, and the worst of many looks bad by chance alone. So the largest of all
their statistics is compared with the largest under random exchanges of the errors among the items
(the max-T procedure of Westfall and Young, "Resampling-based multiple testing", 1993): where nothing
stands out, something is named in at most 5 % of cases, however many groups were tried and however
they overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from striate.metrics.intervals import LEVEL, Numbers, number_text, wilson_interval

MIN_ITEMS: Final = 15
"""Independent items of a slice, and outside of it, at least."""

MAX_VALUES: Final = 50
"""Values of a column up to which each is a slice; of more the most frequent are."""

MAX_FOUND: Final = 5
"""Slices that are named, at most."""

NUM_EXCHANGES: Final = 1000
"""Random exchanges of the errors."""

MAX_ITEMS: Final = 20_000
"""Independent items that are looked at, at most; of more every second, third and so on."""

_SAME: Final = 0.7
"""Share of the items of either slice in both from which on they are one finding."""

_MAX_CELLS: Final = 1 << 23

Column: TypeAlias = "Sequence[str] | Float[np.ndarray, ' n']"
"""What a column says of each item: a word (empty where it says nothing) or a number (NaN)."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Items that have something in common, and larger errors than the others.

    Attributes:
        column: What they have in common ("brightness").
        value: The value that they share, or the range of it.
        num_items: Number of the items, copies counting once.
        error: Mean error of the items.
        interval: Its interval, at a level at which those of all slices that were tried hold at once
            in 95 % of cases.
        others: Mean error of the other items.
        p_value: Chance that some slice of those tried is as bad where none is.
    """

    column: str
    value: str
    num_items: int
    error: float
    interval: tuple[float, float]
    others: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class Slices:
    """The slices in which a model is clearly worse.

    Attributes:
        found: The worst first; none where nothing stands out.
        num_tried: Number of slices that were looked at.
    """

    found: tuple[Slice, ...] = ()
    num_tried: int = 0


def worst_slices(
    errors: Float[np.ndarray, " n"],
    columns: Mapping[str, Column],
    groups: Numbers | None = None,
    *,
    num_exchanges: int = NUM_EXCHANGES,
    seed: int = 0,
) -> Slices:
    """The slices whose mean error is clearly larger than that of all items.

    A slice holds the items of one value of a column, or a quarter of them by a number.

    Args:
        errors: How wrong the answer to each item is, such as 0 or 1.
        columns: What is known of the items, by name.
        groups: Number of each item's group (copies), which counts as one item; by default every
            item is a group of its own.
        num_exchanges: Number of random exchanges.
        seed: Seed of the exchanges.
    """
    numbers = np.arange(len(errors)) if groups is None else groups
    _, first, group = np.unique(numbers, return_index=True, return_inverse=True)
    means = np.bincount(group, errors) / np.bincount(group)
    kept = np.arange(0, len(means), -(-max(len(means), 1) // MAX_ITEMS))
    means, first = means[kept], first[kept]
    named = [
        (column, value, members)
        for column, of_items in columns.items()
        for value, members in _slices(_taken(of_items, first))
    ]
    if not named or np.ptp(means) == 0:
        return Slices(num_tried=len(named))
    members = np.stack([inside for _, _, inside in named])
    standard = (means - means.mean()) / means.std()
    scale = _scale(members)
    observed = scale * (members @ standard)
    largest = _largest(members.astype(np.float32), standard, scale, num_exchanges, seed)
    found: list[Slice] = []
    taken: list[Bool[np.ndarray, " n"]] = []
    for k in np.argsort(-observed, kind="stable"):
        p_value = float((1 + (largest >= observed[k]).sum()) / (1 + num_exchanges))
        if p_value > 1 - LEVEL or len(found) == MAX_FOUND:
            break
        if any(_overlap(members[k], other) > _SAME for other in taken):
            continue
        taken.append(members[k])
        column, value, inside = named[k]
        found.append(
            Slice(
                column=column,
                value=value,
                num_items=int(inside.sum()),
                error=float(means[inside].mean()),
                interval=_interval(means[inside], len(named)),
                others=float(means[~inside].mean()),
                p_value=p_value,
            )
        )
    return Slices(found=tuple(found), num_tried=len(named))


def _taken(column: Column, positions: Numbers) -> Column:
    """A column at some positions."""
    if isinstance(column, np.ndarray):
        return np.asarray(column[positions], np.float64)
    return [column[i] for i in positions]


def _slices(column: Column) -> list[tuple[str, Bool[np.ndarray, " n"]]]:
    """The slices of a column that are large enough, with a name for each."""
    made = _quarters(column) if isinstance(column, np.ndarray) else _values(column)
    return [
        (name, inside)
        for name, inside in made
        if MIN_ITEMS <= inside.sum() <= len(inside) - MIN_ITEMS
    ]


def _values(column: Sequence[str]) -> list[tuple[str, Bool[np.ndarray, " n"]]]:
    """The items of each value; words that are all numbers of many values are taken as numbers."""
    values, counts = np.unique(np.array(column, dtype=object).astype(str), return_counts=True)
    if len(values) > MAX_VALUES and (numbers := _as_numbers(column)) is not None:
        return _quarters(numbers)
    order = np.argsort(-counts, kind="stable")[:MAX_VALUES]
    array = np.array(column, dtype=object).astype(str)
    return [(str(value), array == value) for value in values[order] if value]


def _as_numbers(column: Sequence[str]) -> Float[np.ndarray, " n"] | None:
    """The words as numbers; None where one is not."""
    try:
        return np.array([float(word) if word else np.nan for word in column])
    except ValueError:
        return None


def _quarters(column: Float[np.ndarray, " n"]) -> list[tuple[str, Bool[np.ndarray, " n"]]]:
    """The quarters of the items by a number; of few values the items of each value."""
    known = column[np.isfinite(column)]
    if not len(known):
        return []
    values = np.unique(known)
    if len(values) <= 4:
        return [(number_text(value), column == value) for value in values.tolist()]
    first, middle, third = np.quantile(known, [0.25, 0.5, 0.75]).tolist()
    return [
        (f"up to {number_text(first)}", column <= first),
        (
            f"{number_text(first)} to {number_text(middle)}",
            (column > first) & (column <= middle),
        ),
        (
            f"{number_text(middle)} to {number_text(third)}",
            (column > middle) & (column <= third),
        ),
        (f"above {number_text(third)}", column > third),
    ]


def _scale(members: Bool[np.ndarray, "s n"]) -> Float[np.ndarray, " s"]:
    """What makes of sums of standardized errors deviations in standard errors."""
    sizes = members.sum(1)
    count = members.shape[1]
    return np.asarray(1 / np.sqrt(sizes * (1 - sizes / count) * count / (count - 1)))


def _largest(
    members: Float[np.ndarray, "s n"],
    standard: Float[np.ndarray, " n"],
    scale: Float[np.ndarray, " s"],
    num_exchanges: int,
    seed: int,
) -> Float[np.ndarray, " b"]:
    """The largest deviation of all slices under each random exchange of the errors."""
    rng = np.random.default_rng(seed)
    block = max(1, _MAX_CELLS // len(standard))
    found = []
    for start in range(0, num_exchanges, block):
        count = min(block, num_exchanges - start)
        exchanged = rng.permuted(np.tile(standard.astype(np.float32), (count, 1)), axis=1)
        found.append((members @ exchanged.T * scale[:, None]).max(0))
    return np.concatenate(found)


def _overlap(first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"]) -> float:
    """The share of the items of both slices in the smaller of them."""
    return float((first & second).sum() / min(first.sum(), second.sum()))


def _interval(errors: Float[np.ndarray, " m"], num_tried: int) -> tuple[float, float]:
    """The interval of a mean error: Wilson's of right and wrong, else that of a normal mean."""
    level = 1 - (1 - LEVEL) / num_tried
    mean = float(errors.mean())
    if np.isin(errors, (0.0, 1.0)).all():
        return wilson_interval(mean, len(errors), level)
    from scipy.stats import t

    half = float(
        t.ppf((1 + level) / 2, len(errors) - 1) * errors.std(ddof=1) / np.sqrt(len(errors))
    )
    return max(mean - half, 0.0), mean + half
