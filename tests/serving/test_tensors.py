"""Predictions as tensors of the Open Inference Protocol."""

from striate.serving.protocol import tensors_of
from striate.tasks.anomaly.prediction import AnomalyPrediction
from striate.tasks.prediction import Prediction


def test_a_detector_tells_its_score():
    found = [AnomalyPrediction(item=name, label="odd", score=score) for name, score in PAIRS]
    told = {tensor["name"]: tensor for tensor in tensors_of(found)}
    assert told["score"] == {"name": "score", "datatype": "FP64", "shape": [2], "data": [0.5, 2.0]}
    assert told["label"]["data"] == ["odd", "odd"]


def test_a_field_that_no_prediction_has_is_no_tensor():
    found = [Prediction(item="a", value=1.5, interval=(1.0, 2.0))]
    told = {tensor["name"]: tensor["data"] for tensor in tensors_of(found)}
    assert told == {"value": [1.5], "interval": [1.0, 2.0]}


PAIRS = (("a", 0.5), ("b", 2.0))
