"""A new task with a method of its own is one place to touch: it is added here, and used.

Items are graded 1 to 3. All that is peculiar to that is declared by the task: which method learns
it, what a prediction says, where items go, what its report holds; it has no loss and no probe.
"""

import json
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.data.target import Target
from striate.errors import DataError, OptionError
from striate.fitting.candidate import Candidate, Proposal, predicted
from striate.fitting.method import METHODS, Method, load_methods
from striate.metrics.intervals import Estimate, bootstrap
from striate.metrics.paired import PairedComparison
from striate.registry import load_package
from striate.report.page import Metric, figure_table, verdict
from striate.report.schema import Mistake, Record, RunReport
from striate.run.predictor import Predictor
from striate.tasks import TASKS, Calibration, Objective, Prediction, Task
from striate.tasks.prediction import Judged

PREFIX = "grade-"
PAGE = """{% extends "report.html" %}
{% block title %}{{ report.task }}: how well are {{ many }} graded?{% endblock %}
{% block subject %}{{ report.task }}: grades of {{ many }}{% endblock %}
{% block interval %}Grades off by{% endblock %}
"""


def grade_of(label):
    return int(label.removeprefix(PREFIX))


@dataclass(frozen=True, kw_only=True)
class GradeTarget(Target):
    def text(self, index):
        return str(self.values[index])

    def overview(self):
        return {"grades": sorted(set(self.values.tolist()))}


@dataclass(frozen=True, kw_only=True, eq=False)
class GradePrediction(Prediction):
    grade: int | None = None
    unrounded: float | None = None

    def numbers(self):
        return np.array([self.unrounded], np.float64)

    def answer(self, top=1):
        return super().answer(top) if self.grade is None else f"grade {self.grade}"


class GradeCalibration(Calibration):
    def answers(self, outputs):
        return np.asarray(outputs[:, 0], np.float64)

    def outputs_of(self, answers):
        return answers[:, None]

    def module(self):
        return nn.Flatten(0)

    def outputs(self, classes):
        return [
            {"name": "grades", "shape": ["items", 1], "means": "not rounded"},
            {"name": "grade", "shape": ["items"], "means": "the same"},
        ]

    def to_json(self):
        return {}


class Figures(Record):
    distance: Estimate


class GradeReport(RunReport):
    task_kind: Literal["grading"] = "grading"
    leaks: None = None
    test: Figures
    worst_mistakes: tuple[Mistake, ...]


def figures(answers, grades):
    off = np.abs(answers.round() - grades)
    return bootstrap(
        lambda weights: {"distance": off @ weights / weights.sum(0)},
        grades.astype(np.int64),
        None,
        undefined="there are none",
    )


class GradeObjective(Objective):
    """Without a loss and a probe: a method of the task's own learns it."""

    metrics = ("distance",)
    error_name = "distance"
    error_is_share = False
    num_outputs = 1

    def item_losses(self, outputs, calibration, indices):
        return self.item_errors(calibration.answers(outputs.numpy()), indices)

    def item_errors(self, answers, indices):
        return np.abs(answers - self.values[indices])

    def calibrate(self, outputs, indices):
        calibration = GradeCalibration()
        return calibration, float(self.item_losses(outputs, calibration, indices).mean())

    def epoch_metrics(self, outputs, indices):
        return {"distance": self.calibrate(outputs, indices)[1]}

    def null_loss(self, indices):
        return float(self.item_errors(self.constant(), indices).mean())

    def composition(self):
        return "with grades", f"{self.values.min()} to {self.values.max()}"

    def constant(self):
        return np.array([np.median(self.values[self.dataset.indices("train")])], np.float64)

    def uncalibrated_answers(self, outputs):
        return GradeCalibration().answers(outputs.numpy())

    def report(self, facts, items, *, seed):
        answers = items.calibration.answers(items.outputs)
        worst = np.argsort(-np.abs(answers - items.truth), kind="stable")[:2]
        return GradeReport(
            **facts.fields(),
            test=Figures(**figures(answers, items.truth)),
            worst_mistakes=tuple(Mistake(id=items.ids[k]) for k in worst),
        )


class Grading(Task):
    name = "grading"
    truth_column = "grade"
    report_type = GradeReport
    first_metrics = ("distance",)
    text_columns = ()
    prediction_type = GradePrediction
    own_methods = ("ladder",)
    instead = "sort them by hand"

    def __init__(self, folder):
        self.template = folder / "page.html"
        self.template.write_text(PAGE)

    def arranged(self, source, options):
        """Items that are named as new are tested with."""
        items = source.listing.items
        if not any(map(self.is_answered, items)):
            return source
        placed = (replace(i, split="test") if "new-" in i.id else i for i in items)
        source.listing = replace(source.listing, items=tuple(placed))
        return source

    def claims(self, items):
        return all(map(self.is_answered, items))

    def is_answered(self, item):
        return item.label is not None and item.label.startswith(PREFIX)

    def encode(self, items, name):
        grades = np.array([grade_of(item.label) for item in items])
        return GradeTarget(values=grades, strata=grades, answers=grades)

    def objective(self, dataset):
        return GradeObjective(dataset)

    def calibration(self, document):
        return GradeCalibration()

    def predictions(self, ids, outputs, calibration, classes):
        answers = calibration.answers(outputs.numpy()).tolist()
        return [
            GradePrediction(item=item, grade=round(answer), unrounded=answer)
            for item, answer in zip(ids, answers, strict=True)
        ]

    def truth(self, target, index):
        return float(target.values[index])

    def columns(self, classes):
        return ["prediction", "unrounded"]

    def cells(self, prediction):
        return [float(prediction.grade), prediction.unrounded]

    def judged(self, row):
        truth, answer = float(row["grade"]), float(row["prediction"])
        return Judged(truth=truth, answer=answer, error=abs(truth - answer))

    def check_answers(self, items, name, classes):
        if not items:
            raise DataError(f"{name}: nothing is graded")

    def evaluate(self, outputs, calibration, items, classes):
        grades = np.array([grade_of(item.label) for item in items])
        return figures(calibration.answers(outputs.numpy()), grades)

    def compare(self, first, second, classes):
        errors = [np.array([self.judged(row).error for row in rows]) for rows in (first, second)]
        nearer = [int((errors[k] < errors[1 - k]).sum()) for k in (0, 1)]
        return PairedComparison(
            differences={}, better="nearer", first_better=nearer[0], second_better=nearer[1],
            lead=nearer[1] - nearer[0], test="none", p_value=1.0,
        )  # fmt: skip

    def context(self, report):
        rows = figure_table({"distance": Metric("Distance", "grades between")}, report.test, {})
        return {**rows, "verdict": verdict(report, "It grades", True, ())}

    def output_named(self, name, classes):
        raise OptionError("target", name, why="the run gives grades", fix="leave it out")

    def mistakes(self, report, classes):
        return [(mistake.id, 0) for mistake in report.worst_mistakes]


class Ladder(Method):
    """The grade as a linear function of frozen features."""

    name = "ladder"
    description = "a ladder of frozen features"
    uses = frozenset({"model", "weights"})
    needs_baseline = False

    def reasons(self, context):
        return [] if context.options.weights else ["it needs pretrained features"]

    def propose(self, context, baseline):
        train, val = (context.dataset.indices(part) for part in ("train", "val"))
        rows = torch.cat([baseline.pooled[train], torch.ones(len(train), 1)], 1).double()
        grades = torch.from_numpy(context.objective.values[train]).double()
        weights = torch.linalg.pinv(rows, rtol=1e-2) @ grades
        network = baseline.network
        with torch.no_grad():
            network.classifier.weight.copy_(weights[None, :-1])
            network.classifier.bias.copy_(weights[-1:])
        predictor = Predictor(
            network=network, inputs=context.inputs.for_network(network), device=context.device
        )
        outputs = predicted(context, predictor, val, "predicting validation")
        calibration, loss = context.objective.calibrate(outputs, val)
        candidate = Candidate(
            method=self.name, model=baseline.model, predictor=predictor, calibration=calibration,
            outputs=outputs, weights=baseline.weights,
        )  # fmt: skip
        return Proposal(
            method=self.name, name="ladder", outputs=outputs, calibration=calibration, loss=loss,
            candidate=lambda: candidate,
        )  # fmt: skip


@pytest.fixture
def grading(monkeypatch, tmp_path):
    """The task and its method, in this test alone."""
    load_package("striate.tasks")
    load_methods()
    for registry, name, entry in (
        (TASKS, "grading", Grading(tmp_path)),
        (METHODS, "ladder", Ladder()),
    ):
        monkeypatch.setattr(registry, "_entries", dict(registry.items()))
        registry.add(name, entry)


@pytest.fixture
def graded(tmp_path, own_cache):
    """Pictures of more dots the higher their grade, a third of which are new."""
    rng = np.random.default_rng(0)
    for grade in (1, 2, 3):
        folder = tmp_path / "graded" / f"{PREFIX}{grade}"
        folder.mkdir(parents=True)
        for number in range(15):
            pixels = rng.integers(90, 130, (64, 64), dtype=np.uint8)
            pixels[rng.random((64, 64)) < 0.02 * 4 ** (grade - 1)] = 255
            name = f"{'new' if number % 3 == 0 else 'old'}-{number:02}.png"
            Image.fromarray(pixels).save(folder / name)
    return tmp_path / "graded"


def test_a_task_is_added_in_one_place(grading, graded, tmp_path):
    run = striate.fit(graded, image_size=64, out=tmp_path / "run", time="1m", device="cpu")
    assert (run.record.task, run.record.method) == ("grading", "ladder")
    assert run.metrics["distance"] < 0.3
    page = (run.folder.path / "report.html").read_text()
    assert "a ladder of frozen features" in page and "how well are images graded" in page
    rows = run.folder.read_csv("predictions.csv")
    assert {row["split"] for row in rows if "new-" in row["item"]} == {"test"}
    assert not any("old-" in row["item"] for row in rows if row["split"] == "test")

    (broken := tmp_path / "broken.png").write_bytes(b"no picture")
    first, unread = run.predict([graded / f"{PREFIX}3" / "new-00.png", broken])
    assert (first.grade, first.answer()) == (3, "grade 3") and first.to_json()["grade"] == 3
    assert unread.grade is None and unread.reason and unread.answer() == unread.reason
    assert run.evaluate(graded).metrics["distance"].value < 0.3
    assert run.compare(run).result.first_better == 0
    (shown,) = run.explain(graded / f"{PREFIX}3" / "new-00.png")
    assert shown.prediction.grade == 3
    written = run.predict_to_file(graded, tmp_path / "grades.csv")
    assert written.num_items == 45
    assert json.loads((run.folder.path / "report.json").read_text())["task_kind"] == "grading"


def test_a_task_without_loss_and_probe_says_so(grading, graded, tmp_path):
    with pytest.raises(OptionError, match="pretrained features; sort them by hand"):
        striate.fit(graded, weights=None, method="ladder", out=tmp_path / "a", image_size=64)
