"""scikit-learn estimators on arrays of images, signals or volumes, and on lists of molecules.

Numbers are checked by scikit-learn itself, so that what its estimators refuse is refused here in
the same words: NaN, sparse and complex matrices, no items, another number of columns than in
fitting. SMILES are checked by the reader of molecules.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from itertools import chain, count
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from striate.data.folder_walk import few
from striate.data.layouts.arrays import ArraySource, axes_of_items, kind_of_array
from striate.data.names import is_missing
from striate.data.unlabelled import Batch
from striate.errors import DataError, UnknownNameError
from striate.fitting.fit import fit
from striate.fitting.options import AUTO, OF_CLASSES, with_options
from striate.run.folder import RUN
from striate.run.run import Run
from striate.tasks.prediction import Prediction
from striate.tasks.task import task_of

_NOT_TAKEN = ("resume", "good")
"""Options of `fit` that an estimator has no use for: it is fitted as a whole, and tells classes or
numbers apart, which a detector of odd items does not."""

C = TypeVar("C", bound="type[_Estimator]")


@with_options(without=_NOT_TAKEN, none_for_empty=True)
def _described(**options: Any) -> None:
    """{options}"""


def _documented(estimator: C) -> C:
    """Decorate an estimator: `{options}` in its docstring becomes the declared options."""
    text = estimator.__doc__ or ""
    estimator.__doc__ = text.replace("{options}", _described.__doc__ or "")
    return estimator


class _Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
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
        with _refusals():
            known = _known(y)
            if not known.any():
                raise DataError("not one item has an answer", why="all are None or NaN")
            answers = validate_data(self, y=_plain(y) if known.all() else _those(y, known))
            texts = _texts(X)
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
        with _refusals():
            texts = _texts(X)
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
        axes = _num_axes(X)
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


@_documented
class Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]  # scikit-learn is untyped
    """`striate.fit` as a scikit-learn classifier.

    It works in a `Pipeline`, in `cross_val_score` and in `GridSearchCV`, can be cloned, copied and
    pickled, and passes scikit-learn's own checks of estimators, but for one that wants a
    prediction to be refused for a single NaN. Fitting holds out a part of the
    items for calibration and for an evaluation, as every fit does, so that each class needs a few
    items; neither sample weights nor more than one answer for an item are taken.

    Args:
        {options}

    Without `out` the run lies in a temporary folder, which is removed with the estimator. Where
    `out` holds something already, as in a second fit or a grid search, the run is written to
    `out-2`, `out-3` and so on. The estimator keeps what it needs of the run, so that it predicts
    when the folder is gone. None, the default here of options that are dictionaries, is the same
    as `{}`. Options that name classes name them as y does.

    Attributes:
        classes_: (classes,) the labels, sorted.
        n_features_in_: Number of columns, where X had two axes.
        feature_names_in_: Names of the columns, where X was a table with names.
        run_: The finished run.

    >>> import numpy as np
    >>> waves = np.sin(np.arange(40) * np.repeat([0.2, 0.9], 20)[:, None])
    >>> waves += np.random.default_rng(0).normal(0, 0.1, waves.shape)
    >>> names = np.repeat(["slow", "fast"], 20)
    >>> classifier = Classifier(method="probe").fit(waves, names)
    >>> classifier.predict(waves[[0, -1]]).tolist()
    ['slow', 'fast']
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on items.

        Args:
            X: Images (n, height, width), (n, channels, height, width) or (n, height, width,
                channels), uint8 or floats from 0 to 1; signals (n, time) or (n, channels, time);
                volumes (n, depth, height, width) or (n, channels, depth, height, width); or n
                SMILES.
            y: (n,) or (n, 1) labels: text, whole numbers or truth values. Items whose label is
                None or NaN are left out, with a warning.

        Raises:
            DataError: Shapes do not fit, values are not finite, a SMILES does not parse, labels
                are no classes, or there are too few items or classes.
            TypeError: X is sparse.
            UnknownNameError: There is no such kind of arrays.
            MissingExtraError: X is SMILES, and rdkit is not installed.
        """
        items, answers = self._checked(X, y)
        with _refusals():
            check_classification_targets(answers)
        self.classes_, numbers = np.unique(answers, return_inverse=True)
        # Class names sort as their numbers do, so that columns keep scikit-learn's order.
        width = len(str(len(self.classes_)))
        names = [f"{number:0{width}d}" for number in range(len(self.classes_))]
        own = dict(zip(map(str, self.classes_.tolist()), names, strict=True))
        return self._fit(items, [names[number] for number in numbers], None, own)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """(n, classes) calibrated probabilities, columns in the order of `classes_`.

        The row of an item that cannot be used (NaN, a SMILES that does not parse) is NaN; a warning
        says which and why.
        """
        rows = np.full((len(found := self._predictions(X)), len(self.classes_)), np.nan)
        for row, prediction in zip(rows, found, strict=True):
            if prediction.probabilities is not None:
                row[:] = prediction.probabilities
        return rows

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) the label that each item is taken for.

        That of an item which cannot be used (NaN, a SMILES that does not parse) is None, and the
        array then holds objects; a warning says which and why.
        """
        found = self._predictions(X)
        missing = np.array([prediction.label is None for prediction in found], bool)
        numbers = [0 if p.label is None else p.classes.index(p.label) for p in found]
        labels: NDArray[Any] = self.classes_[np.array(numbers, np.int64)]
        if missing.any():
            labels = labels.astype(object)
            labels[missing] = None
        return labels


@_documented
class Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]  # scikit-learn is untyped
    """`striate.fit` as a scikit-learn regressor.

    It works where `Classifier` does. Of scikit-learn's own checks it passes all but two:
    `check_regressors_no_decision_function` fits ten items of ten different values, which are too
    few to train, to validate and to test, and `check_estimators_nan_inf` wants a prediction to be
    refused for a single NaN.

    Args:
        {options}

    Without `out` the run lies in a temporary folder, which is removed with the estimator. Where
    `out` holds something already, as in a second fit or a grid search, the run is written to
    `out-2`, `out-3` and so on. The estimator keeps what it needs of the run, so that it predicts
    when the folder is gone. None, the default here of options that are dictionaries, is the same
    as `{}`.

    Attributes:
        n_features_in_: Number of columns, where X had two axes.
        feature_names_in_: Names of the columns, where X was a table with names.
        run_: The finished run.

    >>> import numpy as np
    >>> steps = np.linspace(0.2, 0.9, 60)
    >>> waves = np.sin(np.arange(40) * steps[:, None])
    >>> regressor = Regressor(method="probe").fit(waves, steps)
    >>> bool(regressor.score(waves, steps) > 0.9)
    True
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on items.

        Args:
            X: Items as `Classifier.fit` takes them.
            y: (n,) or (n, 1) numbers. Items whose number is None or NaN are left out, with a
                warning.

        Raises:
            DataError: Shapes do not fit, values are not finite, a SMILES does not parse, or there
                are too few items.
            TypeError: X is sparse.
            UnknownNameError: There is no such kind of arrays.
            MissingExtraError: X is SMILES, and rdkit is not installed.
        """
        items, answers = self._checked(X, y)
        with _refusals():
            targets = answers.astype(np.float64)
        return self._fit(items, None, targets)

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """(n,) the number predicted for each item, in the unit of the training targets.

        That of an item which cannot be used (NaN, a SMILES that does not parse) is NaN; a warning
        says which and why.
        """
        # NumPy makes NaN of None.
        return np.array([prediction.value for prediction in self._predictions(X)], np.float64)


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


def _known(y: Any) -> NDArray[np.bool_]:
    """Which of some answers are there, (n,); all where y is no column."""
    answers = np.asarray(y)
    if answers.dtype.kind not in "OfUT" or not (answers.ndim == 1 or answers.shape[1:] == (1,)):
        return np.ones(1, np.bool_)
    return np.array([not is_missing(value) for value in answers.ravel().tolist()], np.bool_)


def _plain(y: Any) -> Any:
    """Answers without the wrapping in which tables and files hold them: objects, bytes."""
    answers = np.asarray(y)
    if answers.dtype.kind == "S":
        return np.char.decode(answers, "utf-8", "replace")
    numbers = answers.dtype.kind == "O" and answers.size and not _hold_text(answers)
    return np.array(answers.tolist()) if numbers else y


def _hold_text(answers: NDArray[Any]) -> bool:
    return any(isinstance(answer, str) for answer in answers.ravel())


def _those(y: Any, known: NDArray[np.bool_]) -> NDArray[Any]:
    """The answers that are there, of the type that they have without the others."""
    return np.array(np.asarray(y).ravel()[known].tolist())


def _warn(what: str, places: Sequence[int] | NDArray[np.int64]) -> None:
    """Warn of some items by their places."""
    warnings.warn(f"items {few([str(place) for place in places])} {what}", stacklevel=4)


def _texts(X: Any) -> NDArray[np.str_] | None:
    """X as an array of text, where it is a sequence of text; None where it is anything else."""
    if _num_axes(X) != 1:
        return None
    array = np.asarray(X)
    # Columns of tables hold text as objects.
    text = array.dtype.kind in "UT" or (
        array.dtype.kind == "O" and all(isinstance(value, str) for value in array)
    )
    return array.astype(np.str_) if text else None


def _num_axes(X: Any) -> int:
    """The number of axes of an array, a table or nested lists; 0 where there is no such number."""
    try:
        return int(X.ndim) if hasattr(X, "ndim") else np.asarray(X).ndim
    except ValueError:  # items of different shapes
        return 0


@contextmanager
def _refusals() -> Iterator[None]:
    """Make DataErrors, of one line, from the ValueErrors by which scikit-learn refuses data."""
    try:
        yield
    except ValueError as error:
        raise DataError(" ".join(str(error).split())) from None
