"""A fit that is stopped between any two looks at `stop`, resumed, and refused where it must be."""

import contextlib
import json

import pytest
import torch
from PIL import Image

import striate
from striate.errors import RunError, RunWarning, StoppedError
from striate.progress import Progress
from striate.train.strategy import Strategy

OPTIONS = {"method": "finetune", "image_size": 64, "epochs": 2, "device": "cpu"}


class After:
    """Says stop at the look of this number."""

    def __init__(self, looks):
        self.left = looks

    def __call__(self):
        self.left -= 1
        return self.left < 0


@pytest.fixture(scope="module")
def stopped(photos, tmp_path_factory):
    """A run that was stopped before its features were computed."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(StoppedError):
        striate.fit(photos, out=out, **OPTIONS, stop=After(0))
    return out


def fit_with_stops(photos, out, options, looks):
    """A run that was stopped after every so many looks, and how often that was."""
    for attempts in range(20):
        try:
            run = striate.fit(photos, out=out, **options, resume=attempts > 0, stop=After(looks))
        except StoppedError:
            continue
        return run, attempts
    pytest.fail("no progress from one attempt to the next")


@pytest.mark.slow
def test_stopped_again_and_again_it_ends_with_the_same_weights(photos, tuned_run, tmp_path):
    # The last stop comes after the last step, before the last epoch is validated.
    run, attempts = fit_with_stops(photos, tmp_path / "run", OPTIONS, looks=2)
    assert attempts >= 3
    assert run.record.model.sha256 == tuned_run.record.model.sha256
    for name in ("predictions.csv", "data.lock.json"):
        assert (run.folder.path / name).read_bytes() == (tuned_run.folder.path / name).read_bytes()
    assert len(run.report.history) == 2
    topics = [choice.topic for choice in run.report.choices]
    assert topics == [choice.topic for choice in tuned_run.report.choices]


def test_a_kernel_machine_is_the_same_after_stops(photos, kernel_run, tmp_path):
    options = {"method": "kernel", "image_size": 64, "device": "cpu"}
    run, attempts = fit_with_stops(photos, tmp_path / "run", options, looks=1)
    assert attempts >= 1
    assert run.record.model.sha256 == kernel_run.record.model.sha256


AUTO = {"image_size": 64, "epochs": 1, "device": "cpu"}


class Killed(BaseException):
    """What no handler catches."""


def test_a_fit_killed_after_its_first_baseline_predicts_and_resumes(photos, auto_run, tmp_path):
    def kill(line):
        if line.startswith("kernel machine after"):
            raise Killed

    out = tmp_path / "run"
    with pytest.raises(Killed):
        striate.fit(photos, out=out, **AUTO, progress=kill)
    with pytest.warns(RunWarning, match="has not ended: its model is the best so far"):
        run = striate.load(out)
    assert run.record.search == "running"
    assert run.predict(photos / "disc" / "00.jpg")[0].label in run.classes
    assert run.explain(photos / "disc" / "00.jpg")[0].target in run.classes
    assert "the fit has not ended" in repr(run)
    with pytest.raises(RunError, match="has not ended"):
        run.summary()
    resumed = striate.fit(photos, out=out, **AUTO, resume=True)
    assert resumed.record.model.sha256 == auto_run.record.model.sha256
    assert resumed.record.search == "complete"


@pytest.mark.parametrize(
    "at", [pytest.param("kernel machine after", marks=pytest.mark.slow), "training 1 epoch"]
)
def test_a_search_that_is_ended_finishes_with_the_best_so_far_and_goes_on(
    at, photos, auto_run, tmp_path
):
    told = []
    out = tmp_path / "run"

    def stop():
        return "finish" if any(line.startswith(at) for line in told) else False

    run = striate.fit(photos, out=out, **AUTO, progress=told.append, stop=stop)
    assert run.record.search == "ended early"
    assert run.record.method in ("probe", "kernel", "finetune")
    assert 0 <= run.metrics["accuracy"] <= 1
    assert "the search was ended early" in run.summary()
    resumed = striate.fit(photos, out=out, **AUTO, resume=True)
    assert resumed.record.model.sha256 == auto_run.record.model.sha256
    kept = {path.name for path in (out / "checkpoints").iterdir()}
    assert kept == {"steps.json"}


def test_a_stopped_run_is_not_a_finished_one(stopped):
    with pytest.raises(RunError, match=r"run\.json is missing; it was interrupted: .*resume=True"):
        striate.load(stopped)


def test_without_resume_a_stopped_run_is_not_written_over(stopped, photos):
    with pytest.raises(RunError, match="go on with it by `resume=True`"):
        striate.fit(photos, out=stopped, **OPTIONS)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"epochs": 3}, "epochs was 2, is 3"),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"image_size": 32}, "image_size was 64, is 32"),
        ({"method": "scratch"}, "method was 'finetune', is 'scratch'"),
    ],
)
def test_fault_65_other_options_are_refused_with_the_difference(option, said, stopped, photos):
    with pytest.raises(RunError, match=said):
        striate.fit(photos, out=stopped, **{**OPTIONS, **option}, resume=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("content", "1 item with another content: disc/03.png"),
        ("new", "1 item new: disc/new.png"),
        ("class", "classes were disc, square, stripes, are disc, square, stripes, waves"),
        ("label", "1 item gone: disc/03.png; 1 item new: square/new.png"),
    ],
)
def test_fault_65_other_data_is_refused_with_the_difference(
    change, said, photos, draw, tmp_path, monkeypatch
):
    data, item = tmp_path / "data", "disc/03.png"
    for path in sorted(photos.rglob("*.png")):
        target = data / path.relative_to(photos)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    monkeypatch.setattr("striate.fitting.fit.methods_to_try", stop_here)
    with pytest.raises(StoppedError):
        striate.fit(data, out=tmp_path / "run", **OPTIONS)
    fresh = Image.fromarray(draw("disc", 99))
    if change == "content":
        fresh.save(data / item)
    elif change == "new":
        fresh.save(data / "disc" / "new.png")
    elif change == "class":
        (data / "waves").mkdir()
        fresh.save(data / "waves" / "1.png")
    else:
        (data / item).rename(data / "square" / "new.png")
    with pytest.raises(RunError, match="the data changed") as caught:
        striate.fit(data, out=tmp_path / "run", **OPTIONS, resume=True)
    assert said in str(caught.value)


def test_another_folder_of_the_same_name_is_refused(stopped, photos, tmp_path):
    (tmp_path / "photos").symlink_to(photos)
    with pytest.raises(RunError, match="data was "):
        striate.fit(tmp_path / "photos", out=stopped, **OPTIONS, resume=True)


@pytest.mark.slow
def test_fault_64_a_damaged_checkpoint_is_left_for_the_one_before(
    photos, tuned_run, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr("striate.fitting.methods.finetune.trained", stop_here)
        striate.fit(photos, out=out, **OPTIONS)
    last = max((out / "checkpoints").glob("0*.safetensors"))
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    run = striate.fit(photos, out=out, **OPTIONS, resume=True, progress=Progress())
    assert "checksum mismatch; trying the one before" in capsys.readouterr().err
    assert run.record.model.sha256 == tuned_run.record.model.sha256


def test_the_random_numbers_of_the_caller_do_not_matter(photos, probe_run, tmp_path):
    torch.manual_seed(12345)
    run = striate.fit(photos, out=tmp_path / "run", method="probe", image_size=64, device="cpu")
    assert run.record.model.sha256 == probe_run.record.model.sha256


def test_the_steps_are_plain_json(stopped):
    kept = json.loads((stopped / "checkpoints" / "steps.json").read_text())
    assert kept["options"]["epochs"] == 2
    assert kept["steps"]["inputs"]["options"] == {"size": 64, "enlargeable": False}


def stop_here(*arguments, **options):
    raise StoppedError


def test_fault_73_processes_that_see_other_data_are_refused(photos, tmp_path, monkeypatch):
    class Two(Strategy):
        """The second of two processes; the first has seen other data."""

        def share(self, value):
            return "another digest" if isinstance(value, str) and len(value) == 64 else value

    monkeypatch.setattr("striate.fitting.fit.joined", lambda **_: contextlib.nullcontext(Two()))
    with pytest.raises(RunError, match="see different data; give each of them the same DATA"):
        striate.fit(photos, out=tmp_path / "run", **OPTIONS)
