"""Fitted estimators that are copied, kept and fitted again, and items without an answer."""

import copy
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score

from striate import Classifier, Regressor
from striate.errors import DataError

OPTIONS = {"method": "probe", "image_size": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def images(draw):
    shapes = ("disc", "stripes")
    return np.stack([draw(shapes[n % 2], n)[::2, ::2] for n in range(32)]) / np.float32(255)


@pytest.fixture(scope="module")
def names():
    return np.array(["solid", "banded"] * 16)


@pytest.fixture(scope="module")
def fitted(images, names, own_cache):
    return Classifier(**OPTIONS).fit(images, names)


def test_another_process_predicts_when_the_folder_is_gone(images, names, own_cache, tmp_path):
    classifier = Classifier(**OPTIONS, out=tmp_path / "run").fit(images, names)
    expected = classifier.predict_proba(images[:3])
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "kept.pickle").write_bytes(pickle.dumps(classifier))
    np.save(tmp_path / "images.npy", images[:3])
    program = (
        "import numpy, pickle; c = pickle.load(open('kept.pickle', 'rb'));"
        "numpy.save('found.npy', c.predict_proba(numpy.load('images.npy')))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-6)


def test_copies_outlive_the_first(images, names, own_cache):
    classifier = Classifier(**OPTIONS).fit(images, names)
    expected = classifier.predict_proba(images[:3])
    twin = copy.deepcopy(classifier)
    shutil.rmtree(classifier.run_.folder.path)
    del classifier.run_.__dict__["predictor"]
    for one in (classifier, twin, copy.deepcopy(twin)):
        np.testing.assert_array_equal(one.predict_proba(images[:3]), expected)


def test_out_takes_every_fit(images, names, own_cache, tmp_path):
    classifier = Classifier(**OPTIONS, out=tmp_path / "kept").fit(images, names)
    assert classifier.fit(images, names).run_.folder.path == tmp_path / "kept-2"
    search = GridSearchCV(
        Classifier(**OPTIONS, out=str(tmp_path / "grid")), {"seed": [1]}, cv=2
    ).fit(images, names)
    assert search.predict(images[:2]).tolist() == ["solid", "banded"]
    assert len(list(tmp_path.glob("grid*/run.json"))) == 3
    assert (tmp_path / "kept" / "run.json").exists()


def test_folds_of_three(images, names, own_cache):
    numbers = np.arange(24)
    folds = [(np.setdiff1d(numbers, three), three) for three in (numbers[:3], numbers[-3:])]
    scores = cross_val_score(Classifier(**OPTIONS), images[:24], names[:24], cv=folds)
    assert scores.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_items_are_answered_one_by_one(fitted, images, names, count):
    assert fitted.predict(images[:count]).tolist() == names[:count].tolist()


def test_no_items_are_no_answers(fitted, images):
    for none in ([], (), images[:0]):
        assert fitted.predict(none).shape == (0,)
        assert fitted.predict_proba(none).shape == (0, len(fitted.classes_))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_unreadable_item_costs_its_own_answer(fitted, images, names, value):
    some = images[:4].copy()
    some[1, 0, 0] = value
    with pytest.warns(UserWarning, match="items 1 cannot be used .*not finite"):
        assert fitted.predict(some).tolist() == ["solid", None, "solid", "banded"]
    with pytest.warns(UserWarning, match="items 1 "):
        assert np.isnan(fitted.predict_proba(some)).all(axis=1).tolist() == [0, 1, 0, 0]
    with pytest.warns(UserWarning, match="items 0 "):
        assert fitted.predict(some[1:2]).tolist() == [None]


def test_an_unreadable_item_has_no_number(own_cache):
    steps = np.linspace(0.2, 0.9, 40)
    waves = np.sin(np.arange(40) * steps[:, None])
    targets = [[step] for step in steps]
    targets[5] = [None]
    with pytest.warns(UserWarning, match="items 5 have no answer"):
        regressor = Regressor(method="probe", device="cpu").fit(waves, targets)
    waves[[3, 7], 1] = np.nan
    with pytest.warns(UserWarning, match="items 3, 7 cannot be used"):
        assert np.flatnonzero(np.isnan(regressor.predict(waves))).tolist() == [3, 7]


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_a_missing_label_is_no_class(images, names, missing, own_cache):
    labels = [missing if n in (3, 8) else name for n, name in enumerate(names)]
    with pytest.warns(UserWarning, match="items 3, 8 have no answer"):
        classifier = Classifier(**OPTIONS).fit(images, labels)
    assert classifier.classes_.tolist() == ["banded", "solid"]
    assert classifier.predict(images[3:4]).tolist() == ["banded"]


def test_labels_that_are_all_missing_are_one_line(images):
    with pytest.raises(DataError, match="not one item has an answer"):
        Classifier(**OPTIONS).fit(images, [None] * 32)


def test_one_item_is_never_taken_for_several(fitted, images, own_cache):
    for alone in (images[0, 0], images[:1, 0, 0]):
        with pytest.raises(DataError):
            fitted.predict(alone)
    with pytest.raises(DataError, match=r"X has 3 axes, and had 4 in fitting.*X\[None\]"):
        fitted.predict(images[0])
    assert len(fitted.predict(images[0][None])) == 1


def test_images_of_several_shapes_are_refused_in_a_line(images, names):
    mixed = [images[0], images[1][:20], *images[2:]]
    with pytest.raises(DataError, match=r"different shapes: \(32, 32, 3\), \(20, 32, 3\)"):
        Classifier(**OPTIONS).fit(mixed, names)


@pytest.mark.parametrize("kind", ["S", "int", "bool"])
def test_answers_may_be_bytes_and_objects(kind, images, names, own_cache):
    wrapped = {
        "S": names.astype("S"),
        "int": np.array([1, 2] * 16, dtype=object),
        "bool": np.array([True, False] * 16, dtype=object),
    }[kind]
    plain = {"S": names, "int": np.array([1, 2] * 16), "bool": np.array([True, False] * 16)}[kind]
    classifier = Classifier(**OPTIONS).fit(images, wrapped)
    assert classifier.classes_.dtype.kind == plain.dtype.kind
    assert (classifier.predict(images) == plain).mean() > 0.9
