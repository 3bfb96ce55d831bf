"""Fits of small images: of a part where there are many, and from scratch with a fitted stem."""

from types import SimpleNamespace

import numpy as np
import pytest

import striate
from striate.data.layouts.arrays import ArraySource
from striate.fitting import framing
from striate.fitting.baseline import feature_pass
from striate.fitting.context import FitContext
from striate.fitting.fit import fit
from striate.fitting.methods import scratch
from striate.kinds.image import kind


def bars(count: int, side: int = 12, wrong: int = 0) -> ArraySource:
    """Pictures of a bar that lies or stands, at random places; the labels of some are wrong."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 90, (count, side, side))
    labels = np.array(["lies", "stands"])[np.arange(count) % 2]
    for picture, label in zip(pixels, labels, strict=True):
        row, column = draw.integers(1, side - 6, 2)
        across, down = (6, 2) if label == "lies" else (2, 6)
        picture[row : row + down, column : column + across] += 120
    labels[:wrong] = labels[:wrong][::-1]
    return ArraySource(pixels.astype(np.uint8), labels.tolist(), kind="image")


@pytest.mark.parametrize("method", ["probe", "kernel"])
def test_of_many_items_a_part_is_learnt_from(tmp_path, monkeypatch, method) -> None:
    """Every validation item is in it, and the classes are in it as they are in all."""
    width = 2 * 200 * 4
    monkeypatch.setattr(feature_pass, "MAX_QUICK_FEATURES", 150 * width)
    monkeypatch.setattr(feature_pass, "MEASURED_ITEMS", 64)
    said: list[str] = []
    run = fit(bars(300), method=method, out=tmp_path / "run", progress=said.append)
    assert any(line.startswith("features: of 150 items (300 items are too many") for line in said)
    assert run.record.method == method
    assert run.metrics["accuracy"] > 0.9
    again = striate.load(tmp_path / "run").predict([np.zeros((12, 12), np.uint8)])
    assert again[0].label in ("lies", "stands")


def test_a_part_is_as_mixed_as_all_are() -> None:
    strata = np.repeat([0, 1, 2], [600, 300, 100])
    parts = {"val": np.arange(20), "train": np.arange(20, 1000)}
    context = SimpleNamespace(
        dataset=SimpleNamespace(target=SimpleNamespace(strata=strata), indices=parts.get),
        options=SimpleNamespace(seed=0, model="made"),
    )
    order = feature_pass.FeaturePass(context=context, network=None)._mixed(np.arange(5))
    assert order[:15].tolist() == list(range(5, 20))
    assert sorted(order[15:].tolist()) == list(range(20, 1000))
    shares = np.bincount(strata[order[15:113]]) / 98
    np.testing.assert_allclose(shares, [580 / 980, 300 / 980, 100 / 980], atol=0.02)


def test_a_small_network_learns_from_scratch(tmp_path) -> None:
    """Which way a bar lies survives mirroring; its network is exported with the same answers."""
    run = fit(bars(240), method="scratch", epochs=4, out=tmp_path / "run", progress=False)
    assert run.record.model.name == "thumbnet"
    assert run.metrics["accuracy"] > 0.9
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 5


def test_of_very_many_a_network_comes_before_what_learns_from_a_part(tmp_path, monkeypatch) -> None:
    """The time goes into training: features are of a part, and the network suits the time."""
    monkeypatch.setattr(kind, "MANY", 200)
    monkeypatch.setattr(feature_pass, "MAX_QUICK_FEATURES", 150 * 2 * 200 * 4)
    monkeypatch.setattr(feature_pass, "MEASURED_ITEMS", 64)
    monkeypatch.setattr(scratch, "training_rate", lambda context, training: 1e-3)
    monkeypatch.setattr(scratch, "MIN_SECONDS", 1.0)
    monkeypatch.setattr(FitContext, "seconds_to_train", lambda context: 2.0)
    said: list[str] = []
    run = fit(bars(300, wrong=60), out=tmp_path / "run", progress=said.append)
    told = "\n".join(said)
    assert "network: thumbnet_narrow (the time allows 0.0 passes over the training items" in told
    assert "it would learn from a part of the items, and a network has learnt from all" in told
    tried = [row.method for row in run.report.candidates]
    assert tried == ["probe", "scratch"]


def test_nothing_but_a_choice_takes_few_features(tmp_path, monkeypatch) -> None:
    """From scratch the probe only says whether pictures may be mirrored."""
    monkeypatch.setattr(framing, "MAX_KNOWN", 100)
    monkeypatch.setattr(feature_pass, "MEASURED_ITEMS", 32)
    said: list[str] = []
    fit(bars(300), method="scratch", epochs=1, out=tmp_path / "run", progress=said.append)
    assert any(line.startswith("features: of 100 items") for line in said)
