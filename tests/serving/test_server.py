"""The server's answers: what predict says, bit for bit, whatever way the items come."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import striate
from striate.errors import EngineError, UnknownNameError
from striate.run.engines import measure
from striate.run.engines.files import EngineFile
from striate.serving import hosted as hosted_module
from striate.serving.hosted import Hosts, Settings, loaded, named_folders
from striate.web.policy import Limits


def said(predictions):
    """Predictions without their names, as JSON has them."""
    found = [p if isinstance(p, dict) else p.to_json() for p in predictions]
    return [{key: value for key, value in entry.items() if key != "item"} for entry in found]


@pytest.fixture(scope="module")
def few(probe_run, pictures):
    """What predict says of each picture where they are a few."""
    return said([*probe_run.predict(pictures[:10]), *probe_run.predict(pictures[10:])])


@pytest.fixture(scope="module")
def many(probe_run, pictures):
    """What predict says of each picture where they are many."""
    return said(probe_run.predict(pictures))


def test_a_form_of_files_is_answered_as_predict_answers(server, few, pictures):
    answer = server.post(*pictures[:3])
    assert answer.status_code == 200
    found = answer.json()["predictions"]
    assert [entry["item"] for entry in found] == ["0.png", "1.png", "2.png"]
    assert said(found) == few[:3]


def test_one_file_as_the_body(server, few, pictures):
    headers = {"Content-Type": "image/png"}
    answer = server.ask("POST", "/predict?model=probe", content=pictures[0], headers=headers)
    assert said(answer.json()["predictions"]) == few[:1]


def test_json_takes_base64_data_urls_and_arrays(server, probe_run, few, pictures, noise):
    text = base64.b64encode(pictures[0]).decode()
    inputs = [text, f"data:image/png;base64,{text}", {"base64": text}, noise.tolist()]
    answer = server.ask("POST", "/predict", json={"inputs": inputs})
    assert said(answer.json()["predictions"]) == [*few[:1] * 3, *said(probe_run.predict([noise]))]


def test_items_under_load_are_answered_as_predict_answers_a_few_or_many(
    served_with, probe_run, few, many, pictures
):
    local = served_with(worthwhile=2)
    requests = [("POST", "/predict", {"files": {"file": picture}}) for picture in pictures]
    answers = [said(answer.json()["predictions"])[0] for answer in local.together(requests)]
    assert all(a in (one, other) for a, one, other in zip(answers, few, many, strict=True))
    assert 1 < largest_batch(local) <= probe_run.predictor.inputs.batch_size


def largest_batch(local):
    """The largest batch that a server computed, from its metrics: the bound that holds all."""
    text = local.ask("GET", "/metrics").text
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
    counts = {
        float(s.labels["le"]): s.value for s in samples if s.name == "striate_batch_items_bucket"
    }
    return min(bound for bound, count in counts.items() if count == counts[float("inf")])


def test_one_by_one_is_bit_for_bit_whatever_the_load(served_with, few, pictures):
    local = served_with(worthwhile=2, together=False)
    requests = [("POST", "/predict", {"files": {"file": picture}}) for picture in pictures[:10]]
    answers = [said(answer.json()["predictions"])[0] for answer in local.together(requests)]
    assert answers == few[:10]
    assert largest_batch(local) == 1


def test_the_inference_protocol(server, probe_run, pictures, noise):
    assert server.ask("GET", "/v2").json()["name"] == "striate"
    assert server.ask("GET", "/v2/health/live").status_code == 200
    assert server.ask("GET", "/v2/health/ready").json() == {"ready": True}
    model = server.ask("GET", "/v2/models/probe").json()
    (version,) = model["versions"]
    assert model["parameters"]["classes"] == list(probe_run.classes)
    assert server.ask("GET", f"/v2/models/probe/versions/{version}/ready").status_code == 200
    assert server.ask("GET", "/v2/models/probe/versions/other").status_code == 404
    text = [base64.b64encode(picture).decode() for picture in pictures[:2]]
    files = {"name": "file", "datatype": "BYTES", "shape": [2], "data": text}
    answer = server.ask(
        "POST", "/v2/models/probe/infer", json={"id": "7", "inputs": [files]}
    ).json()
    assert (answer["id"], answer["model_version"]) == ("7", version)
    found = {tensor["name"]: tensor for tensor in answer["outputs"]}
    expected = probe_run.predict(pictures[:2])
    assert found["label"]["data"] == [p.label for p in expected]
    shares = np.array(found["probabilities"]["data"]).reshape(found["probabilities"]["shape"])
    assert (shares == np.array([p.probabilities for p in expected])).all()
    declared = {t["name"]: (t["datatype"], t["shape"][1:]) for t in model["outputs"]}
    assert declared == {t["name"]: (t["datatype"], t["shape"][1:]) for t in answer["outputs"]}
    array = noise.transpose(2, 0, 1)
    flat = array.ravel().tolist()
    tensor = {"name": "array", "datatype": "UINT8", "shape": [1, *array.shape], "data": flat}
    asked = {"inputs": [tensor], "outputs": [{"name": "confidence"}]}
    answer = server.ask("POST", f"/v2/models/probe/versions/{version}/infer", json=asked).json()
    assert [t["name"] for t in answer["outputs"]] == ["confidence"]
    assert answer["outputs"][0]["data"] == [probe_run.predict([array])[0].confidence]


FILE = {"name": "file", "datatype": "BYTES", "shape": [1], "data": ["aaaa"]}


def test_many_files_of_one_request_are_answered_as_predict_answers_many(
    served_with, many, pictures
):
    answer = served_with(worthwhile=2).post(*pictures)
    assert said(answer.json()["predictions"]) == many


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"inputs": []},
        {"inputs": [FILE, FILE]},
        {"inputs": [{**FILE, "name": "image"}]},
        {"inputs": [{**FILE, "datatype": "FP32"}]},
        {"inputs": [{**FILE, "shape": [2]}]},
        {"inputs": [{**FILE, "shape": [-1]}]},
        {"inputs": [{**FILE, "shape": [True]}]},
        {"inputs": [{**FILE, "data": [1]}]},
        {"inputs": [{**FILE, "data": ["?"]}]},
        {"inputs": [{**FILE, "data": "aaaa"}]},
        {"inputs": [{**FILE, "name": "array", "datatype": "UINT8", "data": [1, 2]}]},
        {"inputs": [{**FILE, "name": "array", "datatype": "UINT8", "data": [300]}]},
        {"inputs": [{**FILE, "name": "array", "datatype": "UINT8", "data": [[1], [1, 2]]}]},
        {"inputs": [{**FILE, "name": "array", "datatype": "INT64", "data": [10**30]}]},
        {"inputs": [{**FILE, "name": "array", "datatype": "FP32", "data": ["x"]}]},
        {"inputs": [FILE], "outputs": "label"},
        {"inputs": [FILE], "outputs": [{}]},
        {"inputs": [FILE], "id": 7},
    ],
)
def test_a_request_that_is_not_of_the_protocol(server, document):
    answer = server.ask("POST", "/v2/models/probe/infer", json=document)
    assert answer.status_code == 400 and answer.json()["error"]


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ([], 400),
        ({"inputs": []}, 400),
        ({"inputs": "aaaa"}, 400),
        ({"inputs": ["aaaa"], "model": "x"}, 400),
        ({"inputs": ["/etc/passwd.jpg"]}, 400),
        ({"inputs": ["http://evil.example/a.png"]}, 400),
        ({"inputs": ["file:///etc/passwd"]}, 400),
        ({"inputs": [{"url": "http://evil.example/a.png"}]}, 400),
        ({"inputs": [{"path": "/etc/passwd"}]}, 400),
        ({"inputs": [{"base64": 7}]}, 400),
        ({"inputs": [None]}, 400),
        ({"inputs": [7]}, 400),
        ({"inputs": [[["a"]]]}, 400),
        ({"inputs": [[[1], [1, 2]]]}, 400),
        ({"inputs": [[]]}, 400),
        ({"inputs": [[True]]}, 400),
        ({"inputs": [[10**400]]}, 400),
        ({"inputs": [{"text": "CCO \ud800"}]}, 422),
        ({"inputs": [[[1.5, 2.5]]]}, 422),
        ({"inputs": ["aaaa"] * 65}, 413),
    ],
)
def test_a_document_that_cannot_be_predicted(server, document, status):
    content = json.dumps(document)
    headers = {"Content-Type": "application/json"}
    answer = server.ask("POST", "/predict", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]


def test_a_form_or_a_body_of_another_kind_is_told_what_is_taken(server, pictures):
    assert server.ask("POST", "/predict", files={"image": pictures[0]}).status_code == 400
    assert server.ask("POST", "/predict", data={"file": "text"}).status_code == 415
    answer = server.ask("POST", "/predict", content=b"x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415 and "multipart/form-data" in answer.json()["error"]
    headers = {"Content-Type": "image/png", "Content-Encoding": "gzip"}
    assert server.ask("POST", "/predict", content=b"x", headers=headers).status_code == 415


def test_a_parameter_that_would_be_ignored_is_refused(server, pictures):
    answer = server.post(pictures[0], path="/predict?run=probe")
    assert answer.status_code == 400
    assert answer.json()["error"] == "no parameter is named 'run'; there are model and explain"


def test_unknown_models_addresses_and_methods(server, pictures):
    answer = server.post(pictures[0], path="/predict?model=prob")
    assert answer.status_code == 404 and "'probe'" in answer.json()["error"]
    assert server.ask("GET", "/v2/models/other/ready").status_code == 404
    for path in (
        "/none",
        "/predict/",
        "/docs/",
        "/docs/../etc/passwd",
        "/%2e%2e/secret",
        "/docs//",
    ):
        assert server.ask("GET", path).status_code == 404
    answer = server.ask("GET", "/predict")
    assert answer.status_code == 405 and answer.headers["allow"] == "POST"


def test_the_page_and_the_document_need_nothing_from_outside(server):
    page = server.ask("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert 'content="T"' in page.text and page.text == server.ask("GET", "/").text
    texts = [page.text, server.ask("GET", "/docs.js").text, server.ask("GET", "/docs.css").text]
    assert all("http" not in text.replace("<!doctype html>", "") for text in texts)
    assert "<script>" not in page.text and "style=" not in page.text and "onclick" not in page.text
    api = server.ask("GET", "/openapi.json").json()
    assert {"/predict", "/v2/models/{name}/infer", "/metrics", "/v2/health/ready"} <= set(
        api["paths"]
    )
    for methods in api["paths"].values():
        for method, operation in methods.items():
            assert method == "parameters" or "200" in operation["responses"]


def test_metrics_count_requests_items_and_batches(server, pictures):
    server.post(pictures[0], b"no picture")
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(server.ask("GET", "/metrics").text)
        for sample in family.samples
    }
    model = ("model", "probe")
    assert found["striate_items_total", model, ("status", "200")] >= 1
    assert found["striate_items_total", model, ("status", "415")] >= 1
    assert found["striate_requests_total", ("route", "predict"), ("status", "200")] >= 1
    assert found["striate_batch_items_count", model] >= 1
    assert found["striate_queue_items",] == 0 and found["striate_queue_capacity",] == 64
    assert found["striate_ready",] == 1
    assert not [name for name, *_ in found if name.endswith("_created")]


def test_several_runs_have_a_name_each(tmp_path):
    (tmp_path / "a" / "x").mkdir(parents=True)
    (tmp_path / "b" / "x").mkdir(parents=True)
    assert list(named_folders([tmp_path / "a", tmp_path / "b"])) == ["a", "b"]
    with pytest.raises(ValueError, match="two runs are named 'x'"):
        named_folders([tmp_path / "a" / "x", tmp_path / "b" / "x"])
    with pytest.raises(UnknownNameError, match="did you mean 'photos'"):
        Hosts({"photos": tmp_path}).named("photo")


def test_a_molecule_is_written_as_text_and_never_a_file(tmp_path):
    from striate.data.unlabelled import Text
    from striate.serving.sent import sent_in_json, sent_in_tensor

    path = tmp_path / "secret.csv"
    path.write_text("smiles\nCCO\n")
    (sent,) = sent_in_json({"inputs": [str(path)]}, written=True)
    assert sent.content == Text(str(path))
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["CCO"]}
    assert sent_in_tensor(tensor)[0].content == Text("CCO")


def test_more_items_than_places_are_refused_as_a_whole(served_with, pictures):
    local = served_with(capacity=2, limits=Limits(parts=4))
    assert local.post(*pictures[:3]).status_code == 413
    assert local.post(*pictures[:2]).status_code == 200
    assert local.service.batcher.places.held == 0


@pytest.fixture(scope="module")
def series(tmp_path_factory, own_cache):
    """A run on series, and some of them."""
    rng = np.random.default_rng(0)
    loud = np.arange(40) % 2 == 1
    folder = tmp_path_factory.mktemp("data") / "series"
    folder.mkdir()
    items = rng.normal(size=(40, 2, 64)) * np.where(loud, 3.0, 1.0)[:, None, None]
    np.save(folder / "X.npy", items.astype(np.float32))
    np.save(folder / "y.npy", np.where(loud, "loud", "quiet"))
    options = {"method": "scratch", "epochs": 1, "model": "[conv8-bn-relu]x2 - gap - fc2"}
    out = tmp_path_factory.mktemp("runs") / "series"
    return striate.fit(folder, out=out, device="cpu", **options), items.astype(np.float32)


def test_an_engine_answers_as_predict_does_by_that_engine(series, local_with):
    run, items = series
    expected = striate.load(run.folder.path, device="cpu", engine="onnx").predict([items[:3]])
    hosts = Hosts({"run": run.folder.path}, Settings(device="cpu", engine="onnx"))
    hosts.load()
    assert hosts.named("run").run.chosen_engine == "onnx"
    local = local_with(hosts)
    answer = local.ask("POST", "/predict", json={"inputs": [item.tolist() for item in items[:3]]})
    assert said(answer.json()["predictions"]) == said(expected)


def test_auto_takes_the_engine_that_was_measured_to_be_fastest(series, monkeypatch):
    run, _ = series
    monkeypatch.setattr(measure, "fastest", lambda run: "openvino")
    hosted = loaded("run", run.folder.path, Settings(device="cpu"))
    assert hosted.run.chosen_engine == "openvino"
    assert hosted.run.predictor.engine is None and hosted.run._answering._session is not None


def test_engines_are_measured_before_the_server_is_ready_unless_they_were(
    series, tmp_path, monkeypatch
):
    run, _ = series
    asked, found = [], [None]
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))  # other tests measure engines too

    def noted(run, *, seconds, progress):
        asked.append(seconds)
        raise EngineError("no other engine takes it")

    monkeypatch.setattr(hosted_module, "measure", noted)
    monkeypatch.setattr(hosted_module, "measured", lambda run: found[0])
    wanted = Settings(device="cpu", measure=True)
    assert loaded("run", run.folder.path, wanted).run.chosen_engine == "torch"
    assert asked == [hosted_module.MEASURE_SECONDS]
    found[0] = "known"
    loaded("run", run.folder.path, wanted)
    found[0] = None
    loaded("run", run.folder.path, replace(wanted, engine="torch"))
    loaded("run", run.folder.path, replace(wanted, one_by_one=True))
    assert len(asked) == 1


def test_an_engine_that_answers_otherwise_is_told_before_the_first_request(series, monkeypatch):
    run, _ = series

    def refused(self, progress):
        raise EngineError("ONNX Runtime answers otherwise")

    monkeypatch.setattr(EngineFile, "session", refused)
    with pytest.raises(EngineError, match="answers otherwise"):
        loaded("run", run.folder.path, Settings(device="cpu", engine="onnx"))
    with pytest.raises(UnknownNameError, match="unknown engine 'onx'"):
        loaded("run", run.folder.path, Settings(engine="onx"))
