"""What the estimators share: options, the run and its folder, and how X is checked.

Numbers are checked by scikit-learn itself, so that what its estimators refuse is refused here in
the same words: NaN, sparse and complex matrices, no items, another number of columns than in
fitting. SMILES are checked by the reader of molecules.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Mapping, Sequence
from inspect import signature
from itertools import chain, count
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from striate.data.folder_walk import few
from striate.data.layouts.arrays import ArraySource, axes_of_items, kind_of_array
from striate.data.unlabelled import Batch
from striate.errors import DataError, UnknownNameError
from striate.estimators.given import (
    answers_there,
    as_texts,
    known_answers,
    num_axes,
    plain_answers,
    refusals,
)
from striate.fitting.fit import fit
from striate.fitting.options import AUTO, OF_CLASSES, with_options
from striate.run.folder import RUN
from striate.run.run import Run
from striate.tasks.prediction import Prediction
from striate.tasks.task import task_of

_NOT_TAKEN = ("resume", "good")
"""Options of `fit` that an estimator has no use for: it is fitted as a whole, and tells classes or
numbers apart, which a detector of odd items does not."""

C = TypeVar("C", bound="type[Estimator]")


@with_options(without=_NOT_TAKEN, none_for_empty=True)
def _described(**options: Any) -> None:
    """{options}"""


def documented(estimator: C) -> C:
    """Decorate an estimator: `{options}` in its docstring becomes the declared options."""
    text = estimator.__doc__ or ""
    estimator.__doc__ = text.replace("{options}", _described.__doc__ or "")
    return estimator


class Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """What the estimators share: options, the run and its folder."""

    run_: Run
    _run_files: dict[str, bytes]
    _num_axes: int
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    @with_options(without=_NOT_TAKEN, none_for_empty=True)
    def __init__(self, **options: Any) -> None:
        for name, default in _defaults().items():
            setattr(self, name, options.pop(name, default))
        if options:
            raise TypeError(f"unexpected option {next(iter(options))!r}")

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn may know of the estimator: X has the axes of the kind's items."""
        tags = super().__sklearn_tags__()
        axes = axes_of_items(None if self.kind == AUTO else self.kind)
        tags.input_tags.string = 0 in axes
        tags.input_tags.one_d_array = axes == {0}
        tags.input_tags.two_d_array = 1 in axes
        tags.input_tags.three_d_array = 2 in axes
        return tags

    def _fit(
        self,
        items: NDArray[Any],
        labels: Sequence[str] | None,
        targets: Any,
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """Fit to items; `names` are those of the classes in `labels`, by what the user calls them."""
        chosen = {name: getattr(self, name) for name in _defaults()}
        for option in OF_CLASSES:
            if names and chosen[option]:
                chosen[option] = {
                    _named(str(label), names): value for label, value in chosen[option].items()
                }
        empty = {name for name, default in _defaults().items() if default is None}
        options = {n: v for n, v in chosen.items() if v is not None or n not in empty}
        options["out"] = self._own_folder() if self.out is None else _unused(Path(self.out))
        kind = kind_of_array(items) if self.kind == AUTO else self.kind
        source = ArraySource(items, labels, targets, kind=kind)
        if task_of(source.listing.items, options["method"]).own_methods:
            raise DataError(
                "y has one class, or the method learns from one alone",
                why=f"a {type(self).__name__} tells answers apart",
                fix="give items of other classes too; striate.fit learns from good items alone",
            )
        self.run_ = fit(source, progress=False, **options)
        # The estimator outlives its folder, which a tidy system or a user may remove.
        files = filter(Path.is_file, self.run_.folder.path.iterdir())
        self._run_files = {path.name: path.read_bytes() for path in files}
        return self

    def _checked(self, X: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """The items to train on and their answers; what is known of X's columns is kept.

        Items whose answer is missing are left out, with a warning.
        """
        with refusals():
            known = known_answers(y)
            if not known.any():
                raise DataError("not one item has an answer", why="all are None or NaN")
            answers = validate_data(
                self, y=plain_answers(y) if known.all() else answers_there(y, known)
            )
            texts = as_texts(X)
            items = self._numbers(X, reset=True) if texts is None else texts
            check_consistent_length(items, answers if known.all() else known)
        if not known.all():
            _warn("have no answer (None or NaN) and are left out", np.flatnonzero(~known))
            items = items[known]
        return items, answers

    def _predictions(self, X: Any) -> list[Prediction]:
        """What is predicted for each item, in order; a warning names those that are unreadable."""
        check_is_fitted(self, "run_")
        if isinstance(X, list | tuple) and not X:
            return []
        with refusals():
            texts = as_texts(X)
            items = self._numbers(X, reset=False) if texts is None else texts
        if not len(items):
            return []
        if not (self.run_.folder.path / RUN).is_file():
            self._restore()
        found = self.run_.predict([Batch(items)], progress=False)
        unreadable = [place for place, prediction in enumerate(found) if prediction.reason]
        if unreadable:
            reason = found[unreadable[0]].reason
            _warn(f"cannot be used and have no answer, the first for: {reason}", unreadable)
        return found

    def _numbers(self, X: Any, *, reset: bool) -> NDArray[Any]:
        """X as an array of finite numbers; raises ValueError and TypeError as scikit-learn does."""
        # X has columns only where each item is a row; images may be of any size in prediction.
        axes = num_axes(X)
        rows = axes <= 2
        if not axes and isinstance(X, list | tuple):
            shapes = dict.fromkeys(str(np.shape(item)) for item in X)
            raise DataError(
                f"the items have different shapes: {few([*shapes])}",
                fix="bring them to one shape, or fit files with `striate.fit`",
            )
        if reset:
            self.__dict__.pop("n_features_in_", None)
            self._num_axes = axes
        elif axes == getattr(self, "_num_axes", 0) - 1 > 1:
            raise DataError(
                f"X has {axes} axes, and had {self._num_axes} in fitting",
                why="the first is that of the items",
                fix="give a single item as X[None], and channels an axis of their own",
            )
        array: NDArray[Any] = validate_data(
            self,
            X,
            reset=reset,
            allow_nd=True,
            ensure_2d=rows,
            ensure_min_samples=2 * reset,
            # In prediction a row that is not finite costs its own answer and no other.
            ensure_all_finite=reset,
        )
        return array

    def _own_folder(self) -> str:
        """A new folder that is removed with the estimator."""
        folder = tempfile.mkdtemp(prefix="striate-")
        # Not a TemporaryDirectory: it warns when it goes with its owner.
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def __getstate__(self) -> dict[str, Any]:
        """The state with the run's files, so that a copy or a pickle predicts on its own."""
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("run_", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Put the run's files into a folder of the copy's own."""
        super().__setstate__(state)
        if "_run_files" in state:
            self._restore()

    def _restore(self) -> None:
        """Write the run's files into a folder of the estimator's own, and open that."""
        folder = Path(self._own_folder())
        for name, content in self._run_files.items():
            (folder / name).write_bytes(content)
        self.run_ = Run(folder, device=self.device)


def _defaults() -> dict[str, Any]:
    """The options that an estimator takes as they are, with their defaults."""
    declared = signature(_described).parameters.values()
    return {option.name: option.default for option in declared}


def _named(label: str, names: Mapping[str, str]) -> str:
    """What the run calls a class; raises UnknownNameError where there is no such class."""
    if label not in names:
        raise UnknownNameError("class", label, names)
    return names[label]


def _unused(out: Path) -> Path:
    """`out` where it is new or empty, or else the first of `out-2`, `out-3` and so on that is.

    It is claimed at once, so that fits of a search that run side by side never share a folder.
    """
    names = chain([out.name], (f"{out.name}-{number}" for number in count(2)))
    for folder in map(out.with_name, names):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not any(folder.iterdir()):
                (folder / ".lock").touch(exist_ok=False)
                return folder
        except FileExistsError:
            continue
        except OSError:
            return folder  # the fit says what is wrong with it
    raise AssertionError("there are always more numbers")


def _warn(what: str, places: Sequence[int] | NDArray[np.int64]) -> None:
    """Warn of some items by their places."""
    warnings.warn(f"items {few([str(place) for place in places])} {what}", stacklevel=4)
