"""What scikit-learn's users give as X and y: arrays, tables, lists, text, and missing answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.names import is_missing
from striate.errors import DataError

_SHOWN: Final = re.compile(r" array=\[.*\]\. |(?<=Complex data not supported)\W.*$")
"""Numbers in the messages of scikit-learn."""


def known_answers(y: Any) -> NDArray[np.bool_]:
    """Which of some answers are there, (n,); all where y is no column."""
    answers = np.asarray(y)
    if answers.dtype.kind not in "OfUT" or not (answers.ndim == 1 or answers.shape[1:] == (1,)):
        return np.ones(1, np.bool_)
    return np.array([not is_missing(value) for value in answers.ravel().tolist()], np.bool_)


def plain_answers(y: Any) -> Any:
    """Answers without the wrapping in which tables and files hold them: objects, bytes."""
    answers = np.asarray(y)
    if answers.dtype.kind == "S":
        return np.char.decode(answers, "utf-8", "replace")
    if answers.dtype.kind in "biu":  # also of tables that may hold missing ones, of which none does
        return answers
    numbers = answers.dtype.kind == "O" and answers.size and not _hold_text(answers)
    return np.array(answers.tolist()) if numbers else y


def _hold_text(answers: NDArray[Any]) -> bool:
    return any(isinstance(answer, str) for answer in answers.ravel())


def answers_there(y: Any, known: NDArray[np.bool_]) -> NDArray[Any]:
    """The answers that are there, of the type that they have without the others."""
    return np.array(np.asarray(y).ravel()[known].tolist())


def as_texts(X: Any) -> NDArray[np.str_] | None:
    """X as an array of text, where it is a sequence of text; None where it is anything else."""
    if num_axes(X) != 1:
        return None
    array = np.asarray(X)
    if array.size and all(isinstance(value, PathLike | bytes) for value in array.tolist()):
        raise DataError(
            f"X holds {'paths' if isinstance(array[0], PathLike) else 'bytes'}",
            why="an estimator learns from arrays",
            fix="open the files as pictures or arrays, or give their folder, or a table of their "
            "paths, to striate.fit",
        )
    # Columns of tables hold text as objects.
    text = array.dtype.kind in "UT" or (
        array.dtype.kind == "O" and all(isinstance(value, str) for value in array)
    )
    return array.astype(np.str_) if text else None


def num_axes(X: Any) -> int:
    """The number of axes of an array, a table or nested lists; 0 where there is no such number."""
    try:
        return int(X.ndim) if hasattr(X, "ndim") else np.asarray(X).ndim
    except ValueError:  # items of different shapes
        return 0


@contextmanager
def refusals() -> Iterator[None]:
    """Make DataErrors, of one line, from the ValueErrors by which scikit-learn refuses data."""
    try:
        yield
    except ValueError as error:
        said = " ".join(str(error).split())
        # Without the numbers that scikit-learn shows, which may be all there are.
        raise DataError(_SHOWN.sub(" ", said).strip()) from None
