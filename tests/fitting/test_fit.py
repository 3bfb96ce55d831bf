"""`fit` from a folder of images to a run folder, by every method."""

import csv
import hashlib
import json
import math
import re
import shutil

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

import striate
from striate.errors import ArgumentError, DeviceError, RunError, StorageError, UnknownNameError
from striate.run.folder import RunFolder

FILES = {
    "SHA256SUMS",
    ".lock",
    ".striate",
    "checkpoints",
    "data.lock.json",
    "held_out.safetensors",
    "history.csv",
    "model.safetensors",
    "predictions.csv",
    "report.html",
    "report.json",
    "run.json",
}
REPORT_KEYS = {
    "task",
    "classes",
    "split_sizes",
    "method",
    "model",
    "seconds",
    "test",
    "per_class",
    "confusion",
    "baselines",
    "data_issues",
    "throughput",
}
TEST_KEYS = {
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "roc_auc",
    "log_loss",
    "ece",
    "ece_uncalibrated",
}
CLASSES = ("disc", "square", "stripes")


@pytest.fixture(scope="session")
def scratch_run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "scratch"
    options = {"model": "resnet18", "image_size": 32, "epochs": 2, "workers": 2}
    return striate.fit(photos, out=out, method="scratch", device="cpu", **options)


@pytest.fixture(params=["probe", "kernel", "finetune", "scratch", "auto"])
def run(request):
    name = {"finetune": "tuned_run"}.get(request.param, f"{request.param}_run")
    return request.getfixturevalue(name)


def read_json(run, name):
    return json.loads((run.folder.path / name).read_text())


def rows_of(run, name):
    with (run.folder.path / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_run_folder_holds_what_the_design_says(run):
    # A table of doubtful labels is written where there are any, and what tells strange items where
    # enough held-out items say what is usual: all of a model on frozen features, else 9 here.
    names = {path.name for path in run.folder.path.iterdir()}
    assert names - {"labels-to-check.csv", "novelty.safetensors", "test-openings.csv"} == FILES
    assert ("novelty.safetensors" in names) == (run.report.method in ("probe", "kernel"))
    assert run.folder.finished()


def test_report_has_the_keys_of_the_design(run):
    report = read_json(run, "report.json")
    assert set(report) >= REPORT_KEYS
    assert set(report["seconds"]) == {"total", "first_baseline", "features", "train", "evaluate"}
    assert set(report["test"]) == TEST_KEYS
    for figure in report["test"].values():
        if figure["ci95"] is None:
            assert figure["reason"]
        else:
            low, high = figure["ci95"]
            assert low <= figure["value"] <= high
    assert report["test"]["accuracy"]["ci95"] is not None
    assert set(report["baselines"]) == {"majority", "probe"}
    assert report["classes"] == list(CLASSES)
    assert sum(report["split_sizes"].values()) == 60
    confusion = np.array(report["confusion"])
    assert confusion.shape == (3, 3) and confusion.sum() == report["split_sizes"]["test"]
    assert report["seconds"]["total"] > report["seconds"]["evaluate"] > 0
    assert run.metrics["accuracy"] == report["test"]["accuracy"]["value"]


def test_figures_agree_with_scikit_learn_on_the_predictions(run):
    test = [row for row in rows_of(run, "predictions.csv") if row["split"] == "test"]
    probabilities = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in test])
    probabilities /= probabilities.sum(1, keepdims=True)  # nine digits were written
    labels = [row["label"] for row in test]
    answers = [row["prediction"] for row in test]
    figures = run.metrics
    assert figures["accuracy"] == pytest.approx(accuracy_score(labels, answers))
    expected = roc_auc_score(labels, probabilities, multi_class="ovr", labels=CLASSES)
    assert figures["roc_auc"] == pytest.approx(expected, abs=1e-9)
    expected = log_loss(labels, probabilities, labels=CLASSES)
    assert figures["log_loss"] == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_data_lock_is_complete(run, photos):
    lock = read_json(run, "data.lock.json")
    files = {str(path.relative_to(photos)): path for path in photos.rglob("*.*")}
    assert {item["id"] for item in lock["items"]} == set(files)
    for item in lock["items"]:
        assert item["sha256"] == hashlib.sha256(files[item["id"]].read_bytes()).hexdigest()
        assert item["label"] == item["id"].split("/")[0]
        assert item["split"] in ("train", "val", "test")
        assert isinstance(item["duplicate_group"], int)
    assert lock["skipped"] == []
    splits = [item["split"] for item in lock["items"]]
    assert {name: splits.count(name) for name in set(splits)} == run.report.split_sizes


def test_predictions_cover_exactly_the_held_out_items(run):
    locked = {item["id"]: item for item in read_json(run, "data.lock.json")["items"]}
    rows = rows_of(run, "predictions.csv")
    learnt = ("train", "val") if run.record.method in ("kernel", "probe") else ("train",)
    held_out = {name for name, item in locked.items() if item["split"] not in learnt}
    assert {row["item"] for row in rows} == held_out and len(rows) == len(held_out)
    for row in rows:
        assert (row["split"], row["label"]) == tuple(
            locked[row["item"]][key] for key in ("split", "label")
        )
        probabilities = [float(row[f"p_{name}"]) for name in CLASSES]
        assert sum(probabilities) == pytest.approx(1, abs=1e-6)
        assert row["prediction"] == CLASSES[int(np.argmax(probabilities))]


def test_weights_are_those_that_the_record_names(run):
    content = (run.folder.path / "model.safetensors").read_bytes()
    assert run.record.model.sha256 == hashlib.sha256(content).hexdigest()
    assert not run.model.training
    assert run.record.classes == CLASSES
    assert run.record.command and run.record.versions["torch"]


def test_a_changed_weights_file_is_refused(probe_run, tmp_path):
    copy = RunFolder(shutil.copytree(probe_run.folder.path, tmp_path / "copy"))
    with (copy.path / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    with pytest.raises(RunError, match="is not what the run wrote"):
        _ = striate.load(copy.path).model


@pytest.mark.parametrize(("name", "epochs"), [("probe", 0), ("tuned", 2), ("scratch", 2)])
def test_history_has_a_row_an_epoch(name, epochs, request):
    rows = rows_of(request.getfixturevalue(f"{name}_run"), "history.csv")
    assert [int(row["epoch"]) for row in rows] == list(range(1, epochs + 1))
    for row in rows:
        numbers = [float(value) for value in row.values()]
        assert all(map(math.isfinite, numbers))
        assert float(row["samples_per_second"]) > 0


def test_methods_end_as_asked(probe_run, kernel_run, tuned_run, scratch_run, auto_run):
    assert probe_run.record.method == "probe"
    assert kernel_run.record.method == kernel_run.report.method == "kernel"
    assert kernel_run.record.model.options["backbone"] == "efficientnet_lite0"
    assert kernel_run.metrics["accuracy"] >= 8 / 9
    assert tuned_run.record.method == "finetune"
    assert scratch_run.record.method == "scratch"
    assert scratch_run.record.model.name == "resnet18"
    assert scratch_run.report.baselines.probe is None
    assert probe_run.metrics["accuracy"] >= 8 / 9


def test_auto_keeps_the_better_and_says_why(auto_run):
    """First between the models on frozen features, then between the better one and fine-tuning."""
    rows = {row.method: row for row in auto_run.report.candidates}
    assert list(rows) == ["probe", "kernel", "finetune"]
    (kept,) = [row.method for row in auto_run.report.candidates if row.kept]
    assert auto_run.record.method == kept
    first, second = [c.why for c in auto_run.report.choices if c.topic == "method"]
    probe, kernel = (float(text) for text in re.findall(r"\d+\.\d+", first))
    frozen = "kernel" if kernel < probe else "probe"
    assert first.startswith("cross-validation log loss: ")
    assert second.startswith("validation log loss: ")
    other, tuned, margin = (float(text) for text in re.findall(r"\d+\.\d+", second))
    assert kept == ("finetune" if tuned < other - margin else frozen)
    assert auto_run.report.baselines.probe is not None


def test_a_kernel_machine_learns_from_the_validation_items_in_the_end(kernel_run):
    assert "validation items" in [choice.topic for choice in kernel_run.report.choices]
    locked = read_json(kernel_run, "data.lock.json")["items"]
    learnt = sum(item["split"] != "test" for item in locked)
    assert kernel_run.record.model.options["num_landmarks"] == learnt


def test_too_many_items_for_every_scale_leave_the_probe(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("striate.fitting.baseline.feature_pass.MAX_FEATURES", 10_000)
    options = {"image_size": 64, "device": "cpu"}
    run = striate.fit(photos, out=tmp_path / "run", time="15s", **options)
    assert run.record.method == "probe"
    with pytest.raises(ArgumentError, match="60 items are too many to keep"):
        striate.fit(photos, out=tmp_path / "other", method="kernel", **options)


def test_too_little_time_for_fine_tuning_leaves_it_out(photos, tmp_path):
    run = striate.fit(photos, out=tmp_path / "run", image_size=64, time="20s", device="cpu")
    *_, choice = (c for c in run.report.choices if c.topic == "method")
    assert choice.choice in ("linear probe", "kernel machine")
    told = (
        r"of fine-tuning the time allows fewer than 4 epochs; it would be tried with a time of (.*)"
    )
    needed = re.fullmatch(told, choice.why)[1]
    assert (float(needed[:-2]) if "min" not in needed else 60) > 20


def test_two_runs_of_one_seed_are_equal_and_of_another_are_not(photos, probe_run, tmp_path):
    options = {"method": "probe", "image_size": 64, "device": "cpu"}
    again = striate.fit(photos, out=tmp_path / "again", **options)
    other = striate.fit(photos, out=tmp_path / "other", seed=1, **options)
    assert again.record.model.sha256 == probe_run.record.model.sha256
    assert other.record.model.sha256 != probe_run.record.model.sha256
    for name in ("predictions.csv", "data.lock.json"):
        same = (again.folder.path / name).read_bytes()
        assert same == (probe_run.folder.path / name).read_bytes()


def test_summary_is_what_a_person_wants_first(probe_run):
    lines = probe_run.summary().splitlines()
    assert lines[0] == "test items: 9"
    assert lines[1].startswith("accuracy: ")
    assert lines[-1] == f"report: {probe_run.folder.path / 'report.html'}"


def test_the_default_folder_is_the_next_free_one(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "photos-1").mkdir(parents=True)
    run = striate.fit(photos, method="probe", image_size=32, device="cpu")
    assert str(run.folder.path) == "runs/photos-2"
    again = striate.fit(photos, method="probe", image_size=32, device="cpu", resume=True)
    assert again.folder.path == run.folder.path


@pytest.mark.parametrize("option", [{"epochs": 0}, {"time": "soon"}, {"image_size": 4}])
def test_a_wrong_option_is_refused_before_a_folder_is_made(option, photos, tmp_path):
    with pytest.raises(ArgumentError):
        striate.fit(photos, out=tmp_path / "run", **option)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", [{"options": {"sizes": 9}}, {"method": "wide"}])
def test_a_fit_that_is_refused_later_leaves_no_folder(option, photos, tmp_path):
    with pytest.raises(ArgumentError):
        striate.fit(photos, out=tmp_path / "runs" / "a", image_size=32, device="cpu", **option)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model_suggests_the_nearest(photos, tmp_path):
    with pytest.raises(UnknownNameError, match="resnet18"):
        striate.fit(photos, out=tmp_path / "run", model="resnet81", device="cpu")


def test_a_finished_run_is_not_written_over(probe_run, photos):
    before = (probe_run.folder.path / "run.json").read_bytes()
    with pytest.raises(RunError, match="holds a finished run"):
        striate.fit(photos, out=probe_run.folder.path, method="probe")
    again = striate.fit(photos, out=probe_run.folder.path, method="probe", resume=True)
    assert again.record == probe_run.record
    assert (probe_run.folder.path / "run.json").read_bytes() == before


def test_fault_62_an_output_that_cannot_be_written_stops_before_any_work(
    photos, tmp_path, monkeypatch
):
    monkeypatch.setattr("striate.fitting.fit._fit", lambda context: pytest.fail("work was begun"))
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*`out=`"):
        striate.fit(photos, out=tmp_path / "file" / "run", device="cpu")


def test_fault_66_two_runs_in_one_folder(photos, tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    with folder.locked(), pytest.raises(RunError, match=r"in use by process \d+"):
        striate.fit(photos, out=folder.path, device="cpu")


def test_fault_74_cuda_without_a_gpu_is_an_error(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match="use `device='cpu'`"):
        striate.fit(photos, out=tmp_path / "run", device="cuda")
    assert not (tmp_path / "run").exists()


def test_the_users_random_numbers_go_on_where_they_were(photos, tmp_path, monkeypatch):
    def seeded(context):
        torch.manual_seed(context.options.seed)
        raise StorageError("stopped here")

    monkeypatch.setattr("striate.fitting.fit._fit", seeded)
    before = torch.get_rng_state()
    with pytest.raises(StorageError, match="stopped here"):
        striate.fit(photos, out=tmp_path / "run", method="probe")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_finished_run_is_not_taken_for_one_of_other_data(probe_run, photos, tmp_path):
    same = {"out": probe_run.folder.path, "method": "probe", "resume": True, "progress": False}
    assert striate.fit(photos, **same).classes == probe_run.classes
    np.savez(tmp_path / "other.npz", X=np.zeros((9, 20)), y=np.arange(9) % 2)
    with pytest.raises(RunError, match=r"holds a finished run of other data: .* are not in"):
        striate.fit(tmp_path / "other.npz", **same)
