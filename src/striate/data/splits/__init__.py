"""How items are split into train, val and test."""

from striate.data.splits.folds import fold_numbers, learning_splits
from striate.data.splits.iterative import iterative_parts
from striate.data.splits.stratified import (
    FRACTIONS,
    MAX_HELD_OUT,
    SPLITS,
    check_fractions,
    complete_splits,
    split,
)

__all__ = [
    "FRACTIONS",
    "MAX_HELD_OUT",
    "SPLITS",
    "check_fractions",
    "complete_splits",
    "fold_numbers",
    "iterative_parts",
    "learning_splits",
    "split",
]
