"""`Run.predict` on files, folders and arrays, against what the fit wrote of the same items."""

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.errors import ArgumentError, DataError, OptionError, RunError
from striate.progress import Progress

CLASSES = ("disc", "square", "stripes")


@pytest.fixture(params=["probe_run", "kernel_run", "tuned_run"])
def run(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def written(run):
    """Probabilities by item, as `predictions.csv` has them."""
    rows = run.folder.read_csv("predictions.csv")
    return {row["item"]: np.array([float(row[f"p_{name}"]) for name in CLASSES]) for row in rows}


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def assert_same(predictions, written, names):
    assert len(predictions) == len(names)
    for prediction, name in zip(predictions, names, strict=True):
        np.testing.assert_allclose(prediction.probabilities, written[name], atol=1e-5, rtol=0)


def test_files_agree_with_predictions_csv(run, written, photos):
    names = sorted(written)
    predictions = run.predict([photos / name for name in names])
    assert [prediction.id for prediction in predictions] == [str(photos / n) for n in names]
    assert_same(predictions, written, names)


def test_one_by_one_agrees_with_the_batch(run, written, photos):
    names = sorted(written)[::4]
    assert_same([run.predict(str(photos / name))[0] for name in names], written, names)


def test_a_folder_agrees_with_predictions_csv(run, written, photos):
    found = {prediction.id: prediction for prediction in run.predict(photos)}
    assert len(found) == 60
    assert_same([found[str(photos / name)] for name in written], written, list(written))


def test_arrays_agree_with_predictions_csv(run, written, photos):
    loaded = {name: pixels_of(photos / name) for name in sorted(written)}
    names = [name for name, pixels in loaded.items() if pixels.shape == (64, 64, 3)]
    images = [loaded[name] for name in names]
    assert len(names) > 3
    assert_same(run.predict(np.stack(images)), written, names)
    assert_same(run.predict(np.stack(images).transpose(0, 3, 1, 2)), written, names)
    assert_same(run.predict([image / 255 for image in images[:2]]), written, names[:2])


def test_label_and_top(run, photos):
    prediction = run.predict(photos / "disc" / "01.png")[0]
    assert prediction.classes == CLASSES
    assert prediction.probabilities.sum() == pytest.approx(1)
    top = prediction.top(2)
    assert len(top) == 2 and top[0][0] == prediction.label and top[0][1] >= top[1][1]
    assert top[0][1] == prediction.probabilities.max()
    assert {name for name, _ in prediction.top(9)} == set(CLASSES)


def test_a_grey_image_and_one_of_another_size(probe_run):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (50, 200), np.uint8)
    flat, stacked = probe_run.predict([grey, np.stack([grey] * 3)])
    np.testing.assert_allclose(flat.probabilities, stacked.probabilities, atol=1e-9)


def test_what_cannot_be_read_is_skipped_and_said(probe_run, photos, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"")
    predictions = probe_run.predict(
        [tmp_path / "broken.png", photos / "disc" / "01.png"], progress=Progress()
    )
    broken, readable = predictions
    assert (broken.item, broken.label) == (str(tmp_path / "broken.png"), None)
    assert broken.reason == "empty file"
    assert readable.item == str(photos / "disc" / "01.png") and readable.label
    assert f"cannot read {tmp_path / 'broken.png'}: empty file" in capsys.readouterr().err


def test_one_answer_an_input_also_where_nothing_can_be_read(probe_run, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    (only,) = probe_run.predict(tmp_path / "broken.png")
    assert (only.label, only.reason) == (None, "empty file")
    with pytest.raises(DataError, match="file not found"):
        probe_run.predict(tmp_path / "missing.png")


def test_a_name_out_of_an_array_of_names_is_a_name(probe_run, photos):
    name = np.array([str(next(photos.rglob("*.jpg"), None) or next(photos.rglob("*.png")))])[0]
    assert isinstance(name, np.str_)
    assert probe_run.predict(name)[0].label == probe_run.predict(str(name))[0].label


def test_load_takes_a_device_of_torch_and_refuses_what_is_no_path(probe_run):
    assert striate.load(probe_run.folder.path, device=torch.device("cpu")).device.type == "cpu"
    with pytest.raises(ArgumentError, match="the run is of type NoneType"):
        striate.load(None)


@pytest.mark.parametrize(
    "call",
    [
        lambda run: run.suggest("a", 1.5),
        lambda run: run.suggest("a", 1, seed=-1),
        lambda run: run.drift("a", seed=-1),
        lambda run: run.robustness(max_items=0),
        lambda run: run.robustness(seed=2**32),
    ],
)
def test_numbers_out_of_their_range_are_refused_before_any_work(call, probe_run):
    with pytest.raises(OptionError, match="it must be a whole number from"):
        call(probe_run)


def test_load_suggests_the_nearest_run(probe_run):
    with pytest.raises(RunError, match=r"no finished run .*did you mean .*probe"):
        striate.load(probe_run.folder.path.with_name("prob"))
