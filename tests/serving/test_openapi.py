"""Requests made from our own OpenAPI document: every answer is one that the document tells of."""

import base64
import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate.serving.openapi import document
from striate.web.policy import Limits

DOCUMENT = document(Limits())
OPERATIONS = [
    (path, method, described, operation)
    for path, described in DOCUMENT["paths"].items()
    for method, operation in described.items()
    if method in ("get", "post")
]
KINDS = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
    "number": (int, float),
}  # fmt: skip

anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
    max_leaves=6,
)
pixels = st.lists(st.lists(st.lists(st.integers(0, 255), min_size=3, max_size=3)))


def values(schema, strings):
    """Values that a schema of the document allows, strings being of a strategy of their own."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "oneOf" in schema:
        return st.one_of([values(part, strings) for part in schema["oneOf"]])
    kind = schema.get("type")
    if kind == "object":
        known = schema.get("properties", {})
        required = {name: values(known[name], strings) for name in schema.get("required", ())}
        others = {name: values(part, strings) for name, part in known.items()}
        return st.fixed_dictionaries(
            required, optional={name: v for name, v in others.items() if name not in required}
        )
    if kind == "array":
        most = min(3, schema.get("maxItems", 3))
        inner = values(schema["items"], strings) if schema["items"] else anything | pixels
        return st.lists(inner, min_size=schema.get("minItems", 0), max_size=most)
    if kind == "integer":
        return st.integers(schema.get("minimum", -3), 8)
    return {"boolean": st.booleans(), "string": strings}.get(kind, anything)


def faults(schema, value, where="the answer"):
    """What a value has that its schema does not allow."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{where} is {value!r}"]
    kind = KINDS.get(schema.get("type"))
    if kind and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        return [f"{where} is no {schema['type']}"]
    found = [f"{where} has no {n}" for n in schema.get("required", ()) if n not in value]
    for name, part in schema.get("properties", {}).items():
        if name in value:
            found += faults(part, value[name], f"{where}.{name}")
    if "items" in schema:
        for number, entry in enumerate(value):
            found += faults(schema["items"], entry, f"{where}[{number}]")
    return found


def test_a_schema_that_is_not_kept_is_noticed():
    prediction = {"$ref": "#/components/schemas/Prediction"}
    assert faults(prediction, {"item": "a", "interval": [1, 2.5], "unknown": True}) == []
    assert faults(prediction, {"label": "a"}) == ["the answer has no item"]
    assert faults(prediction, {"item": "a", "novelty": True}) == ["the answer.novelty is no number"]
    assert faults(prediction, {"item": "a", "labels": ["a", 7]}) == [
        "the answer.labels[1] is no string"
    ]


@pytest.mark.parametrize("path", ["/predict", "/v2/models/{name}/infer"])
def test_what_is_sent_and_told_is_of_the_document(server, pictures, path):
    """An honest request for all there is: its answer has no field that the document does not name."""
    text = base64.b64encode(pictures[0]).decode()
    tensor = {"name": "file", "datatype": "BYTES", "shape": [1], "data": [text]}
    document = {"inputs": [text]} if path == "/predict" else {"inputs": [tensor]}
    answer = server.ask("POST", path.format(name="probe"), json=document)
    responses = DOCUMENT["paths"][path]["post"]["responses"]
    schema = responses["200"]["content"]["application/json"]["schema"]
    assert answer.status_code == 200 and not faults(schema, answer.json())
    if path == "/predict":
        named = DOCUMENT["components"]["schemas"]["Prediction"]["properties"]
        assert set(answer.json()["predictions"][0]) <= set(named)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_every_answer_is_one_that_the_document_tells_of(server, pictures, data):
    path, method, described, operation = data.draw(st.sampled_from(OPERATIONS), "operation")
    good = st.sampled_from(pictures[:3])
    files = st.one_of(good, good.map(lambda file: file[:200]), st.binary(max_size=50))
    strings = st.one_of(files.map(lambda file: base64.b64encode(file).decode()), st.text())
    names = st.one_of(st.just("probe"), st.text(st.characters(codec="ascii"), min_size=1))
    query = {}
    for parameter in [*described.get("parameters", ()), *operation.get("parameters", ())]:
        if parameter["in"] == "path":
            told = data.draw(names, parameter["name"])
            path = path.replace(f"{{{parameter['name']}}}", httpx.QueryParams(x=told).__str__()[2:])
        elif data.draw(st.booleans()):
            query[parameter["name"]] = data.draw(values(parameter["schema"], names))
    request = {"params": query} if query else {}
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        media_type = data.draw(st.sampled_from(sorted(content)), "media type")
        if media_type == "application/json":
            body = data.draw(values(content[media_type]["schema"], strings), "document")
            request["content"] = json.dumps(body).encode()
        elif media_type == "multipart/form-data":
            sent = data.draw(
                st.lists(st.tuples(st.text(max_size=9), files), min_size=1, max_size=3)
            )
            request["files"] = [("file", pair) for pair in sent]
        else:
            request["content"] = data.draw(files, "body")
        if "content" in request:
            request["headers"] = {"Content-Type": media_type}
    answer = server.ask(method.upper(), path, **request)
    assert answer.status_code < 500, answer.text
    responses = operation["responses"]
    assert str(answer.status_code) in responses or answer.status_code == 404
    told = responses.get(str(answer.status_code), {"content": {}})["content"]
    kind = answer.headers["content-type"].partition(";")[0]
    if told:
        assert kind in told
    if kind == "application/json" and told:
        assert not faults(told[kind]["schema"], answer.json())
