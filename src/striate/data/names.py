"""What names mean, in every source alike: missing labels, the order of names, names of splits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from striate.typing import SplitName

MISSING: Final = frozenset(
    {
        *("", "NA", "N/A", "n/a", "<NA>", "#N/A", "#N/A N/A", "#NA", "NULL", "null", "None"),
        *("NaN", "NAN", "nan", "-NaN", "-nan", "NaT", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    }
)
"""What a field says that has no value: the words that pandas takes for missing, as it spells them."""

_WHOLE: Final = re.compile(r"([+-]?\d+)(\.0*)?")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_ROLES: Final[Mapping[str, SplitName]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "devel", "development"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "holdout"), "test"),
}
"""Words that name a split, and what it is called here."""

_FILLERS: Final = frozenset(
    [
        "set",
        "split",
        "part",
        "subset",
        "folder",
        "data",
        "dataset",
        "seg",
        "image",
        "images",
        "img",
        "imgs",
        "pictures",
        "photos",
        "videos",
        "files",
        "items",
        "samples",
        "examples",
    ]
)
"""Words that stand beside the name of a split and change nothing."""

_ANSWERS: Final = frozenset(
    f"{word}{ending}"
    for word in (*("label", "mask", "annotation", "annot", "segmentation", "box", "bbox"), "gt")
    for ending in ("", "s", "es")
) | {"groundtruth", "truth"}
"""Words that name a folder of labels, masks or boxes beside the pictures they belong to."""

_BESIDE_ANSWERS: Final = _FILLERS | {
    "ground",
    "jpeg",
    "jpg",
    "png",
    "xml",
    "class",
    "object",
    "sets",
}

SPLIT_WORDS: Final = ", ".join(_ROLES)
"""The words that name a split, for messages."""


def is_missing(value: object) -> bool:
    """Whether a value of any source says that there is none: None, NaN, or a word for it.

    >>> [is_missing(value) for value in (None, float("nan"), " NA ", "none", 0)]
    [True, True, True, False, False]
    """
    if isinstance(value, str):
        return value.strip() in MISSING
    return value is None or str(value) in MISSING


def known_labels(values: Iterable[Any]) -> list[str | None]:
    """The labels of a source as text, None where one is missing.

    Where all are whole numbers they are written without a fraction, so that 0 and 0.0, which
    tables with missing values hold side by side, are one class.

    >>> known_labels(["0", "0.0", None, 1.0, "NA"])
    ['0', '0', None, '1', None]
    >>> known_labels(["v1.0", "007", "nan"])
    ['v1.0', '007', None]
    """
    texts = [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values
    ]
    labels = [None if is_missing(text) else str(text).strip() for text in texts]
    distinct = {label for label in labels if label is not None}
    if not all(map(_WHOLE.fullmatch, distinct)):
        return labels
    whole = {label: label.partition(".")[0] for label in distinct}
    return [None if label is None else whole[label] for label in labels]


def natural_key(name: str) -> list[tuple[int, str]]:
    """A key that sorts names by the numbers in them, so that 10 comes after 9.

    >>> sorted(["s10.png", "s9.png"], key=natural_key)
    ['s9.png', 's10.png']
    """
    pieces = re.split(r"(\d+)", name)
    return [(int(piece) if piece.isdecimal() else -1, piece) for piece in pieces]


def in_order(names: Iterable[str]) -> list[str]:
    """Different names in the order that people expect: by number where all are numbers.

    >>> in_order(["10", "2", "-1", "2"]), in_order(["1.5", "0.25"]), in_order(["b2", "b10", "a"])
    (['-1', '2', '10'], ['0.25', '1.5'], ['a', 'b2', 'b10'])
    """
    distinct = set(names)
    if all(map(_NUMBER.fullmatch, distinct)):
        return sorted(distinct, key=lambda name: (float(name), natural_key(name)))
    return sorted(distinct, key=natural_key)


def split_named(name: str) -> SplitName | None:
    """The split that a folder or a field names; None where it names none.

    >>> [split_named(n) for n in ("training_set", "seg_test", "Dev", "trainset", "val2017")]
    ['train', 'test', 'val', 'train', 'val']
    >>> split_named("trains"), split_named("training_labels"), split_named("images")
    (None, None, None)
    """
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+", name)
    roles = {_role(word) for word in map(str.lower, words) if not _is_filler(word)}
    return roles.pop() if len(roles) == 1 else None


def is_filler(name: str) -> bool:
    """Whether a folder's name says nothing of what lies in it ("images", "data_set").

    >>> is_filler("images"), is_filler("cats")
    (True, False)
    """
    words = re.findall(r"[a-z]+", name.lower())
    return bool(words) and all(word in _FILLERS for word in words)


def holds_answers(name: str) -> bool:
    """Whether a folder is named as those that hold labels, masks or boxes of other files.

    >>> [holds_answers(n) for n in ("labels", "Annotations", "SegmentationClass", "ground_truth")]
    [True, True, True, True]
    >>> [holds_answers(n) for n in ("with_mask", "boxer", "images")]
    [False, False, False]
    """
    words = _words(name)
    return bool(_ANSWERS & words) and words <= _ANSWERS | _BESIDE_ANSWERS


def holds_anything(name: str) -> bool:
    """Whether a folder beside those of labels or masks is named as no class is.

    >>> [holds_anything(n) for n in ("images", "JPEGImages", "ImageSets", "cats")]
    [True, True, True, False]
    """
    return _words(name) <= _BESIDE_ANSWERS


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def _is_filler(word: str) -> bool:
    """Whether a word beside the name of a split adds nothing: a year does not either."""
    return word in _FILLERS or (word.isdecimal() and len(word) == 4)


def _role(word: str) -> SplitName | None:
    """The split that a word names; None where it is another word."""
    if word in _ROLES:
        return _ROLES[word]
    ends = (word.removesuffix(filler) for filler in _FILLERS if word.endswith(filler))
    return next((_ROLES[start] for start in ends if start in _ROLES), None)
