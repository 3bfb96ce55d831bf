from striate.metrics.bootstrap import resampling_weights
from striate.metrics.calibration import (
    Calibration,
    fit_calibration,
    fit_temperature,
    negative_log_likelihood,
    softmax,
)
from striate.metrics.confusion import confusion_matrix
from striate.metrics.evaluation import METRICS, ClassFigures, Evaluation, evaluate, metric_values
from striate.metrics.intervals import Estimate
from striate.metrics.paired import PairedComparison, compare
from striate.metrics.reliability import ReliabilityBins, reliability_bins

__all__ = [
    "METRICS",
    "Calibration",
    "ClassFigures",
    "Estimate",
    "Evaluation",
    "PairedComparison",
    "ReliabilityBins",
    "compare",
    "confusion_matrix",
    "evaluate",
    "fit_calibration",
    "fit_temperature",
    "metric_values",
    "negative_log_likelihood",
    "reliability_bins",
    "resampling_weights",
    "softmax",
]
