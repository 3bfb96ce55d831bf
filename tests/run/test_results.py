"""What is written to the run folder, on a data set in memory."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from striate.data.layouts import ArraySource
from striate.data.prepare import prepare
from striate.data.source import Item
from striate.data.stores.pixels import PixelStore
from striate.errors import RunError, StorageError, one_line
from striate.kinds.image.inputs import ImageInputs
from striate.kinds.kind import kind_named
from striate.models import create_model
from striate.report import EvaluatedItems, RunFacts, Seconds
from striate.run.explain import mistake_pictures
from striate.run.folder import RunFolder
from striate.run.predictor import Predictor
from striate.run.results import (
    PredictedItems,
    versions,
    write_history,
    write_predictions,
    write_report,
)
from striate.tasks import task_named
from striate.tasks.classification.report import build_report
from striate.tasks.classification.scoring import ClassCalibration
from striate.tasks.regression.scoring import NumberCalibration

SIZE = 32
TASK = task_named("classification")


def dataset_of(draw, names):
    shapes = ("disc", "stripes")
    images = np.stack([draw(shapes[n % 2], n) for n in range(24)])
    source = ArraySource(images, [names[n % 2] for n in range(24)])
    return prepare(source, TASK, lambda source, items: PixelStore.build(source, items, SIZE))


@pytest.fixture(scope="module")
def dataset(draw, own_cache):
    return dataset_of(draw, ("disc", "stripes"))


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    network = create_model("resnet18", num_classes=2).eval()
    inputs = ImageInputs(size=SIZE).for_network(network)
    return Predictor(network=network, inputs=inputs, device=torch.device("cpu"))


@pytest.mark.parametrize(
    "names",
    [
        ("disc", "stripes"),
        ("-1", "+1"),
        ("=x", "'x"),
        ("label", "item"),
        ("split", "prediction"),
        ("p_label", "label"),
        ('a,"b"', "two\nlines"),
        ("caf\udce9", "a b"),
    ],
)
def test_predictions_round_trip(draw, own_cache, names, tmp_path):
    dataset = dataset_of(draw, names)
    folder = RunFolder.create(tmp_path)
    indices = np.array([3, 0])
    outputs = torch.tensor([[0.25, 0.75], [2 / 3, 1 / 3]], dtype=torch.float64).log()
    part = PredictedItems(indices=indices, outputs=outputs, calibration=ClassCalibration())
    write_predictions(folder, TASK, dataset, [part])
    rows = folder.read_csv("predictions.csv")
    shown = [name.replace("\udce9", "\\udce9") for name in dataset.classes]
    assert list(rows[0]) == [
        *(
            "item",
            "split",
            "label",
            "prediction",
            "confidence",
            "undecided",
            "unknown",
            "set",
            "novelty",
        ),
        *(f"p_{name}" for name in shown),
    ]
    assert [row["item"] for row in rows] == ["3", "0"]
    assert [row["label"] for row in rows] == [shown[k] for k in dataset.target.values[indices]]
    assert [row["prediction"] for row in rows] == [shown[1], shown[0]]
    assert [row["split"] for row in rows] == dataset.splits[indices].tolist()
    assert [float(row["confidence"]) for row in rows] == pytest.approx([3 / 4, 2 / 3], abs=1e-9)
    assert float(rows[1][f"p_{shown[1]}"]) == pytest.approx(1 / 3, abs=1e-9)
    result = TASK.compare(rows, rows, dataset.classes)
    assert (result.first_better, result.second_better, result.p_value) == (0, 0, 1.0)
    right = [row["label"] == row["prediction"] for row in rows]
    other = [dict(row, p_tmp="") for row in rows]
    for row in other:
        first, second = (f"p_{name}" for name in shown)
        row[first], row[second] = row[second], row[first]
        row["prediction"] = shown[1 - shown.index(row["prediction"])]
    result = TASK.compare(rows, other, dataset.classes)
    assert (result.first_better, result.second_better) == (sum(right), 2 - sum(right))


def test_predictions_of_numbers_keep_their_sign(tmp_path):
    task, folder = task_named("regression"), RunFolder.create(tmp_path)
    items = tuple(Item(id=f"-{n}", target=n / 3 - 4) for n in range(3))
    dataset = SimpleNamespace(
        classes=(),
        target=task.encode(items, "numbers"),
        splits=np.array(["test"] * 3),
        ids=lambda indices: [items[n].id for n in indices],
    )
    calibration = NumberCalibration(mean=-1.0, std=2.0)
    outputs = torch.tensor([[0.25], [-1.0], [3.0]])
    part = PredictedItems(indices=np.arange(3), outputs=outputs, calibration=calibration)
    write_predictions(folder, task, dataset, [part])
    rows = folder.read_csv("predictions.csv")
    assert list(rows[0]) == [
        "item",
        "split",
        "target",
        "prediction",
        "low",
        "high",
        "unknown",
        "novelty",
    ]
    assert [row["item"] for row in rows] == ["-0", "-1", "-2"]
    assert [float(row["target"]) for row in rows] == pytest.approx([-4, -11 / 3, -10 / 3])
    assert [float(row["prediction"]) for row in rows] == [-0.5, -3.0, 5.0]
    assert rows[0]["low"] == rows[0]["high"] == ""


def test_missing_predictions_are_one_clear_error(tmp_path):
    with pytest.raises(RunError, match=r"cannot read .*predictions\.csv.*No such file"):
        RunFolder.create(tmp_path).read_csv("predictions.csv")


def test_history(tmp_path):
    folder = RunFolder.create(tmp_path)
    write_history(folder, [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}])
    assert (tmp_path / "history.csv").read_text() == "epoch,train_loss\n1,0.5\n2,0.25\n"
    write_history(folder, [])
    assert (tmp_path / "history.csv").read_text() == "epoch\n"


@pytest.fixture
def report(dataset):
    """All test items are taken for the other class."""
    test = dataset.indices("test")
    labels = dataset.target.values[test]
    facts = RunFacts(
        striate="0",
        task="t",
        kind="image",
        nouns=("image", "images"),
        run="r",
        classes=dataset.classes,
        split_sizes={"train": 16, "val": 4, "test": len(test)},
        method="probe",
        model="m",
        seconds=Seconds(total=1, features=0, train=0, evaluate=0),
    )
    items = EvaluatedItems(
        ids=dataset.ids(test),
        truth=labels,
        outputs=4.0 * np.eye(2)[1 - labels],
        calibration=ClassCalibration(),
        constant=np.array([0.5, 0.5]),
    )
    return build_report(facts, items)


def test_pictures_of_the_worst_mistakes(predictor, dataset, report):
    test = dataset.indices("test")
    pictures, choices = mistake_pictures(kind_named("image"), TASK, report, predictor, dataset)
    # The last maps of so small an image have a single place.
    assert [choice.choice for choice in choices] == ["occlusion"]
    assert set(pictures) == set(dataset.ids(test))
    index = int(test[0])
    shown = np.asarray(pictures[dataset.items[index].id].image)
    expected = predictor.inputs.inputs([dataset.store[index]])[0].permute(1, 2, 0).numpy()
    assert np.array_equal(shown, expected)


def test_a_mistake_with_an_odd_name_has_a_picture_too(predictor, dataset, report):
    items = tuple(replace(item, id=f"two\nlines {item.id}") for item in dataset.items)
    mistakes = tuple(
        mistake.model_copy(update={"id": one_line(f"two\nlines {mistake.id}")})
        for mistake in report.worst_mistakes
    )
    report = report.model_copy(update={"worst_mistakes": mistakes})
    odd = replace(dataset, items=items)
    pictures, _ = mistake_pictures(kind_named("image"), TASK, report, predictor, odd)
    assert set(pictures) == {mistake.id for mistake in mistakes} != set()


def test_both_files_of_a_report_are_written(report, tmp_path):
    folder = RunFolder.create(tmp_path)
    write_report(folder, TASK, report, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == [".striate", "report.html", "report.json"]
    assert TASK.read_report(folder.read_json("report.json")) == report
    assert "<h1>t: 2 classes of images</h1>" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "report.html").stat().st_size < 100_000


def test_a_folder_that_cannot_be_written_is_named(report, tmp_path):
    with pytest.raises(StorageError, match="cannot write"):
        write_report(RunFolder(tmp_path / "missing"), TASK, report, {})


def test_versions_name_what_a_result_depends_on():
    assert {"python", "striate", "torch", "numpy", "pillow"} <= set(versions())
    assert torch.__version__.startswith(versions()["torch"].partition("+")[0])
