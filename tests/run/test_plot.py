"""Figures of a run hold the numbers of its report."""

import numpy as np
import pytest

from striate.errors import ArgumentError, MissingExtraError
from striate.report import RunFacts, Seconds
from striate.report.facts import EvaluatedItems
from striate.run.plot import RunPlots
from striate.tasks.classification.report import build_report
from striate.tasks.classification.scoring import ClassCalibration

pytest.importorskip("matplotlib")


@pytest.fixture
def report():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    logits = rng.normal(size=(120, 3))
    logits[np.arange(120), labels] += 1.5
    facts = RunFacts(
        striate="0.1.0", task="pets", kind="image", nouns=("image", "images"), run="runs/pets",
        classes=("ant", "bee", "cat"), split_sizes={"train": 1, "val": 1, "test": 120},
        method="finetune", model="resnet18", seconds=Seconds(total=1.0, features=0, train=1, evaluate=0),
        history=[{"epoch": i, "train_loss": 1 / i, "val_accuracy": 0.9} for i in (1, 2, 3)],
    )  # fmt: skip
    items = EvaluatedItems(
        ids=[str(i) for i in range(120)], truth=labels, outputs=logits,
        calibration=ClassCalibration(temperature=1.5), constant=np.ones(3) / 3,
    )  # fmt: skip
    return build_report(facts, items)


def test_the_matrix_shows_the_counts(report, tmp_path):
    figure = RunPlots(report).confusion()
    axes = figure.axes[0]
    assert [int(text.get_text()) for text in axes.texts] == [n for row in report.confusion for n in row]  # fmt: skip
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["ant", "bee", "cat"]
    figure.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_the_calibration_shows_bins_and_intervals(report, tmp_path):
    figure = RunPlots(report).calibration()
    (bars,) = figure.axes[0].containers
    assert bars.lines[0].get_xydata() == pytest.approx(
        np.stack([report.reliability.confidence, report.reliability.accuracy], 1)
    )
    segments = bars.lines[2][0].get_segments()
    assert [tuple(s[:, 1]) for s in segments] == [
        pytest.approx(limits) for limits in report.reliability.interval
    ]
    figure.savefig(tmp_path / "a.pdf")


def test_the_history_has_a_panel_for_losses_and_one_for_quality(report, tmp_path):
    figure = RunPlots(report).history()
    assert [axes.get_title() for axes in figure.axes] == ["Loss by epoch", "Quality by epoch"]
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([1, 1 / 2, 1 / 3])
    figure.savefig(tmp_path / "a.svg")
    with pytest.raises(ArgumentError, match="nothing was trained by epochs"):
        RunPlots(report.model_copy(update={"history": ()})).history()


def test_without_matplotlib_the_extra_is_named(report, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="plot"):
        RunPlots(report).confusion()
