"""Runs and files of the user's as what is explored."""

import json

import numpy as np
import pytest

from striate.errors import ArgumentError, DataError, RunError
from striate.explorer.numbers import unpacked
from striate.explorer.session import Session
from striate.explorer.subjects import run_subject
from striate.explorer.subjects.model_subject import ModelSubject
from striate.explorer.subjects.run_subject import RunSubject


@pytest.fixture(scope="module")
def session(probe_run):
    return Session(RunSubject(probe_run.folder.path))


def test_the_items_are_the_test_items_with_label_and_answer(session, probe_run):
    rows = probe_run.folder.read_csv("predictions.csv")
    expected = {r["item"]: (r["label"], r["prediction"]) for r in rows if r["split"] == "test"}
    items = session.network["items"]
    assert {item["name"]: (item["label"], item["answer"]) for item in items} == expected
    assert session.network["classes"] == list(probe_run.classes)
    assert session.network["notes"] == []


def test_an_item_is_answered_as_predict_does(session, probe_run, photos):
    name = session.network["items"][1]["name"]
    (prediction,) = probe_run.predict(photos / name)
    found = session.item(1)
    assert found["answer"] == prediction.answer()
    by_class = {each["class"]: each["probability"] for each in found["outputs"]}
    for label, probability in prediction.top(3):
        assert by_class[label] == pytest.approx(probability, abs=1e-6)
    assert unpacked(found["picture"]).shape == (64, 64, 3)


def test_a_file_of_the_users(probe_run, photos):
    session = Session(RunSubject(probe_run.folder.path, [photos / "disc" / "01.png"]))
    assert [item["label"] for item in session.network["items"]] == [None]
    (prediction,) = probe_run.predict(photos / "disc" / "01.png")
    assert session.item(0)["answer"] == prediction.answer()


def test_data_that_are_gone_leave_a_built_in_item(probe_run, monkeypatch):
    def gone(data):
        raise DataError(f"no such folder: {data}")

    monkeypatch.setattr(run_subject, "open_source", gone)
    session = Session(RunSubject(probe_run.folder.path))
    assert [item["name"] for item in session.network["items"]] == ["a built-in picture"]
    assert "no such folder" in session.network["notes"][0]
    assert session.item(0)["answer"] == ""
    json.dumps(session.item(0), allow_nan=False)


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(RunError, match="no finished run"):
        RunSubject(tmp_path)


def test_a_network_of_graphs_is_refused():
    with pytest.raises(ArgumentError, match="takes graphs"):
        ModelSubject("gcn")


@pytest.mark.parametrize("shape", [(1, 30), (3, 26, 20), (1, 26, 20), (5, 26, 20), (2, 8, 9, 7)])
def test_a_built_in_item_has_the_shape_that_is_asked_for(shape):
    subject = ModelSubject("conv4-gap-fc2", shape)
    opened = subject.open(0)
    assert tuple(opened.x.shape) == (1, *shape) and opened.raw.shape == shape
    assert float(opened.x.std()) > 0.1
    assert np.isfinite(opened.x.numpy()).all()


def test_a_picture_for_a_bare_network(photos):
    subject = ModelSubject("conv4-gap-fc2", (3, 40, 30), [photos / "disc" / "01.png"])
    assert [entry.name for entry in subject.entries] == ["01.png", "a built-in picture"]
    opened = subject.open(0)
    assert opened.raw.dtype == np.uint8 and opened.raw.shape == (3, 40, 30)
    mean, std = (
        np.array(each)
        for each in (subject.network.preprocessing.mean, subject.network.preprocessing.std)
    )
    expected = (opened.raw.transpose(1, 2, 0) / 255 - mean) / std
    np.testing.assert_allclose(opened.x[0].numpy().transpose(1, 2, 0), expected, atol=1e-5)


def test_series_and_volumes_from_files(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "series.npy", rng.normal(5, 2, (2, 90)).astype(np.float32))
    opened = ModelSubject("conv4-gap-fc2", (2, 64), [tmp_path / "series.npy"]).open(0)
    assert tuple(opened.x.shape) == (1, 2, 64) and abs(float(opened.x.mean())) < 0.01
    np.save(tmp_path / "volume.npy", rng.normal(5, 2, (1, 12, 14, 10)).astype(np.float32))
    opened = ModelSubject("conv4-gap-fc2", (1, 8, 8, 8), [tmp_path / "volume.npy"]).open(0)
    assert tuple(opened.x.shape) == (1, 1, 8, 8, 8)


def test_weights_are_trained_where_a_package_has_them_and_else_said_to_be_random():
    assert ModelSubject("efficientnet_lite0").notes == ()
    assert "random" in ModelSubject("lenet5").notes[0]
