"""scikit-learn estimators on arrays of images, signals or volumes, and on lists of molecules."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d

from striate.data.layouts.arrays import ArraySource
from striate.data.unlabelled import Batch
from striate.errors import DataError
from striate.fitting.fit import fit
from striate.fitting.options import declared_options, with_options
from striate.run.run import Run
from striate.tasks.prediction import Prediction

_NOT_TAKEN = ("resume",)


class _Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """What the estimators share: options, the run and its folder."""

    run_: Run
    n_features_in_: int

    @with_options(without=_NOT_TAKEN)
    def __init__(self, *, kind: str = "image", **options: Any) -> None:
        self.kind = kind
        for name, default in _defaults().items():
            setattr(self, name, options.pop(name, default))
        if options:
            raise TypeError(f"unexpected option {next(iter(options))!r}")

    def _fit(self, X: Any, labels: Sequence[str] | None, targets: Any) -> Self:
        items = _items(X)
        answers = labels if targets is None else targets
        if answers is None or len(items) != len(answers):
            count = 0 if answers is None else len(answers)
            raise DataError(f"{len(items)} items with {count} labels", fix="give one each")
        options = {name: getattr(self, name) for name in _defaults()}
        if self.out is None:
            options["out"] = self._own_folder()
        self.n_features_in_ = int(np.prod(items.shape[1:]))
        source = ArraySource(items, labels, targets, kind=self.kind)
        self.run_ = fit(source, progress=False, **options)
        return self

    def _predictions(self, X: Any) -> list[Prediction]:
        check_is_fitted(self, "run_")
        items = _items(X)
        if not len(items):
            return []
        found = self.run_.predict([Batch(items)], progress=False)
        unreadable = [prediction for prediction in found if prediction.reason]
        if unreadable:
            raise DataError(
                f"item {unreadable[0].item} cannot be used", why=unreadable[0].reason or ""
            )
        return found

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


class Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """`striate.fit` as a scikit-learn classifier.

    It works in a `Pipeline`, in `cross_val_score` and in `GridSearchCV`. Fitting holds out a part
    of the items for calibration and for an evaluation, as every fit does.

    Args:
        kind: Kind of the items: "image", "signal", "volume", or "graph" for SMILES of molecules.
        {options}

    Attributes:
        classes_: (classes,) the labels, sorted.
        run_: The finished run.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on items.

        Args:
            X: Images (n, height, width), (n, channels, height, width) or (n, height, width,
                channels), uint8 or floats from 0 to 1; signals (n, time) or (n, channels, time);
                volumes (n, depth, height, width) or (n, channels, depth, height, width); or n
                SMILES.
            y: (n,) labels of any type.

        Raises:
            DataError: Shapes do not fit, or there are too few items or classes.
            UnknownNameError: There is no such kind of arrays.
        """
        self.classes_, numbers = np.unique(column_or_1d(y), return_inverse=True)
        # Class names sort as their numbers do, so that columns keep scikit-learn's order.
        width = len(str(len(self.classes_)))
        return self._fit(X, [f"{number:0{width}d}" for number in numbers], None)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """(n, classes) calibrated probabilities, columns in the order of `classes_`."""
        found = [np.asarray(found.probabilities) for found in self._predictions(X)]
        return np.stack(found) if found else np.empty((0, len(self.classes_)))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) the most probable label of each item."""
        labels: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels


class Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """`striate.fit` as a scikit-learn regressor.

    Args:
        kind: Kind of the items: "image", "signal", "volume", or "graph" for SMILES of molecules.
        {options}

    Attributes:
        run_: The finished run.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on items.

        Args:
            X: Items as `Classifier.fit` takes them.
            y: (n,) numbers.

        Raises:
            DataError: Shapes do not fit, or there are too few items.
            UnknownNameError: There is no such kind of arrays.
        """
        return self._fit(X, None, column_or_1d(y).astype(np.float64))

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """(n,) the number predicted for each item, in the unit of the training targets."""
        return np.array([prediction.value for prediction in self._predictions(X)], np.float64)


def _defaults() -> dict[str, Any]:
    """The options that an estimator takes, with their defaults."""
    return {
        declared.name: {} if declared.default is MISSING else declared.default
        for declared in declared_options()
        if declared.name not in _NOT_TAKEN
    }


def _items(X: Any) -> NDArray[Any]:
    items = np.asarray(X)
    if items.ndim == 0:
        raise DataError("X is a single value", fix="give a sequence of items")
    return items
