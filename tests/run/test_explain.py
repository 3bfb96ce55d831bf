"""Explanations of a run's inputs; files and their names."""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.source import Item, Listing, Reading, Skip
from striate.errors import ArgumentError, DataError, OptionError, UnknownNameError
from striate.kinds.kind import KINDS, kind_named
from striate.kinds.volume.inputs import VolumeInputs
from striate.models import create_model
from striate.progress import Progress
from striate.registry import load_package
from striate.report import Picture
from striate.run.explain import explain_inputs, preferred
from striate.run.explain.files import ExplanationFiles, stem_of
from striate.run.predictor import Predictor
from striate.tasks import Prediction, task_named


def reading(*shape, dtype=np.float32):
    rng = np.random.default_rng(0)
    return Reading(array=(100 + 50 * rng.normal(size=shape)).clip(0, 255).astype(dtype), sha256="")


@pytest.mark.parametrize(
    ("item", "stem"),
    [("a/b.c.png", "b.c"), ("caf\udce9.jpg", "caf"), ("../..", "item"), ("é" * 200, "é" * 40)],
)
def test_stems_are_fit_for_a_file(item, stem):
    assert stem_of(item) == stem


def test_names_are_given_once(tmp_path):
    files = ExplanationFiles(tmp_path, [])
    assert [files.path("a", ".png").name for _ in range(3)] == ["a.png", "a-2.png", "a-3.png"]


@pytest.mark.parametrize("out", ["data", "data/cat", "data/cat/.."])
def test_explanations_never_lie_among_the_data(tmp_path, out):
    item = tmp_path / "data" / "cat" / "x.npy"
    item.parent.mkdir(parents=True)
    item.touch()
    for inputs, data in (([item], str(tmp_path / "data")), ([str(tmp_path / "data")], "")):
        with pytest.raises(OptionError, match="is a folder of the data"):
            ExplanationFiles(tmp_path / out, inputs, data)


def test_a_new_folder_within_the_data_takes_explanations(tmp_path):
    (tmp_path / "x.npy").touch()
    for _ in range(2):
        files = ExplanationFiles(tmp_path / "explained", [tmp_path / "x.npy"], str(tmp_path))
        assert files.write("x", "<svg/>") == tmp_path / "explained" / "x.svg"


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch):
    """No run is measured here: `auto` takes what suits the kind."""
    inputs = import_module("striate.run.explain.inputs")
    monkeypatch.setattr(inputs, "best_methods", lambda run, progress: preferred(run.kind))


class SmallRun:
    """A run on volumes whose calibration makes another class win than the outputs do."""

    record = SimpleNamespace(data="sample:blobs")
    followed = ()

    def __init__(self, classes=("a", "b"), broken=()):
        feed = VolumeInputs.fitted([reading(1, 16, 16, 16)], {})
        network = create_model("lenet5", rank=3, in_channels=1, num_classes=max(1, len(classes)))
        self.classes, self.broken = classes, broken
        self.kind = kind_named("volume")
        self.task = task_named("classification" if classes else "regression")
        self.predictor = Predictor(network=network.eval(), inputs=feed, device=torch.device("cpu"))

    def open(self, inputs):
        items = tuple(Item(id=str(entry)) for entry in inputs)
        return SimpleNamespace(listing=Listing(items=items))

    def read(self, source, items):
        for item in items:
            bad = item.id in self.broken
            yield item, Skip(id=item.id, reason="empty") if bad else reading(1, 16, 16, 16)

    def outputs(self, readings):
        return torch.tensor([[2.0, 0.0][: max(1, len(self.classes))] for _ in readings])

    def answers(self, items, outputs):
        ids = [item.id for item in items]
        if not self.classes:
            return [Prediction(item=i, value=3.25, interval=(2.75, 3.75)) for i in ids]
        shares = np.array([0.25, 0.75])
        return [
            Prediction(item=i, label="b", classes=self.classes, probabilities=shares) for i in ids
        ]


def test_the_calibrated_prediction_is_what_is_explained():
    (found,) = explain_inputs(SmallRun(), ["x.npy"], method="saliency")
    assert (found.item, found.prediction.answer(), found.target) == ("x.npy", "b 75.0%", "b")
    assert (found.path, found.method, found.image.mode) == (None, "saliency", "RGB")
    assert found.check.startswith("checked: ")
    assert found.as_line() == f"x.npy: b 75.0%; evidence for b ({found.check})"
    (other,) = explain_inputs(SmallRun(), "x.npy", method="saliency", target="a")
    assert (other.target, other.prediction.answer()) == ("a", "b 75.0%")
    assert not np.array_equal(other.image, found.image)


def test_the_method_of_a_kind_is_chosen_by_itself(monkeypatch):
    found = Picture(image=Image.new("RGB", (8, 8)), faithful=True)
    monkeypatch.setattr(type(kind_named("volume")), "picture", staticmethod(lambda *_, **__: found))
    monkeypatch.setattr(type(kind_named("volume")), "explanation", "gradcam")
    (found,) = explain_inputs(SmallRun(), ["x.npy"])
    assert found.method == "gradcam"
    with pytest.raises(UnknownNameError, match="did you mean 'gradcam'"):
        next(explain_inputs(SmallRun(), ["x.npy"], method="gradcm"))


def test_every_kind_recommends_a_method():
    load_package("striate.kinds")
    assert {name: kind.explanation for name, kind in KINDS.items() if name != "points"} == {
        "graph": "gradcam",
        "image": "gradcam",
        "node": "gradcam",
        "signal": "gradcam",
        "volume": "occlusion",
    }


def test_where_a_method_finds_nothing_the_next_is_tried(monkeypatch):
    """An item at a time: the first method is tried again for the next."""
    tried = []

    def picture(network, inputs, reading, target, method, *, item, **options):
        tried.append((item, method))
        found = method == "occlusion" or item != "0.npy"
        faithful = item != "2.npy" and (method == "occlusion" or item != "3.npy")
        return Picture(image=Image.new("RGB", (8, 8)), found=found, faithful=faithful)

    monkeypatch.setattr(type(kind_named("volume")), "picture", staticmethod(picture))
    monkeypatch.setattr(type(kind_named("volume")), "explanation", "gradcam")
    found = list(explain_inputs(SmallRun(), ["0.npy", "1.npy", "2.npy", "3.npy"]))
    # Of item 2 neither passes the check.
    assert [one.method for one in found] == ["occlusion", "gradcam", "gradcam", "occlusion"]
    assert [one.check[:14] for one in found] == [
        *["checked: blank"] * 2, "checked: no be", "checked: blank",
    ]  # fmt: skip
    assert tried[:3] == [("0.npy", "gradcam"), ("0.npy", "occlusion"), ("1.npy", "gradcam")]
    (asked,) = explain_inputs(SmallRun(), ["0.npy"], method="gradcam")
    assert (asked.method, asked.check) == ("gradcam", "no evidence for this answer was found")


def test_arrays_and_bytes_are_explained(tmp_path):
    inputs = [np.zeros((16, 16, 16)), b"..."]
    found = list(explain_inputs(SmallRun(), inputs, method="saliency", out=tmp_path))
    assert len({explained.path for explained in found}) == 2
    assert len(list(explain_inputs(SmallRun(), inputs[1], method="saliency"))) == 1


def test_volumes_are_explained_and_skips_said(tmp_path, capsys):
    run = SmallRun(broken=("2.npy",))
    inputs = [f"{n}.npy" for n in range(10)]
    out = tmp_path / "new"
    found = list(explain_inputs(run, inputs, method="saliency", out=out, progress=Progress()))
    assert [e.item for e in found] == [name for name in inputs if name != "2.npy"]
    written = f": {out / '0-saliency.png'}"
    assert found[0].as_line() == f"0.npy: b 75.0%; evidence for b ({found[0].check}){written}"
    for explained in found:
        with Image.open(explained.path) as written:
            assert np.array_equal(written, explained.image)
    assert capsys.readouterr().err.count("skipped 2.npy: empty") == 1


def test_a_number_is_explained_and_has_no_classes(tmp_path):
    run = SmallRun(classes=())
    (found,) = explain_inputs(run, ["x.npy"], out=tmp_path, method="saliency")
    path = tmp_path / "x-saliency.png"
    told = f"evidence for a higher value ({found.check}): {path}"
    assert found.as_line() == f"x.npy: 3.25 ± 0.500; {told}"
    assert found.target is None
    with pytest.raises(ArgumentError, match="the run predicts a number; leave it out"):
        next(explain_inputs(run, ["x.npy"], out=tmp_path, target="b"))


def test_nothing_readable_is_an_error(tmp_path):
    with pytest.raises(DataError, match="not one input can be read: empty"):
        list(explain_inputs(SmallRun(broken=("x",)), ["x"], out=tmp_path))
