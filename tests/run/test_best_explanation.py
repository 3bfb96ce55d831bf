"""Which method `auto` takes: the one that holds best on validation items, found out once."""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from striate.data.source import Reading
from striate.errors import DataError
from striate.explain.method import Explanation
from striate.kinds.kind import kind_named
from striate.kinds.volume.inputs import VolumeInputs
from striate.progress import Progress
from striate.run.explain import best_methods, in_order, measured_methods, preferred
from striate.run.explain.best import MethodFigures
from striate.run.predictor import Predictor

best = import_module("striate.run.explain.best")


class Sum(torch.nn.Module):
    """The logit is the sum of the input."""

    def forward_features(self, x):
        return x

    def forward_head(self, x):
        return x.flatten(1).sum(1, keepdim=True)


@pytest.fixture
def items():
    rng = np.random.default_rng(0)
    arrays = (100 + 50 * rng.normal(size=(3, 1, 16, 16, 16))).clip(0, 255).astype(np.float32)
    return [Reading(array=array, sha256="") for array in arrays]


@pytest.fixture
def predictor(items):
    inputs = VolumeInputs.fitted(items, {})
    return Predictor(network=Sum(), inputs=inputs, device=torch.device("cpu"))


@pytest.fixture
def explained(monkeypatch):
    """Methods that mark what counts, what counts least, or nothing, or cannot explain."""

    def explain(network, x, targets, method):
        if method == "broken":
            raise RuntimeError("no gradient")
        heat = {"right": x, "wrong": -x, "none": 0 * x}[method].sum(1)
        return Explanation(heat=heat - heat.min() if method != "none" else heat)

    monkeypatch.setattr(best, "explain", explain)


def test_what_marks_what_counts_has_the_highest_gain(predictor, items, explained):
    methods = ("wrong", "broken", "none", "right")
    found = measured_methods(predictor, [(item, 0) for item in items], methods)
    gains = {each.method: each.mean for each in found}
    assert list(gains) == ["wrong", "none", "right"]
    assert gains["right"] > 2 and gains["right"] == pytest.approx(-gains["wrong"], rel=1e-3)
    assert {len(each.gains) for each in found} == {3}


def test_no_further_item_is_looked_at_when_the_time_is_over(predictor, items, explained):
    (found,) = measured_methods(predictor, [(item, 0) for item in items], ["right"], seconds=0)
    assert len(found.gains) == 1


def test_nothing_is_measured_where_nothing_can_be(predictor, items, explained):
    assert measured_methods(predictor, [], ["right"]) == ()
    assert measured_methods(predictor, [(items[0], 0)], ["broken"]) == ()


def figures(**gains):
    return [MethodFigures(method=name, gains=each) for name, each in gains.items()]


def test_another_method_takes_the_place_of_the_usual_one_where_it_is_better_beyond_chance():
    kind = kind_named("image")
    usual, swapped = ["gradcam", "occlusion"], ["occlusion", "gradcam"]
    assert preferred(kind) == usual
    gradcam = (3.0, 1.0, 2.0, 4.0)
    assert in_order(figures(gradcam=gradcam, occlusion=(3.9, 2.1, 3.0, 5.2)), kind) == swapped
    assert in_order(figures(gradcam=gradcam, occlusion=(5.0, 0.0, 3.5, 3.0)), kind) == usual
    assert in_order(figures(gradcam=gradcam, occlusion=(1.0, 0.0, 1.0, 1.0)), kind) == usual
    # Two items tell nothing, and what could not be computed cannot be first.
    assert in_order(figures(gradcam=(1.0, 1.0), occlusion=(4.0, 4.1)), kind) == usual
    assert in_order(figures(occlusion=(1.0, 1.0)), kind) == swapped
    assert in_order((), kind) == usual
    assert in_order(figures(gradcam=gradcam), kind_named("volume")) == swapped[::-1]


def test_a_run_is_measured_once(probe_run, monkeypatch, tmp_path):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    asked = []

    def measured(predictor, given, methods):
        asked.append([(reading, number) for reading, number in given])
        return tuple(figures(gradcam=(2.0, 3.0, 4.0), occlusion=(4.0, 5.0, 6.0)))

    monkeypatch.setattr(best, "measured_methods", measured)
    said = []
    progress = Progress(quiet=True)
    monkeypatch.setattr(progress, "say", said.append)
    for _ in range(2):
        assert best_methods(probe_run, progress) == ["occlusion", "gradcam"]
    assert len(asked) == 1 and 1 <= len(asked[0]) <= best.MAX_ITEMS
    assert {number for _, number in asked[0]} <= {0, 1, 2}
    assert said[1:] == [
        "explanation: occlusion first "
        "(gradcam 3.0, occlusion 5.0 on 3 validation images; at random 0 ± 1)"
    ]
    (kept,) = (tmp_path / best.FOLDER).iterdir()
    kept.write_bytes(b"damaged")
    best_methods(probe_run, progress)
    assert len(asked) == 2


def test_where_the_data_are_gone_the_kind_decides(probe_run, monkeypatch, tmp_path):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))

    def gone(data):
        raise DataError(f"no data at {data}")

    monkeypatch.setattr(best, "open_source", gone)
    assert best_methods(probe_run, Progress(quiet=True)) == preferred(probe_run.kind)
    assert not (tmp_path / best.FOLDER).exists()


def test_a_network_with_a_map_of_its_own_keeps_it(monkeypatch):
    network = SimpleNamespace(activation_map_shows="patch-distance")
    run = SimpleNamespace(predictor=SimpleNamespace(network=network), kind=kind_named("image"))
    assert best_methods(run, Progress(quiet=True)) == preferred(run.kind)
