import json

import pytest
import torch

from striate.errors import RunError
from striate.fitting.steps import Steps
from striate.run.folder import RunFolder

OPTIONS = {"model": "resnet18", "epochs": None, "time": 600.0}


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "run")


def fail():
    pytest.fail("computed a second time")


def test_a_decision_is_made_once_and_is_the_same_after_a_resume(folder):
    steps = Steps(folder, OPTIONS, resume=False)
    assert steps.step("size", lambda: {"value": (1, 2), "x": 0.1}) == {"value": [1, 2], "x": 0.1}
    again = Steps(folder, OPTIONS, resume=True)
    assert again.step("size", fail) == {"value": [1, 2], "x": 0.1}


def test_a_decision_that_is_no_json_is_refused(folder):
    with pytest.raises(ValueError, match="JSON"):
        Steps(folder, OPTIONS, resume=False).step("rate", lambda: float("nan"))
    assert "rate" not in folder.read_json("checkpoints/steps.json")["steps"]


def test_tensors_are_computed_once(folder):
    values = {"a": torch.arange(6.0).view(2, 3).t(), "b": torch.tensor(3, dtype=torch.float64)}
    first = Steps(folder, OPTIONS, resume=False).tensors("features", lambda: values)
    again = Steps(folder, OPTIONS, resume=True).tensors("features", fail)
    for name, value in values.items():
        assert torch.equal(first[name], value) and torch.equal(again[name], value)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damaged_tensors_are_computed_again(damage, folder):
    path = folder.path / "checkpoints" / "features.safetensors"
    steps = Steps(folder, OPTIONS, resume=False)
    steps.tensors("features", lambda: {"a": torch.ones(4)})
    content = path.read_bytes()
    path.unlink()
    if damage == "flip":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut":
        path.write_bytes(content[:-2])
    again = Steps(folder, OPTIONS, resume=True)
    assert again.tensors("features", lambda: {"a": torch.ones(4)})["a"].tolist() == [1] * 4
    assert path.read_bytes() == content
    again.tensors("features", fail)


def test_without_resume_a_used_folder_is_refused(folder):
    Steps(folder, OPTIONS, resume=False)
    with pytest.raises(RunError, match=r"holds a run already; go on with it by `resume=True`"):
        Steps(folder, OPTIONS, resume=False)


def test_fault_65_other_options_are_named(folder):
    Steps(folder, OPTIONS, resume=False)
    with pytest.raises(RunError) as caught:
        Steps(folder, {**OPTIONS, "model": "resnet34", "epochs": 3}, resume=True)
    said = str(caught.value)
    assert "model was 'resnet18', is 'resnet34'; epochs was None, is 3" in said
    assert "time" not in said


def test_seconds_add_up_over_attempts_and_survive_an_error(folder):
    steps = Steps(folder, OPTIONS, resume=False)
    assert steps.seconds("train") == 0
    assert steps.timed("train", lambda: 7) == 7
    first = steps.seconds("train")
    with pytest.raises(ZeroDivisionError):
        Steps(folder, OPTIONS, resume=True).timed("train", lambda: 1 / 0)
    stored = json.loads((folder.path / "checkpoints" / "steps.json").read_text())
    assert stored["seconds"]["train"] > first > 0
