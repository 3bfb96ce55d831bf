"""scikit-learn estimators on arrays of images, signals or volumes, and on lists of molecules.

Numbers are checked by scikit-learn itself, so that what its estimators refuse is refused here in
the same words: NaN, sparse and complex matrices, no items, another number of columns than in
fitting. SMILES are checked by the reader of molecules.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from striate.data.layouts.arrays import ArraySource, axes_of_items, kind_of_array
from striate.data.unlabelled import Batch
from striate.errors import DataError
from striate.fitting.fit import fit
from striate.fitting.options import with_options
from striate.run.run import Run
from striate.tasks.prediction import Prediction

_NOT_TAKEN = ("resume",)

C = TypeVar("C", bound="type[_Estimator]")


@with_options(without=_NOT_TAKEN)
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
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    @with_options(without=_NOT_TAKEN)
    def __init__(
        self, *, kind: str = "auto", options: Mapping[str, Any] | None = None, **others: Any
    ) -> None:
        self.kind = kind
        # scikit-learn allows no dictionary as a default: None stands for one without entries.
        self.options = options
        for name, default in _defaults().items():
            setattr(self, name, others.pop(name, default))
        if others:
            raise TypeError(f"unexpected option {next(iter(others))!r}")

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn may know of the estimator: X has the axes of the kind's items."""
        tags = super().__sklearn_tags__()
        axes = axes_of_items(None if self.kind == "auto" else self.kind)
        tags.input_tags.string = 0 in axes
        tags.input_tags.one_d_array = axes == {0}
        tags.input_tags.two_d_array = 1 in axes
        tags.input_tags.three_d_array = 2 in axes
        return tags

    def _fit(self, items: NDArray[Any], labels: Sequence[str] | None, targets: Any) -> Self:
        options = {name: getattr(self, name) for name in _defaults()}
        options["options"] = self.options or {}
        if self.out is None:
            options["out"] = self._own_folder()
        kind = kind_of_array(items) if self.kind == "auto" else self.kind
        self.run_ = fit(ArraySource(items, labels, targets, kind=kind), progress=False, **options)
        return self

    def _checked(self, X: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """The items to train on and their answers; what is known of X's columns is kept."""
        with _refusals():
            answers = validate_data(self, y=y)
            texts = _texts(X)
            items = self._numbers(X, reset=True) if texts is None else texts
            check_consistent_length(items, answers)
        return items, answers

    def _predictions(self, X: Any) -> list[Prediction]:
        check_is_fitted(self, "run_")
        with _refusals():
            texts = _texts(X)
            items = self._numbers(X, reset=False) if texts is None else texts
        if not len(items):
            return []
        found = self.run_.predict([Batch(items)], progress=False)
        unreadable = [prediction for prediction in found if prediction.reason]
        if unreadable:
            raise DataError(
                f"item {unreadable[0].item} cannot be used", why=unreadable[0].reason or ""
            )
        return found

    def _numbers(self, X: Any, *, reset: bool) -> NDArray[Any]:
        """X as an array of finite numbers; raises ValueError and TypeError as scikit-learn does."""
        # X has columns only where each item is a row; images may be of any size in prediction.
        rows = _num_axes(X) <= 2
        if reset:
            self.__dict__.pop("n_features_in_", None)
        array: NDArray[Any] = validate_data(
            self, X, reset=reset, allow_nd=True, ensure_2d=rows, ensure_min_samples=2 * reset
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
        run = state.pop("run_", None)
        if run is not None:
            state["_run_files"] = {
                path.name: path.read_bytes() for path in run.folder.path.iterdir() if path.is_file()
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Put the run's files into a folder of the copy's own."""
        files = state.pop("_run_files", None)
        super().__setstate__(state)
        if files is not None:
            folder = Path(self._own_folder())
            for name, content in files.items():
                (folder / name).write_bytes(content)
            self.run_ = Run(folder, device=self.device)


@_documented
class Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """`striate.fit` as a scikit-learn classifier.

    It works in a `Pipeline`, in `cross_val_score` and in `GridSearchCV`, can be cloned, copied and
    pickled, and passes scikit-learn's own checks of estimators. Fitting holds out a part of the
    items for calibration and for an evaluation, as every fit does, so that each class needs a few
    items; neither sample weights nor more than one answer for an item are taken.

    Args:
        kind: What an item is: "image", "signal", "volume", or "graph" for SMILES of molecules.
            "auto" takes text for SMILES, two axes for signals, three for images unless the last is
            much longer than the second (signals of several channels), four for images if there
            are 1 or 3 channels first or last and else for volumes, and five for volumes.
        {options}

    Without `out` the run lies in a temporary folder, which is removed with the estimator.
    `options=None`, the default here, is the same as `{}`.

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
            y: (n,) labels: text, whole numbers or truth values.

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
        return self._fit(items, [f"{number:0{width}d}" for number in numbers], None)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """(n, classes) calibrated probabilities, columns in the order of `classes_`."""
        found = [np.asarray(found.probabilities) for found in self._predictions(X)]
        return np.stack(found) if found else np.empty((0, len(self.classes_)))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) the most probable label of each item."""
        best = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels


@_documented
class Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """`striate.fit` as a scikit-learn regressor.

    It works where `Classifier` does. Of scikit-learn's own checks it passes all but one,
    `check_regressors_no_decision_function`, which fits ten items of ten different values: these
    are too few to train, to validate and to test.

    Args:
        kind: What an item is, as of `Classifier`.
        {options}

    Without `out` the run lies in a temporary folder, which is removed with the estimator.
    `options=None`, the default here, is the same as `{}`.

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
            y: (n,) numbers.

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
        """(n,) the number predicted for each item, in the unit of the training targets."""
        return np.array([prediction.value for prediction in self._predictions(X)], np.float64)


def _defaults() -> dict[str, Any]:
    """The options that an estimator takes as they are, with their defaults."""
    declared = signature(_described).parameters.values()
    return {option.name: option.default for option in declared if option.name != "options"}


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
