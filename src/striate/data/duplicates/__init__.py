"""Copies and near copies of an item, found so that they stay on one side of a split."""

from striate.data.duplicates.components import first_appearance, join, text_numbers
from striate.data.duplicates.groups import (
    duplicate_groups,
    duplicate_notes,
    leaked,
)
from striate.data.duplicates.near import CLOSE, THUMBNAIL, near_pairs

__all__ = [
    "CLOSE",
    "THUMBNAIL",
    "duplicate_groups",
    "duplicate_notes",
    "first_appearance",
    "join",
    "leaked",
    "near_pairs",
    "text_numbers",
]
