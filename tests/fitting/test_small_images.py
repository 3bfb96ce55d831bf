"""Fits of small images: of a part where there are many, and from scratch with a fitted stem."""

from types import SimpleNamespace

import numpy as np
import pytest

import striate
from striate.data.layouts.arrays import ArraySource
from striate.fitting import baseline
from striate.fitting.fit import fit


def bars(count: int, side: int = 12) -> ArraySource:
    """Pictures of a bar that lies or stands, at random places."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 90, (count, side, side))
    labels = np.array(["lies", "stands"])[np.arange(count) % 2]
    for picture, label in zip(pixels, labels, strict=True):
        row, column = draw.integers(1, side - 6, 2)
        across, down = (6, 2) if label == "lies" else (2, 6)
        picture[row : row + down, column : column + across] += 120
    return ArraySource(pixels.astype(np.uint8), labels.tolist(), kind="image")


@pytest.mark.parametrize("method", ["probe", "kernel"])
def test_of_many_items_a_part_is_learnt_from(tmp_path, monkeypatch, method) -> None:
    """Every validation item is in it, and the classes are in it as they are in all."""
    width = 2 * 200 * 4
    monkeypatch.setattr(baseline, "MAX_QUICK_FEATURES", 150 * width)
    monkeypatch.setattr(baseline, "MEASURED_ITEMS", 64)
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
    order = baseline.Baseline(context)._mixed(np.arange(5))
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
