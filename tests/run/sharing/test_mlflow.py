"""What is logged to MLflow: a model that predicts the same, parameters, metrics, the report."""

import json
from pathlib import Path

import pytest

from striate.errors import MissingExtraError, RunError
from striate.run.sharing import mlflow_model
from striate.run.sharing.mlflow_model import RunModel, save_model


class Table:
    """As much of a table of pandas as is looked at."""

    def __init__(self, values):
        self.values = values

    @property
    def iloc(self):
        return self

    def __getitem__(self, where):
        assert where == (slice(None), 0)
        return self

    def tolist(self):
        return self.values


def pictures(photos):
    return [str(path) for path in sorted(photos.rglob("*.png"))[::9]]


def test_the_model_takes_paths_and_tables(probe_run, photos):
    model, expected = RunModel(probe_run), probe_run.predict(pictures(photos))
    wanted = [prediction.to_json() for prediction in expected]
    assert model.predict(pictures(photos)) == wanted
    assert model.predict(Table(pictures(photos))) == wanted


def test_parameters_hold_no_path(probe_run, photos):
    params = mlflow_model._params(probe_run)
    assert params["data"] == "photos" and params["option_seed"] == "0"
    assert str(photos.parent) not in str(params) and params["option_out"] == "None"


def test_without_mlflow_the_extra_is_named(probe_run, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match=r"striate\[mlflow\]"):
        probe_run.log_to_mlflow()


@pytest.mark.filterwarnings("ignore")  # MLflow and what it imports warn of their own changes
def test_a_loaded_model_predicts_the_same(probe_run, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("pandas")
    pytest.importorskip("mlflow.pyfunc")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    logged = probe_run.log_to_mlflow("shapes")
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    told = loaded.predict(pictures(photos))
    expected = [prediction.to_json() for prediction in probe_run.predict(pictures(photos))]
    assert [one["label"] for one in told] == [one["label"] for one in expected]
    assert [one["probabilities"] for one in told] == [one["probabilities"] for one in expected]
    data = mlflow.get_run(logged.run_id).data
    assert data.metrics["accuracy"] == probe_run.metrics["accuracy"]
    assert data.params["method"] == "probe"
    artifacts = [entry.path for entry in mlflow.MlflowClient().list_artifacts(logged.run_id)]
    assert "report.html" in artifacts
    files = [path.name for path in (tmp_path / "mlruns").rglob("*") if path.is_file()]
    assert "model.safetensors" in files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt"))]
    lock = json.loads((probe_run.folder.path / "data.lock.json").read_text())
    names = [item["id"] for item in lock["items"]]
    for path in (tmp_path / "mlruns").rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            text = path.read_text()
            assert str(photos) not in text and not any(name in text for name in names), path
    save_model(probe_run, tmp_path / "saved")
    assert mlflow.pyfunc.load_model(str(tmp_path / "saved")).predict(pictures(photos)[:1])
    with pytest.raises(RunError, match="there already"):
        save_model(probe_run, Path(tmp_path / "saved"))
