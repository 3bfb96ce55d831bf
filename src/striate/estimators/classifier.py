"""`striate.Classifier`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from striate.errors import DataError
from striate.estimators.estimator import Estimator, documented
from striate.estimators.given import refusals


@documented
class Classifier(ClassifierMixin, Estimator):  # type: ignore[misc]  # scikit-learn is untyped
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
        with refusals():
            check_classification_targets(answers)
        self.classes_, numbers = np.unique(answers, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(
                f"y has one class, {self.classes_.tolist()[0]!r}",
                why="a Classifier tells classes apart",
                fix="give items of other classes too; striate.fit learns from good items alone",
            )
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
