"""Pictures of items with their heat, for every kind; files and their names."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.source import Item, Listing, Reading, Skip
from striate.errors import ArgumentError, DataError
from striate.kinds import feed_of
from striate.kinds.signal.inputs import SignalFeed
from striate.kinds.volume.inputs import VolumeFeed
from striate.models import create_graph_model, create_model
from striate.progress import Progress
from striate.report import Picture
from striate.run.explain import (
    _Names,
    _stem,
    encoded,
    explain_inputs,
    picture_of,
    seen,
    subjects_of,
)
from striate.run.predictor import FeedPredictor
from striate.run.run import NumberPrediction, Prediction


def reading(*shape, dtype=np.float32):
    rng = np.random.default_rng(0)
    return Reading(array=(100 + 50 * rng.normal(size=shape)).clip(0, 255).astype(dtype), sha256="")


def peak(*space):
    heat = np.zeros(space, np.float32)
    heat[tuple(n // 4 for n in space)] = 1
    return heat


def decoded(picture):
    content, suffix = encoded(picture)
    assert suffix == ".png"
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


def test_an_image_stands_beside_its_heat_enlarged_by_a_whole_number():
    item = reading(3, 50, 60, dtype=np.uint8)
    page = decoded(picture_of("image", item, peak(50, 60)))
    assert page.shape == (250, 2 * 300 + 8, 3)
    assert np.array_equal(page[::5, :300:5], item.array.transpose(1, 2, 0))
    colourful = np.ptp(page[:, 308:], axis=-1) > 60
    rows, columns = np.nonzero(colourful)
    assert (rows // 5 == 12).all() and (columns // 5 == 15).all()


def test_a_volume_is_drawn_in_slices():
    picture = picture_of("volume", reading(2, 12, 16, 20), peak(12, 16, 20))
    assert picture.overlay is None and picture.wide
    assert decoded(picture).shape[1] == picture.image.width


def test_a_drawing_is_written_as_a_document():
    content, suffix = encoded(Picture(image='<svg viewBox="0 0 1 1"></svg>'))
    assert suffix == ".svg"
    assert content == b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'


@pytest.mark.parametrize(
    ("item", "stem"),
    [("a/b.c.png", "b.c"), ("caf\udce9.jpg", "caf"), ("../..", "item"), ("é" * 200, "é" * 40)],
)
def test_stems_are_fit_for_a_file(item, stem):
    assert _stem(item) == stem


def test_names_are_given_once(tmp_path):
    names = _Names([])
    given = [names.path(tmp_path, "a", ".png").name for _ in range(3)]
    assert given == ["a.png", "a-2.png", "a-3.png"]


def feed_predictor(feed, network):
    return FeedPredictor(
        network=network.eval(), feed=feed, calibration=None, device=torch.device("cpu")
    )


class SmallRun:
    """A run on volumes whose calibration makes another class win than the outputs do."""

    def __init__(self, classes=("a", "b"), broken=()):
        feed = VolumeFeed.fitted([reading(1, 16, 16, 16)], {})
        network = create_model("lenet5", rank=3, in_channels=1, num_classes=max(1, len(classes)))
        self.classes, self.broken = classes, broken
        self.record = SimpleNamespace(kind="volume")
        self.predictor = feed_predictor(feed, network)

    def open(self, inputs):
        items = tuple(Item(id=str(entry)) for entry in inputs)
        return SimpleNamespace(listing=Listing(items=items))

    def read(self, source, items):
        for item in items:
            bad = item.id in self.broken
            yield item, Skip(id=item.id, reason="empty") if bad else reading(1, 16, 16, 16)

    def outputs(self, readings):
        return torch.tensor([[2.0, 0.0][: max(1, len(self.classes))] for _ in readings])

    def answers(self, ids, outputs):
        if not self.classes:
            return [NumberPrediction(id=i, value=3.25, half_width=0.5) for i in ids]
        shares = np.array([0.25, 0.75])
        return [Prediction(id=i, classes=self.classes, probabilities=shares) for i in ids]


def test_the_calibrated_answer_is_what_is_explained():
    (subject,) = subjects_of(SmallRun(), ["x.npy"], Progress(quiet=True))
    assert (subject.answer, subject.target) == ("b 75.0%", 1)


def test_volumes_are_explained_and_skips_said(tmp_path, capsys):
    run = SmallRun(broken=("2.npy",))
    inputs = [f"{n}.npy" for n in range(10)]
    found = list(explain_inputs(run, inputs, out=tmp_path / "new", progress=Progress()))
    assert [e.id for e in found] == [name for name in inputs if name != "2.npy"]
    assert found[0].as_line() == f"0.npy: b 75.0%; {tmp_path / 'new' / '0-gradcam.png'}"
    assert all(e.path.is_file() for e in found)
    assert "skipped 2.npy: empty" in capsys.readouterr().err


def test_a_number_is_explained_and_has_no_classes(tmp_path):
    run = SmallRun(classes=())
    (found,) = explain_inputs(run, ["x.npy"], out=tmp_path, method="saliency")
    assert found.as_line() == f"x.npy: 3.25 ± 0.500; {tmp_path / 'x-saliency.png'}"
    with pytest.raises(ArgumentError, match="for a run that predicts a number; leave it out"):
        next(explain_inputs(run, ["x.npy"], out=tmp_path, target="b"))


def test_nothing_readable_is_an_error(tmp_path):
    with pytest.raises(DataError, match="not one input can be read: empty"):
        list(explain_inputs(SmallRun(broken=("x",)), ["x"], out=tmp_path))


@pytest.mark.parametrize("length", [400, 700])
def test_a_sound_is_drawn_as_heard_with_its_heat_where_it_was(length):
    rate = 8000.0
    silent = np.zeros((1, length), np.float32)
    click = silent.copy()
    middle = length // 2 + 40
    click[0, middle : middle + 30] = np.random.default_rng(0).normal(size=30)
    sound = Reading(array=click, sha256="", spacing=(1 / rate,))
    feed = SignalFeed(channels=1, length=400, input="mel", normalize="none", rate=rate, bands=16)
    network = create_model("resnet18", rank=2, in_channels=1, num_classes=2)
    shown, heat = seen(feed_predictor(feed, network), sound, 0, "occlusion")
    start = (length - 400) // 2
    assert np.array_equal(shown.array, click[:, start : start + 400])
    assert shown.spacing == (1 / rate,)
    assert heat.shape == (400,) and heat.max() <= 1
    picture = picture_of("signal", shown, heat)
    assert picture.image.startswith("<svg") and picture.wide


def test_a_series_is_drawn_as_the_network_saw_it():
    series = Reading(array=np.arange(30, dtype=np.float32)[None], sha256="")
    feed = SignalFeed(channels=1, length=60, lengths="resample", mean=(15.0,), std=(8.0,))
    network = create_model("resnet18", rank=1, in_channels=1, num_classes=2)
    shown, heat = seen(feed_predictor(feed, network), series, 1, "gradcam")
    assert shown.array.shape == (1, 60) and heat.shape == (60,)
    assert (shown.array.min(), shown.array.max()) == pytest.approx((0, 29))
    assert shown.spacing == ()


@pytest.fixture
def graphs():
    pytest.importorskip("rdkit")
    from striate.data.readers.molecule import molecule_reading

    read = molecule_reading("CC(=O)Oc1ccccc1")
    feed = feed_of("graph").fitted([read], {})
    torch.manual_seed(0)
    network = create_graph_model("gcn", in_channels=read.array.shape[0], num_classes=2)
    return read, feed_predictor(feed, network)


def test_a_molecule_is_drawn_as_one_where_its_name_is_its_smiles(graphs):
    read, predictor = graphs
    shown, heat = seen(predictor, read, 0, "gradcam")
    assert heat.nodes.shape == (10,) and heat.edges.shape == (shown.edges.shape[1],)
    assert heat.edges.max() == 1
    molecule = picture_of("graph", shown, heat, "CC(=O)Oc1ccccc1").image
    assert "bond-0" in molecule
    for name in ("graph 7", "CCO", ""):
        other = picture_of("graph", shown, heat, name).image
        assert other.count("<circle") == 10 and "bond-0" not in other


def test_of_a_graph_with_many_edges_the_nodes_are_explained(graphs, monkeypatch):
    read, predictor = graphs
    monkeypatch.setattr("striate.kinds.graph.drawing.MAX_EDGES", 3)
    heat = seen(predictor, read, 0, "gradcam")[1]
    assert not heat.edges.any() and heat.nodes.shape == (10,)


def test_the_method_is_handed_on(graphs):
    read, predictor = graphs
    heats = [seen(predictor, read, 0, method)[1].nodes for method in ("gradcam", "occlusion")]
    assert not np.allclose(*heats)
