"""A scikit-learn estimator on arrays of images, signals or volumes."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from striate.data.layouts import ArraySource
from striate.data.layouts.array_kinds import ArrayParts, arrays_source
from striate.data.source import Source
from striate.errors import DataError
from striate.fitting.fit import fit
from striate.run.run import Prediction, Run
from striate.typing import Kind


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """`striate.fit` as a scikit-learn estimator.

    It works in a `Pipeline`, in `cross_val_score` and in `GridSearchCV`. Fitting holds out a part
    of the items for calibration and for an evaluation, as every fit does.

    Args:
        model: see `striate.fit`, as for all that follow.
        method: likewise.
        weights: likewise.
        time: likewise.
        epochs: likewise.
        symmetry: likewise.
        image_size: likewise.
        seed: likewise.
        device: likewise.
        kind: of the items: "image", "signal" or "volume".
        out: run folder to keep; by default a temporary one that lives as long as the estimator.

    Attributes:
        classes_: (classes,) the labels, sorted.
        run_: the finished run.
    """

    def __init__(
        self,
        model: str = "auto",
        *,
        method: str = "auto",
        weights: str | None = "auto",
        time: str | float = "10m",
        epochs: int | None = None,
        symmetry: str = "auto",
        image_size: int | None = None,
        seed: int = 0,
        device: str = "auto",
        kind: Kind = "image",
        out: str | None = None,
    ) -> None:
        self.model = model
        self.method = method
        self.weights = weights
        self.time = time
        self.epochs = epochs
        self.symmetry = symmetry
        self.image_size = image_size
        self.seed = seed
        self.device = device
        self.kind = kind
        self.out = out

    def fit(self, X: ArrayLike, y: ArrayLike) -> Classifier:
        """Train on items.

        Args:
            X: images (n, height, width), (n, channels, height, width) or (n, height, width,
                channels), uint8 or floats from 0 to 1; signals (n, time) or (n, channels, time);
                volumes (n, depth, height, width) or (n, channels, depth, height, width).
            y: (n,) labels of any kind.

        Raises:
            DataError: shapes do not fit, or there are too few items or classes.
            UnknownNameError: no such kind of arrays.
        """
        images, labels = np.asarray(X), np.asarray(y)
        if len(images) != len(labels):
            raise DataError(f"{len(images)} items with {len(labels)} labels", fix="give one each")
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        # Class names sort as their numbers do, so that columns keep scikit-learn's order.
        width = len(str(len(self.classes_)))
        names = [f"{number:0{width}d}" for number in numbers]
        self.run_: Run = fit(
            self._source(images, names),
            out=self._own_folder() if self.out is None else self.out,
            model=self.model,
            method=self.method,
            weights=self.weights,
            time=self.time,
            epochs=self.epochs,
            symmetry=self.symmetry,
            image_size=self.image_size,
            seed=self.seed,
            device=self.device,
        )
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """(n, classes) calibrated probabilities, columns in the order of `classes_`."""
        check_is_fitted(self, "run_")
        images = np.asarray(X)
        if not len(images):
            return np.empty((0, len(self.classes_)))
        predictions = self.run_.predict([images])
        found = [p.probabilities for p in predictions if isinstance(p, Prediction)]
        return np.stack(found)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) the most probable label of each item."""
        labels: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels

    def _source(self, items: NDArray[Any], names: list[str]) -> Source:
        if self.kind == "image":
            return ArraySource(items, names)
        said = {"kind": np.array(self.kind)}
        return arrays_source(
            ArrayParts(
                arrays=items, labels=np.array(names), splits=None, name="arrays", extras=said
            )
        )

    def _own_folder(self) -> str:
        """A new folder that is removed with the estimator."""
        folder = tempfile.mkdtemp(prefix="striate-")
        # Not a TemporaryDirectory: it warns when it goes with its owner, and cannot be copied.
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder
