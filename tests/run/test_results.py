"""What is written to the run folder, on a data set in memory."""

import numpy as np
import pytest
import torch

from striate.data.layouts import ArraySource
from striate.data.prepare import prepare
from striate.metrics import Calibration
from striate.models import create_model
from striate.report import RunFacts, Seconds, TestItems, build_report
from striate.run.folder import RunFolder
from striate.run.pictures import image_pictures
from striate.run.predictor import ImagePredictor
from striate.run.results import versions, write_history, write_predictions
from striate.tasks import Classification

SIZE = 32


@pytest.fixture(scope="module")
def dataset(draw, own_cache):
    shapes = ("disc", "stripes")
    images = np.stack([draw(shapes[n % 2], n) for n in range(24)])
    names = [("=disc", "stripes")[n % 2] for n in range(24)]
    return prepare(ArraySource(images, names), size=SIZE)


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(0)
    network = create_model("resnet18", num_classes=2).eval()
    return ImagePredictor(
        network=network, symmetry="identity", calibration=Calibration(), device=torch.device("cpu")
    )


def test_predictions_round_trip(dataset, tmp_path):
    folder = RunFolder.create(tmp_path)
    indices = np.array([3, 0])
    outputs = torch.tensor([[0.25, 0.75], [2 / 3, 1 / 3]], dtype=torch.float64).log()
    write_predictions(folder, Classification(dataset), Calibration(), [(indices, outputs)])
    assert "'=disc" in (tmp_path / "predictions.csv").read_text().splitlines()[0]
    rows = folder.read_csv("predictions.csv")
    assert [row["item"] for row in rows] == ["3", "0"]
    assert [row["label"] for row in rows] == ["stripes", "=disc"]
    assert [row["prediction"] for row in rows] == ["stripes", "=disc"]
    assert [row["split"] for row in rows] == dataset.splits[indices].tolist()
    assert float(rows[1]["stripes"]) == pytest.approx(1 / 3, abs=1e-9)


def test_history(tmp_path):
    folder = RunFolder.create(tmp_path)
    write_history(folder, [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}])
    assert (tmp_path / "history.csv").read_text() == "epoch,train_loss\n1,0.5\n2,0.25\n"
    write_history(folder, [])
    assert (tmp_path / "history.csv").read_text() == "epoch\n"


def test_pictures_of_the_worst_mistakes(predictor, dataset):
    test = dataset.indices("test")
    wrong = 1 - dataset.labels[test]
    facts = RunFacts(
        striate="0",
        task="t",
        kind="image",
        run="r",
        classes=dataset.classes,
        class_counts=[8, 8],
        split_sizes={"train": 16, "val": 4, "test": len(test)},
        method="probe",
        model="m",
        seconds=Seconds(total=1, features=0, train=0, evaluate=0),
    )
    items = TestItems(
        ids=dataset.ids(test), labels=dataset.labels[test], logits=4.0 * np.eye(2)[wrong]
    )
    report = build_report(facts, items)
    pictures = image_pictures(report, predictor, dataset, SIZE)
    assert set(pictures) == set(dataset.ids(test))
    index = int(test[0])
    shown = np.asarray(pictures[dataset.items[index].id].image)
    expected = dataset.pixels.center_crops([index], SIZE)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(shown, expected)


def test_versions_name_what_a_result_depends_on():
    assert {"python", "striate", "torch", "numpy", "pillow"} <= set(versions())
    assert torch.__version__.startswith(versions()["torch"].partition("+")[0])
