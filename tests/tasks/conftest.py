import numpy as np
import pytest

from striate.data.source import Note, Skip
from striate.metrics.regression import PredictionInterval
from striate.report import Choice, EvaluatedItems, RunFacts, Seconds, render_html
from striate.tasks import task_named
from striate.tasks.classification.scoring import ClassCalibration
from striate.tasks.regression.scoring import NumberCalibration

NOUNS = {
    "image": ("image", "images"),
    "signal": ("recording", "recordings"),
    "graph": ("graph", "graphs"),
    "volume": ("volume", "volumes"),
}


@pytest.fixture
def page():
    """A function: the page of a report, with some pictures."""

    def make(report, pictures=None):
        task = task_named(report.task_kind)
        return render_html(report, task.template, task.context(report), pictures)

    return make


@pytest.fixture
def make_inputs():
    """Facts and test items of a made-up run; keyword arguments replace fields of the facts."""

    def make(classes=("cat", "dog"), num_items=120, signal=2.0, test=None, **facts):
        rng = np.random.default_rng(0)
        labels = np.arange(num_items) % len(classes)
        logits = rng.normal(size=(num_items, len(classes)))
        logits[np.arange(num_items), labels] += signal
        values = {
            "striate": "0.1.0", "task": "pets", "kind": "image", "nouns": NOUNS[facts.get("kind", "image")],
            "run": "runs/pets 1", "classes": classes, "method": "finetune", "model": "resnet18",
            "split_sizes": {"train": 200, "val": 50, "test": num_items},
            "model_details": {"parameters": "11.2 million"},
            "seconds": Seconds(total=65.0, features=5.0, train=55.0, evaluate=5.0),
            "notes": [
                Note(code="format", message="all are JPEG", severity="info"),
                Note(code="label-conflict", message="one image, two labels", ids=("a.jpg", "b.jpg")),
            ],
            "skipped": [Skip(id="c.jpg", reason="empty file"), Skip(id="d.jpg", reason="empty file")],
            "choices": [Choice(topic="method", choice="fine-tuning", why="better on validation.")],
            "history": [{"epoch": i, "train_loss": 1 / i, "val_accuracy": 0.9} for i in (1, 2, 3)],
            "throughput": {"training": 12.0},
        }  # fmt: skip
        items = {
            "ids": [f"{classes[label]}/{i}.jpg" for i, label in enumerate(labels)],
            "truth": labels, "outputs": logits * 2, "calibration": ClassCalibration(temperature=2.0),
            "constant": np.array([3.0] * (len(classes) - 1) + [1.0]) / (3 * len(classes) - 2),
        }  # fmt: skip
        return RunFacts(**(values | facts)), EvaluatedItems(**(items | (test or {})))

    return make


@pytest.fixture
def make_regression():
    """Facts and test items of a made-up run that predicts a number."""

    def make(num_items=150, noise=0.5, test=None, **facts):
        rng = np.random.default_rng(0)
        targets = rng.normal(3, 1.5, num_items)
        predictions = 3 + 0.9 * (targets - 3) + rng.normal(0, noise, num_items)
        values = {
            "striate": "0.1.0", "task": "solubility", "kind": "graph", "nouns": NOUNS["graph"], "run": "runs/solubility-1",
            "method": "scratch", "model": "gin", "model_details": {"parameters": 120000},
            "split_sizes": {"train": 700, "val": 150, "test": num_items},
            "seconds": Seconds(total=65.0, features=5.0, train=55.0, evaluate=5.0),
            "history": [{"epoch": i, "train_loss": 1 / i, "val_mae": 0.9 / i} for i in (1, 2, 3)],
            "throughput": {"training": 12.0},
        }  # fmt: skip
        items = {
            "ids": [f"C{'C' * i}O" for i in range(num_items)],
            "truth": targets, "outputs": predictions[:, None], "constant": np.array([3.1]),
            "calibration": NumberCalibration(
                unit="log mol/l",
                interval=PredictionInterval(half_width=1.645 * noise, level=0.9, num_items=150),
            ),
        }  # fmt: skip
        return RunFacts(**(values | facts)), EvaluatedItems(**(items | (test or {})))

    return make
