"""The Open Inference Protocol, version 2 (the REST interface of KServe, Triton and others)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from operator import attrgetter
from typing import Any, Final

from striate.serving.explaining import Explanation
from striate.serving.failure import Failure
from striate.serving.hosted import Hosted
from striate.serving.sent import ARRAY, FILE, TEXT, Sent, sent_in_tensor
from striate.tasks.prediction import Prediction


def server_metadata() -> dict[str, Any]:
    """What the server is."""
    return {"name": "striate", "version": version("striate"), "extensions": []}


def model_metadata(hosted: Hosted) -> dict[str, Any]:
    """What a run takes and gives.

    One of the inputs is sent, not all. Files and texts are strings (files in base64); an array has
    its items along the first axis.
    """
    record, inputs = hosted.run.record, hosted.run.predictor.inputs
    axes = [-1] * (len(inputs.input_shape) - 1)
    sent = [
        _tensor(TEXT, "BYTES", [-1])
        if hosted.written
        else _tensor(FILE, "BYTES", [-1], {"content_type": "base64"}),
        _tensor(ARRAY, "UINT8", [-1, inputs.input_shape[0], *axes]),
    ]
    given = [] if hosted.example is None else tensors_of([hosted.example])
    return {
        "name": hosted.name,
        "versions": [hosted.version],
        "platform": "striate",
        "inputs": sent[:1] if hosted.written else sent,
        "outputs": [_tensor(t["name"], t["datatype"], [-1, *t["shape"][1:]]) for t in given],
        "parameters": {
            "kind": record.kind,
            "task": record.task,
            "method": record.method,
            "classes": list(record.classes),
        },
    }


def _tensor(
    name: str, datatype: str, shape: list[int], parameters: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    return tensor if parameters is None else {**tensor, "parameters": dict(parameters)}


@dataclass(frozen=True, kw_only=True)
class Inference:
    """A request for inference.

    Attributes:
        sent: What is to be predicted.
        outputs: Names of the tensors wanted; all where there are none.
        id: What the client calls the request; empty where it has no name.
        explain: Whether the evidence for each prediction is wanted, as the output `explanation`.
    """

    sent: list[Sent]
    outputs: tuple[str, ...]
    id: str
    explain: bool


def inference_of(document: Any) -> Inference:
    """The request in a JSON document.

    Raises:
        Failure: It is not as the protocol has it (400).
    """
    if not isinstance(document, dict):
        raise Failure(400, "the JSON is to be an object")
    tensors, outputs = document.get("inputs"), document.get("outputs", [])
    if not isinstance(tensors, list) or len(tensors) != 1 or not isinstance(tensors[0], dict):
        raise Failure(400, f'"inputs" is to be a list of one tensor: {FILE}, {TEXT} or {ARRAY}')
    if not isinstance(outputs, list):
        raise Failure(400, '"outputs" is to be a list')
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in outputs]
    request_id = document.get("id", "")
    if not all(isinstance(name, str) for name in [*names, request_id]):
        raise Failure(400, 'each of the "outputs" is to have a name, and the id is to be a string')
    parameters = document.get("parameters", {})
    explain = parameters.get("explain", False) if isinstance(parameters, dict) else None
    if not isinstance(explain, bool):
        raise Failure(400, '"parameters" is to be an object, and its "explain" true or false')
    sent, wanted = sent_in_tensor(tensors[0]), tuple(map(str, names))
    return Inference(sent=sent, outputs=wanted, id=request_id, explain=explain)


def response_to(
    inference: Inference,
    hosted: Hosted,
    predictions: Sequence[Prediction],
    explanations: Sequence[Explanation] = (),
) -> dict[str, Any]:
    """The answer to a request.

    Args:
        inference: The request.
        hosted: The run.
        predictions: Of its items.
        explanations: The evidence for each; empty where it is not wanted.

    Raises:
        Failure: A requested tensor does not exist (400).
    """
    tensors = tensors_of(predictions)
    if explanations:
        tensors.append(_explanation_tensor(explanations))
    known = {tensor["name"] for tensor in tensors}
    if unknown := [name for name in inference.outputs if name not in known]:
        names = ", ".join(sorted(known))
        raise Failure(400, f"no output is named {unknown[0]!r}; there are {names}")
    wanted = inference.outputs or tuple(known)
    response: dict[str, Any] = {"model_name": hosted.name, "model_version": hosted.version}
    if inference.id:
        response["id"] = inference.id
    return {**response, "outputs": [tensor for tensor in tensors if tensor["name"] in wanted]}


def tensors_of(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Everything that predictions say, a tensor for each field that they have."""
    first, count = predictions[0], len(predictions)
    tensors = []
    for name, (datatype, row) in _FIELDS.items():
        if getattr(first, name, None) is None:
            continue
        rows = [row(prediction) for prediction in predictions]
        width = [len(rows[0])] if isinstance(rows[0], list) else []
        data = [value for row in rows for value in row] if width else rows
        tensors.append({"name": name, "datatype": datatype, "shape": [count, *width], "data": data})
    return tensors


def _explanation_tensor(explanations: Sequence[Explanation]) -> dict[str, Any]:
    """The pictures in base64, empty where one was not ready."""
    told = [explanation.to_json() for explanation in explanations]
    parameters = {
        "content_type": "base64",
        **{key: [entry.get(key, "") for entry in told] for key in ("target", "media_type")},
    }
    tensor = _tensor("explanation", "BYTES", [len(told)], parameters)
    return {**tensor, "data": [explanation.base64 for explanation in explanations]}


def _membership(name: str) -> Callable[[Prediction], list[bool]]:
    """Whether each class is among those that a field names."""

    def row(prediction: Prediction) -> list[bool]:
        named = set(getattr(prediction, name))
        return [label in named for label in prediction.classes]

    return row


def _probabilities(prediction: Prediction) -> list[float]:
    assert prediction.probabilities is not None
    numbers: list[float] = prediction.probabilities.tolist()
    return numbers


_FIELDS: Final[Mapping[str, tuple[str, Callable[[Prediction], Any]]]] = {
    "label": ("BYTES", lambda prediction: prediction.label),
    "labels": ("BOOL", _membership("labels")),
    "value": ("FP64", lambda prediction: prediction.value),
    "interval": ("FP64", lambda prediction: list(prediction.interval or ())),
    "probabilities": ("FP64", _probabilities),
    "confidence": ("FP64", lambda prediction: prediction.confidence),
    "prediction_set": ("BOOL", _membership("prediction_set")),
    "undecided": ("BOOL", lambda prediction: prediction.undecided),
    "unknown": ("BOOL", lambda prediction: prediction.unknown),
    "novelty": ("FP64", lambda prediction: prediction.novelty),
    "score": ("FP64", attrgetter("score")),
}
"""The datatype of each field of a prediction, and an item's part of its tensor."""
