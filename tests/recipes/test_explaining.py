"""Pictures of items with their heat, for every kind; files and their names."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.feeds.volume import VolumeFeed
from striate.data.source import Item, Listing, Reading, Skip
from striate.errors import ArgumentError, DataError
from striate.models import create_model
from striate.progress import Progress
from striate.recipes.explaining import (
    _Names,
    _stem,
    encoded,
    explain_inputs,
    picture_of,
    subjects_of,
)
from striate.recipes.predictor import FeedPredictor
from striate.recipes.trained import NumberPrediction, Prediction
from striate.report import Picture


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


def test_a_spectrogram_has_its_low_bands_below():
    picture = picture_of("signal", reading(1, 40, 90), peak(40, 90))
    (row,), (column,) = np.nonzero(np.ptp(np.asarray(picture.overlay).astype(int), axis=-1) > 60)
    assert (row, column) == (39 - 10, 22)


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


class SmallRun:
    """A run on volumes whose calibration makes another class win than the outputs do."""

    def __init__(self, classes=("a", "b"), broken=()):
        feed = VolumeFeed.fitted([reading(1, 12, 12, 12)], {})
        network = create_model("resnet18", rank=3, in_channels=1, num_classes=max(1, len(classes)))
        self.classes, self.broken = classes, broken
        self.record = SimpleNamespace(kind="volume")
        self.predictor = FeedPredictor(
            network=network.eval(), feed=feed, calibration=None, device=torch.device("cpu")
        )

    def open(self, inputs):
        items = tuple(Item(id=str(entry)) for entry in inputs)
        return SimpleNamespace(listing=Listing(items=items))

    def read(self, source, items):
        for item in items:
            bad = item.id in self.broken
            yield item, Skip(id=item.id, reason="empty") if bad else reading(1, 12, 12, 12)

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
