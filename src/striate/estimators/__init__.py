"""scikit-learn estimators on arrays of images, signals or volumes, and on lists of molecules."""

from striate.estimators.classifier import Classifier
from striate.estimators.regressor import Regressor

__all__ = ["Classifier", "Regressor"]
