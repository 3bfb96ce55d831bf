"""What every task of the registry keeps, from the labels to the page; a new task names its items here."""

import json

import numpy as np
import pytest
import torch

from striate.data.dataset import Dataset
from striate.data.source import Item
from striate.errors import DataError
from striate.fitting.method import METHODS, load_methods
from striate.registry import load_package
from striate.report import RunFacts, Seconds, render_html
from striate.tasks import TASKS, Evaluation, task_of

load_package("striate.tasks")
load_methods()

SPLITS = np.array(["train"] * 24 + ["val"] * 12 + ["test"] * 12)


def labelled(n):
    return Item(id=str(n), label="abc"[n % 3])


def several(n):
    return Item(id=str(n), extra={"labels": "|".join("abc"[: n % 4])})


def numbered(n):
    return Item(id=str(n), target=n * 7 % 11 / 2)


def good_or_odd(n):
    odd = SPLITS[n] == "test" and n % 2
    return Item(id=str(n), label="spot" if odd else "fine", split=str(SPLITS[n]))


ITEMS = {
    "anomaly": good_or_odd,
    "classification": labelled,
    "multilabel": several,
    "regression": numbered,
}
"""Makes an item by its number, by the name of the task."""

each_task = pytest.mark.parametrize("name", sorted(ITEMS))


@pytest.fixture
def learnt():
    """A function: a task on its items, outputs made up for them, and the calibration of these."""

    def make(name):
        items = tuple(map(ITEMS[name], range(len(SPLITS))))
        task = task_of(items)
        dataset = Dataset(
            kind="image",
            name="made",
            items=items,
            target=task.encode(items, "made"),
            splits=SPLITS,
            sha256=tuple(map(str, range(len(items)))),
            duplicate_groups=np.arange(len(items)),
            store=[None] * len(items),
        )
        objective = task.objective(dataset)
        draw = torch.Generator().manual_seed(0)
        outputs = torch.rand(len(items), objective.num_outputs, generator=draw) + 0.1
        val = dataset.indices("val")
        calibration, loss = objective.calibrate(outputs[val], val)
        assert np.isfinite(loss) and np.isfinite(objective.null_loss(val))
        return task, objective, outputs, calibration

    return make


def test_every_task_has_items_here():
    assert set(TASKS.names()) == set(ITEMS)


@each_task
def test_items_are_claimed_by_their_task_and_learnt_by_its_methods(name, learnt):
    task, objective, outputs, _ = learnt(name)
    train, val = (objective.dataset.indices(part) for part in ("train", "val"))
    assert task is TASKS.get(name)
    assert set(task.own_methods) <= set(METHODS.names())
    assert objective.can_learn(train) == (not task.own_methods)
    assert set(objective.learnt_from(train)) <= set(train)
    assert set(objective.epoch_metrics(outputs[val], val)) == set(objective.metrics)
    with pytest.raises(DataError):
        task.check_answers([], "nothing", objective.dataset.classes)


@each_task
def test_a_calibration_is_kept_and_exported_as_it_is(name, learnt):
    task, objective, outputs, calibration = learnt(name)
    answers = calibration.answers(outputs.numpy())
    again = task.calibration(json.loads(json.dumps(calibration.to_json())))
    np.testing.assert_array_equal(again.answers(outputs.numpy()), answers)
    np.testing.assert_allclose(calibration.module()(outputs), answers, rtol=1e-4, atol=1e-5)
    back = calibration.answers(calibration.outputs_of(answers))
    np.testing.assert_allclose(back, answers, rtol=1e-4, atol=1e-5)
    written = calibration.outputs(objective.dataset.classes)
    assert [len(entry["shape"]) for entry in written] == [outputs.ndim, answers.ndim]


@each_task
def test_a_prediction_is_told_written_and_judged(name, learnt):
    task, objective, outputs, calibration = learnt(name)
    dataset = objective.dataset
    test, classes = dataset.indices("test"), dataset.classes
    found = task.predictions(dataset.ids(test), outputs[test], calibration, classes)
    rows = []
    for index, prediction in zip(test, found, strict=True):
        assert type(prediction) is task.prediction_type
        assert prediction.answer() and np.isfinite(prediction.numbers()).all()
        assert json.loads(json.dumps(prediction.to_json() | {"probabilities": None}))["item"]
        cells = dict(zip(task.columns(classes), map(str, task.cells(prediction)), strict=True))
        rows.append({**cells, task.truth_column: str(task.truth(dataset.target, index))})
        assert task.judged(rows[-1]).error >= 0
    assert task.compare(rows, rows, classes).p_value == 1
    unread = task.prediction_type(item="x", reason="damaged")
    assert unread.answer() == "damaged" and unread.to_json() == {"item": "x", "reason": "damaged"}


@each_task
def test_a_report_is_read_back_and_drawn(name, learnt):
    task, objective, outputs, calibration = learnt(name)
    dataset = objective.dataset
    test = dataset.indices("test")
    some = [dataset.items[index] for index in test]
    figures = task.evaluate(outputs[test], calibration, some, dataset.classes)
    facts = RunFacts(
        striate="0.1.0",
        task="made",
        kind="image",
        nouns=("image", "images"),
        run="runs/made-1",
        classes=dataset.classes,
        split_sizes={part: int((part == SPLITS).sum()) for part in ("train", "val", "test")},
        method="probe",
        model="resnet18",
        seconds=Seconds(total=3.0, features=1.0, train=1.0, evaluate=1.0),
    )
    tested = Evaluation(outputs=outputs[test], calibration=calibration, probe=None)
    report = objective.report(facts, objective.evaluated(tested), seed=0)
    assert task.read_report(json.loads(report.model_dump_json())) == report
    assert {figure: value.value for figure, value in figures.items()} == {
        figure: value.value for figure, value in report.test if figure in figures
    }
    assert set(task.first_metrics) <= set(figures) and task.summary(report)
    page = render_html(report, task.template, task.context(report))
    assert "runs/made-1" in page and "</html>" in page
    for item, output in task.mistakes(report, dataset.classes):
        assert item in dataset.ids(test) and 0 <= output < objective.num_outputs
        assert task.output_name(output, dataset.classes) or not dataset.classes
