"""`Classifier` where scikit-learn puts an estimator."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from striate import Classifier
from striate.errors import DataError, UnknownNameError
from striate.estimators.given import plain_answers, refusals

OPTIONS = {"method": "probe", "image_size": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def images(draw):
    shapes = ("disc", "stripes")
    return np.stack([draw(shapes[n % 2], n)[::2, ::2] for n in range(32)])


@pytest.fixture(scope="module")
def names():
    return np.array(["solid", "banded"] * 16)


@pytest.fixture(scope="module")
def fitted(images, names, own_cache):
    return Classifier(**OPTIONS).fit(images, names)


def halve(images):
    return images // 2


def test_predictions(fitted, images, names):
    assert fitted.classes_.tolist() == ["banded", "solid"]
    probabilities = fitted.predict_proba(images)
    assert probabilities.shape == (32, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    answers = fitted.predict(images)
    assert (answers == fitted.classes_[probabilities.argmax(1)]).all()
    assert fitted.score(images, names) == (answers == names).mean() > 0.9


def test_columns_follow_classes_whatever_the_run_calls_them(fitted, images, names):
    solid = fitted.predict_proba(images)[:, 1]
    assert solid[names == "solid"].min() > solid[names == "banded"].max()
    assert fitted.predict_proba(images[:0]).shape == (0, 2)


@pytest.mark.parametrize(
    "values", [(3, -20), (False, True), (2.0, 1.0), (np.str_("b"), np.str_("ä"))]
)
def test_labels_of_any_type(values, images, fitted, monkeypatch):
    seen = {}

    def fit(source, **options):
        seen["labels"] = [item.label for item in source.listing.items]
        return fitted.run_

    monkeypatch.setattr("striate.estimators.estimator.fit", fit)
    labels = np.array([values[n % 2] for n in range(32)])
    classifier = Classifier(**OPTIONS).fit(images, labels)
    assert classifier.classes_.tolist() == sorted(values)
    assert classifier.classes_.dtype == labels.dtype
    numbers = [sorted(set(seen["labels"])).index(label) for label in seen["labels"]]
    assert (classifier.classes_[numbers] == labels).all()
    assert classifier.predict(images[:3]).dtype == labels.dtype


def test_more_than_ten_classes_keep_their_order(fitted, monkeypatch):
    def fit(source, **options):
        names = sorted({item.label for item in source.listing.items})
        assert names == [f"{number:02d}" for number in range(12)]
        return fitted.run_

    monkeypatch.setattr("striate.estimators.estimator.fit", fit)
    classifier = Classifier().fit(np.zeros((24, 8, 8), np.uint8), np.arange(24) % 12)
    assert classifier.classes_.tolist() == list(range(12))


def test_options_name_classes_as_the_user_does(fitted, images, names, monkeypatch):
    seen = {}

    def fit(source, **options):
        seen.update(options)
        return fitted.run_

    monkeypatch.setattr("striate.estimators.estimator.fit", fit)
    Classifier(error_costs={"solid": 10}, cost_unknown=0.5).fit(images, names)
    assert seen["error_costs"] == {"1": 10} and seen["cost_unknown"] == 0.5
    Classifier(target_recall={7: 0.9}).fit(images, np.arange(32) % 2 + 6)
    assert seen["target_recall"] == {"1": 0.9}
    with pytest.raises(UnknownNameError, match=r"class 'sold'; did you mean 'solid'"):
        Classifier(error_costs={"sold": 10}).fit(images, names)


def test_good_items_alone_are_not_for_a_classifier(images, names):
    with pytest.raises(DataError, match="one class"):
        Classifier().fit(images, names[:1].repeat(32))
    with pytest.raises(DataError, match="one class"):
        Classifier(method="oneclass").fit(images, names)
    with pytest.raises(TypeError, match="unexpected option 'good'"):
        Classifier(good="solid")


def test_clone_and_parameters(fitted):
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    assert not hasattr(twin, "run_")
    assert twin.set_params(seed=3).seed == 3
    with pytest.raises(NotFittedError):
        twin.predict_proba(np.zeros((1, 8, 8)))


def test_cross_val_score_of_a_pipeline(images, names, own_cache):
    steps = [("halve", FunctionTransformer(halve)), ("classifier", Classifier(**OPTIONS))]
    scores = cross_val_score(Pipeline(steps), images, names, cv=2, error_score="raise")
    assert scores.shape == (2,) and scores.min() > 0.7


@pytest.mark.slow
def test_grid_search(images, names, own_cache):
    search = GridSearchCV(
        Classifier(**OPTIONS), {"image_size": [16, 32]}, cv=2, error_score="raise"
    )
    search.fit(images, names)
    assert search.best_params_["image_size"] in (16, 32)
    assert len(search.cv_results_["mean_test_score"]) == 2
    assert search.best_estimator_.run_.predictor.inputs.size == search.best_params_["image_size"]
    assert search.predict(images[:2]).tolist() == ["solid", "banded"]


def test_a_label_for_each_item(images):
    with pytest.raises(DataError, match=r"inconsistent numbers of samples: \[32, 3\]"):
        Classifier(**OPTIONS).fit(images, [1, 2, 3])


def test_the_run_can_be_kept(fitted, images, names, own_cache, tmp_path):
    kept = Classifier(**OPTIONS, out=str(tmp_path / "kept")).fit(images, names)
    assert kept.run_.folder.path == tmp_path / "kept"
    assert kept.run_.record.model.sha256 == fitted.run_.record.model.sha256


@pytest.mark.parametrize(
    ("items", "said"),
    [([Path("a/0.png")] * 4, "X holds paths"), ([b"content"] * 4, "X holds bytes")],
)
def test_what_is_no_array_is_refused_with_what_to_do(items, said):
    with pytest.raises(DataError, match=f"{said}: an estimator learns from arrays; open the files"):
        Classifier(**OPTIONS).fit(items, [0, 1] * 2)


def test_a_y_of_one_class_is_told_as_the_user_named_it(images):
    with pytest.raises(DataError, match="y has one class, 'solid': a Classifier tells classes"):
        Classifier(**OPTIONS).fit(images, ["solid"] * len(images))


@pytest.mark.parametrize(("dtype", "kind"), [("Int64", "i"), ("boolean", "b"), ("string", "O")])
def test_labels_of_tables_that_may_hold_missing_ones_keep_their_type(dtype, kind):
    pandas = pytest.importorskip("pandas")
    labels = pandas.Series(pandas.array([0, 1, 0], "Int64").astype(dtype))
    assert np.asarray(plain_answers(labels)).dtype.kind == kind


def test_refusals_do_not_show_all_numbers():
    with pytest.raises(DataError) as caught, refusals():
        raise ValueError("got 1D array instead:\narray=[0.1 0.2\n 0.3].\nReshape your data")
    assert str(caught.value) == "got 1D array instead: Reshape your data"
    with pytest.raises(DataError, match=r"samples: \[40, 39\]"), refusals():
        raise ValueError("inconsistent numbers of samples: [40, 39]")
