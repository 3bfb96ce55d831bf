"""A run under common corruptions: figures by severity, as text, JSON and a page."""

import json

import numpy as np
import pytest

from striate.errors import DataError, RunError
from striate.run.evaluate.corrupted import corrupted


@pytest.fixture(scope="module")
def found(probe_run, photos):
    return probe_run.robustness(photos, max_items=12)


def test_each_figure_is_that_of_the_corrupted_items(found, probe_run, photos):
    names = [corruption.name for corruption in probe_run.kind.corruptions]
    assert [curve.name for curve in found.curves] == names
    assert found.num_items == 12
    document = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert [len(curve["severities"]) for curve in document["corruptions"]] == [5] * len(names)
    values = [
        at["metrics"]["log_loss"]["value"]
        for curve in document["corruptions"]
        for at in curve["severities"]
    ]
    assert document["mean"]["log_loss"] == pytest.approx(np.mean(values))
    # Severe noise and darkness tell of what the pictures show.
    clean = document["metrics"]["log_loss"]["value"]
    assert values[4] > clean


def test_as_they_are_the_figures_are_those_of_evaluate(probe_run, photos):
    found = probe_run.robustness(photos, max_items=100)
    assert found.num_items == 60
    wanted = probe_run.evaluate(photos).metrics
    for name, figure in found.clean.items():
        assert figure.value == pytest.approx(wanted[name].value, abs=1e-5), name
    assert any("learnt from" in note for note in found.notes)


def test_the_same_again_and_other_items_with_another_seed(found, probe_run, photos):
    again = corrupted(probe_run, photos, max_items=12)
    assert again.as_json()["corruptions"] == found.as_json()["corruptions"]
    other = corrupted(probe_run, photos, max_items=12, seed=1)
    assert other.as_json()["corruptions"] != found.as_json()["corruptions"]


def test_what_has_no_corruptions_says_so(probe_run, monkeypatch):
    monkeypatch.setattr(type(probe_run.kind), "corruptions", ())
    with pytest.raises(RunError, match="no corruption of images is known"):
        probe_run.robustness()


def test_nothing_to_read(probe_run, tmp_path):
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError):
        probe_run.robustness(tmp_path)
