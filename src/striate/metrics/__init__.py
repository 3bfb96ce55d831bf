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
from striate.metrics.number_calibration import NumberCalibration
from striate.metrics.number_text import number_text
from striate.metrics.paired import PairedComparison, compare
from striate.metrics.paired_regression import PairedRegression, compare_regression
from striate.metrics.prediction_interval import (
    PredictionInterval,
    coverage,
    fit_prediction_interval,
)
from striate.metrics.regression import (
    IN_UNIT,
    REGRESSION_METRICS,
    estimates_text,
    evaluate_regression,
    regression_values,
)
from striate.metrics.reliability import ReliabilityBins, reliability_bins

__all__ = [
    "IN_UNIT",
    "METRICS",
    "REGRESSION_METRICS",
    "Calibration",
    "ClassFigures",
    "Estimate",
    "Evaluation",
    "NumberCalibration",
    "PairedComparison",
    "PairedRegression",
    "PredictionInterval",
    "ReliabilityBins",
    "compare",
    "compare_regression",
    "confusion_matrix",
    "coverage",
    "estimates_text",
    "evaluate",
    "evaluate_regression",
    "fit_calibration",
    "fit_prediction_interval",
    "fit_temperature",
    "metric_values",
    "negative_log_likelihood",
    "number_text",
    "regression_values",
    "reliability_bins",
    "resampling_weights",
    "softmax",
]
