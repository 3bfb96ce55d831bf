"""A new kind and a new method are one place to touch: each is added here, and used."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.data.readers.reader import READERS, FileReader
from striate.data.source import Reading, UnreadableItem, load_formats
from striate.fitting.candidate import Proposal, refitted
from striate.fitting.method import METHODS, Method, load_methods
from striate.kinds.inputs import Inputs
from striate.kinds.kind import KINDS, Defaults, Kind
from striate.registry import load_package
from striate.report.picture import Picture


@dataclass(frozen=True, kw_only=True)
class PointInputs(Inputs):
    """Points sorted by height, as a series of three channels."""

    length: int = 32

    @classmethod
    def fitted(cls, readings, options):
        return cls(length=min(reading.array.shape[1] for reading in readings))

    @property
    def input_shape(self):
        return (3, self.length)

    def inputs(self, readings):
        for reading in readings:
            if len(reading.array) != 3:
                raise UnreadableItem("points have three coordinates")
        rows = [reading.array[:, np.argsort(reading.array[2])] for reading in readings]
        return torch.stack([torch.from_numpy(row[:, : self.length].copy()) for row in rows])

    def augmented(self, readings, draws):
        return self.inputs(readings)

    def to_json(self):
        return asdict(self)

    @classmethod
    def from_json(cls, document):
        return cls(**document)


class PointKind(Kind):
    name = "points"
    nouns = ("point cloud", "point clouds")
    inputs_type = PointInputs

    def defaults(self, inputs):
        network = "conv8-relu - gap - fc2"
        return Defaults(methods=("scratch",), network=network, min_steps=4)

    def picture(self, network, inputs, reading, target, method, *, device, item):
        return Picture(image=Image.new("RGB", (32, 32)))


def read_points(path):
    content = path.read_bytes()
    try:
        rows = np.loadtxt(content.decode().splitlines(), dtype=np.float32, ndmin=2)
    except ValueError as error:
        raise UnreadableItem(f"no table of numbers: {error}") from None
    return Reading(array=np.ascontiguousarray(rows.T), sha256=str(hash(content)))


def is_points(content):
    return Path(str(content)).suffix == ".xyz"


@pytest.fixture
def point_kind():
    load_formats()
    load_package("striate.kinds")
    if "points" not in KINDS:
        KINDS.add("points", PointKind())
        READERS.add(
            "points",
            FileReader(kind="points", suffixes=(".xyz",), read=read_points, claims=is_points),
        )


@pytest.fixture
def clouds(tmp_path):
    rng = np.random.default_rng(0)
    for label, scale in (("flat", 0.1), ("tall", 2.0)):
        (tmp_path / "clouds" / label).mkdir(parents=True)
        for number in range(15):
            points = rng.normal(size=(40, 3)) * (1, 1, scale)
            np.savetxt(tmp_path / "clouds" / label / f"{number}.xyz", points)
    return tmp_path / "clouds"


def test_a_kind_is_added_in_one_place(point_kind, clouds, tmp_path):
    run = striate.fit(clouds, out=tmp_path / "run", epochs=30, time="1m", device="cpu")
    assert run.record.kind == "points"
    found = run.predict([clouds / "flat" / "0.xyz", clouds / "tall" / "0.xyz"])
    assert [prediction.label for prediction in found] == ["flat", "tall"]
    page = (run.folder.path / "report.html").read_text()
    assert "point clouds" in page
    assert run.metrics["accuracy"] == 1.0


class Centroids(Method):
    """The nearest mean of a class in the features."""

    name = "centroids"
    description = "the nearest class mean of frozen features"
    uses = frozenset({"model", "weights"})

    def reasons(self, context):
        return [] if context.defaults.features else ["it needs features"]

    def propose(self, context, baseline):
        train = context.dataset.indices("train")
        labels = context.objective.training_targets(train)
        features = baseline.pooled[train]
        means = torch.stack([features[labels == k].mean(0) for k in labels.unique()])
        head = torch.nn.Linear(means.shape[1], len(means))
        with torch.no_grad():
            head.weight.copy_(2 * means)
            head.bias.copy_(-means.square().sum(1))

        def outputs(part):
            indices = context.dataset.indices(part)
            with torch.no_grad():
                return head(baseline.pooled[indices]), indices

        def finish():
            baseline.network.classifier.load_state_dict(head.state_dict())
            return refitted(
                context,
                method=self.name,
                model=baseline.model,
                network=baseline.network,
                weights=baseline.weights,
                held_out=outputs("val"),
                details={},
            )

        calibration, loss = context.objective.calibrate(*outputs("val"))
        return Proposal(
            method=self.name,
            name="centroids",
            outputs=outputs("val")[0],
            calibration=calibration,
            loss=loss,
            candidate=finish,
        )


def test_a_method_is_added_in_one_place(photos, tmp_path):
    load_methods()
    if Centroids.name not in METHODS:
        METHODS.add(Centroids.name, Centroids())
    run = striate.fit(
        photos, out=tmp_path / "run", method="centroids", image_size=64, time="1m", device="cpu"
    )
    assert run.record.method == "centroids"
    assert "the nearest class mean" in (run.folder.path / "report.html").read_text()
    assert run.predict([photos / "disc" / "00.jpg"])[0].label in run.classes
