"""`Regressor` where scikit-learn puts an estimator."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from striate import Classifier, Regressor
from striate.errors import DataError

OPTIONS = {"method": "probe", "device": "cpu"}


@pytest.fixture(scope="module")
def rates():
    return np.linspace(0.2, 0.9, 60)


@pytest.fixture(scope="module")
def waves(rates):
    noise = np.random.default_rng(0).normal(0, 0.05, (60, 40))
    return np.sin(np.arange(40) * rates[:, None]) + noise


def test_predictions_follow_the_items(waves, rates, own_cache):
    regressor = Regressor(**OPTIONS).fit(waves, rates)
    assert regressor.run_.record.kind == "signal"
    assert regressor.n_features_in_ == 40
    assert regressor.score(waves, rates) > 0.9
    np.testing.assert_allclose(
        regressor.predict(waves[::-1]), regressor.predict(waves)[::-1], rtol=1e-5
    )
    assert regressor.predict(waves[:0]).shape == (0,)
    with pytest.raises(DataError, match="X has 39 features, but Regressor is expecting 40"):
        regressor.predict(waves[:, 1:])


def test_cross_val_score_of_a_pipeline(waves, rates, own_cache):
    steps = [("scale", StandardScaler()), ("regressor", Regressor(**OPTIONS))]
    order = np.random.default_rng(0).permutation(60)
    scores = cross_val_score(Pipeline(steps), waves[order], rates[order], cv=2, error_score="raise")
    assert scores.shape == (2,) and scores.min() > 0.5


def test_grid_search(waves, rates, own_cache):
    grid = {"options": [{"normalize": "train"}, {"normalize": "item"}]}
    order = np.random.default_rng(0).permutation(60)
    search = GridSearchCV(Regressor(**OPTIONS), grid, cv=2, error_score="raise")
    search.fit(waves[order], rates[order])
    assert search.best_params_ in [{"options": options} for options in grid["options"]]
    assert search.score(waves, rates) > 0.8


@pytest.mark.parametrize("estimator", [Classifier(), Regressor()], ids=["classes", "numbers"])
@pytest.mark.parametrize(
    ("items", "message"),
    [
        (np.full((4, 8, 8), np.nan), "Input X contains NaN"),
        (np.full((4, 20), np.inf), "Input X contains infinity"),
        (np.zeros((4, 8, 8), complex), "Complex data not supported"),
        (np.zeros((0, 8, 8)), "Found array with 0 sample"),
        (np.zeros(4), "Expected 2D array, got 1D array"),
        (3, "Expected 2D array, got scalar array"),
        ([[1, 2], [3]], "different shapes"),
    ],
)
def test_what_cannot_be_used_is_refused(items, message, estimator):
    with pytest.raises(DataError, match=message):
        estimator.fit(items, [0, 1, 0, 1])


def test_tags_follow_the_kind():
    def axes(kind):
        tags = Regressor(kind=kind).__sklearn_tags__().input_tags
        return tags.one_d_array, tags.two_d_array, tags.three_d_array, tags.string

    assert axes("auto") == (False, True, True, True)
    assert axes("signal") == (False, True, True, False)
    assert axes("image") == (False, False, True, False)
    assert axes("graph") == (True, False, False, True)
    assert axes("no such kind") == (False, False, False, False)


@pytest.mark.parametrize("estimator", [Classifier, Regressor])
def test_help_names_each_option_once(estimator):
    for name in Regressor().get_params():
        assert estimator.__doc__.count(f"\n        {name}: ") == 1, name
    assert "{options}" not in estimator.__doc__
