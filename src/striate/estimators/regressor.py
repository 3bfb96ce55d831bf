"""`striate.Regressor`."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin

from striate.estimators.estimator import Estimator, documented
from striate.estimators.given import refusals


@documented
class Regressor(RegressorMixin, Estimator):  # type: ignore[misc]  # scikit-learn is untyped
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
        with refusals():
            targets = answers.astype(np.float64)
        return self._fit(items, None, targets)

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """(n,) the number predicted for each item, in the unit of the training targets.

        That of an item which cannot be used (NaN, a SMILES that does not parse) is NaN; a warning
        says which and why.
        """
        # NumPy makes NaN of None.
        return np.array([prediction.value for prediction in self._predictions(X)], np.float64)
