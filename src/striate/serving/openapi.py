"""The OpenAPI document of the server."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from striate.serving.sent import ARRAY, DATATYPES, FILE, TEXT
from striate.web.policy import Limits

_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}

_REASONS: Final[Mapping[int, str]] = {
    400: "The request is not as it is to be.",
    401: "A token is needed.",
    403: "A page of another site asks.",
    404: "There is no such model.",
    405: "The address does not take this method.",
    408: "The request did not arrive in time.",
    413: "The request, or what it expands to, is too large.",
    415: "This is of no format, or no Content-Type, that is read.",
    421: "The Host header names another server.",
    422: "A file is damaged, or does not fit the model.",
    429: "Too many items wait; Retry-After says when to ask again.",
    500: "The model failed, or its answer is not a finite number.",
    503: "The model is being loaded, or the server is busy or about to end.",
    504: "The answer was not ready before the deadline.",
}

_PREDICTION: Final = {
    "type": "object",
    "required": ["item"],
    "properties": {
        "item": {"type": "string", "description": "Name of the file, or place in the request."},
        "label": {"type": "string", "description": "The class it is taken for."},
        "labels": {"type": "array", "items": {"type": "string"}},
        "value": {"type": "number", "description": "The predicted number."},
        "interval": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        "unit": {"type": "string"},
        "confidence": {"type": "number", "description": "Probability of the class."},
        "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
        "prediction_set": {"type": "array", "items": {"type": "string"}},
        "undecided": {
            "type": "boolean",
            "description": "Whether it is too unsure at the cost of not knowing that was stated.",
        },
        "unknown": {
            "type": "boolean",
            "description": "Whether it seems to be none of the classes.",
        },
        "novelty": {"type": "number", "description": "Higher is stranger."},
        "score": {"type": "number", "description": "How odd it is: odd above 1."},
        "explanation": {
            "type": "object",
            "description": "Where the evidence for it lies, a picture in base64, or why not.",
            "required": ["target"],
            "properties": {
                "target": {"type": "string", "description": "What the evidence is for."},
                "method": {"type": "string"},
                "found": {"type": "boolean", "description": "Whether there is any to see."},
                "media_type": {"enum": ["image/png", "image/svg+xml"]},
                "base64": {"type": "string"},
                "reason": {"type": "string"},
            },
        },
        "status": {"type": "integer", "description": "Of an item without a prediction."},
        "reason": {"type": "string", "description": "Why there is no prediction."},
    },
}

_PREDICTIONS: Final = {
    "type": "object",
    "required": ["predictions"],
    "properties": {
        "predictions": {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}}
    },
}

_TENSOR: Final = {
    "type": "object",
    "required": ["name", "datatype", "shape", "data"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array", "items": {}},
    },
}

_INFERENCE_ANSWER: Final = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
}


def document(limits: Limits) -> dict[str, Any]:
    """The document, the same for every run.

    Args:
        limits: How much a request may bring.
    """
    model = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    number = {**model, "name": "version"}
    paths: dict[str, Any] = {
        "/predict": {"post": _predict(limits)},
        "/v2": {"get": _get("What the server is.")},
        "/v2/health/live": {"get": _get("Whether the server runs.")},
        "/v2/health/ready": {"get": _get("Whether the server takes requests.", 503)},
        "/metrics": {"get": _get("Counters in the text format of Prometheus.", kind="text/plain")},
        "/openapi.json": {"get": _get("This document.")},
    }
    for path, parameters in (
        ("/v2/models/{name}", [model]),
        ("/v2/models/{name}/versions/{version}", [model, number]),
    ):
        described = _get("What a model takes and gives.", 404, 503)
        ready = _get("Whether a model is loaded.", 404, 503)
        paths[path] = {"parameters": parameters, "get": described}
        paths[f"{path}/ready"] = {"parameters": parameters, "get": ready}
        paths[f"{path}/infer"] = {"parameters": parameters, "post": _infer()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Striate", "version": version("striate")},
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR, "Prediction": _PREDICTION},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _get(summary: str, *statuses: int, kind: str = "application/json") -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string" if kind == "text/plain" else "object"}
    if kind == "application/json" and 503 in statuses and 404 not in statuses:
        both = {"description": "Not ready.", "content": {kind: {"schema": schema}}}
        return {
            "summary": summary,
            "responses": {**_responses(schema, kind, 401, 403, 421), "503": both},
        }
    return {"summary": summary, "responses": _responses(schema, kind, 401, 403, 421, *statuses)}


def _responses(schema: Mapping[str, Any], kind: str, *statuses: int) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    failures = {str(s): {"description": _REASONS[s], "content": error} for s in sorted(statuses)}
    return {"200": {"description": "Done.", "content": {kind: {"schema": schema}}}, **failures}


_POST_STATUSES: Final = (400, 401, 403, 404, 408, 413, 415, 421, 422, 429, 500, 503, 504)


def _predict(limits: Limits) -> dict[str, Any]:
    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {
            "file": {"type": "array", "items": binary, "minItems": 1, "maxItems": limits.parts}
        },
    }
    entry = {
        "oneOf": [
            {"type": "string", "description": "A file in base64; a SMILES of a molecule."},
            {"type": "array", "description": "An array as nested lists of numbers.", "items": {}},
            _object_of("base64"),
            _object_of("text"),
        ]
    }
    listed = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "inputs": {"type": "array", "items": entry, "minItems": 1, "maxItems": limits.parts}
        },
    }
    content = {
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": listed},
        "application/octet-stream": {"schema": {}},
    }
    model = {
        "name": "model", "in": "query", "schema": {"type": "string"},
        "description": "Name of the model; by default the first.",
    }  # fmt: skip
    explain = {
        "name": "explain", "in": "query", "schema": {"enum": ["0", "1", "false", "true"]},
        "description": "Whether each prediction comes with the evidence for it, as a picture.",
    }  # fmt: skip
    return {
        "summary": "Predict files, arrays or texts.",
        "parameters": [model, explain],
        "requestBody": {"required": True, "content": content},
        "responses": _responses(_PREDICTIONS, "application/json", *_POST_STATUSES),
    }


def _object_of(key: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": [key],
        "additionalProperties": False,
        "properties": {key: {"type": "string"}},
    }


def _infer() -> dict[str, Any]:
    tensor = {
        **_TENSOR,
        "properties": {
            "name": {"enum": [FILE, TEXT, ARRAY]},
            "datatype": {"enum": ["BYTES", *DATATYPES]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
            "data": {"type": "array", "items": {}},
        },
    }
    wanted = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    asked = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object", "properties": {"explain": {"type": "boolean"}}},
            "inputs": {"type": "array", "items": tensor, "minItems": 1, "maxItems": 1},
            "outputs": {"type": "array", "items": wanted},
        },
    }
    return {
        "summary": "Predict by the Open Inference Protocol.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": _responses(_INFERENCE_ANSWER, "application/json", *_POST_STATUSES),
    }
