"""Prediction sets: scores by brute force, coverage by resplits, sets and sizes against MAPIE's."""

import json

import numpy as np
import pytest

from striate.errors import ArgumentError
from striate.metrics.conformal import (
    PredictionSets,
    conformal_quantile,
    fit_prediction_sets,
    set_coverage,
    set_scores,
)


def simulated(num_items, num_classes, spread, seed=0):
    """Probabilities that are a little off, and labels; (n, c) and (n,)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num_items, num_classes)) * spread
    truth = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (truth.cumsum(1) > rng.random((num_items, 1))).argmax(1)
    told = np.exp(logits + rng.normal(size=logits.shape) * 0.5)
    return told / told.sum(1, keepdims=True), labels


@pytest.fixture(scope="module")
def mapie_sets():
    """A function: MAPIE's sets of the second items, conformalized on the first."""
    mapie = pytest.importorskip("mapie.classification")
    base = pytest.importorskip("sklearn.base")

    class Given(base.ClassifierMixin, base.BaseEstimator):
        """A fitted classifier whose inputs are its probabilities."""

        def __init__(self, num_classes=2):
            self.num_classes = num_classes
            self.classes_ = np.arange(num_classes)
            self.n_features_in_ = num_classes

        def fit(self, X, y):
            return self

        def predict(self, X):
            return X.argmax(1)

        def predict_proba(self, X):
            return X

    def sets(probabilities, labels, new, score, **params):
        known = mapie.SplitConformalClassifier(
            Given(probabilities.shape[1]), 0.9, conformity_score=score, random_state=0
        )
        known.conformalize(probabilities, labels)
        return known.predict_set(new, conformity_score_params=params)[1][:, :, 0]

    return sets


def test_a_score_is_what_stands_before_a_class_and_a_share_of_its_own():
    probabilities, _ = simulated(30, 6, 2.0)
    scores = set_scores(probabilities, penalty=0.1, share=0.3)
    for row, found in zip(probabilities, scores, strict=True):
        ranked = sorted(range(6), key=lambda k: (-row[k], k))
        for place, k in enumerate(ranked):
            before = sum(row[j] for j in ranked[:place])
            assert found[k] == pytest.approx(before + 0.3 * row[k] + 0.1 * place, abs=1e-12)


def test_of_equal_probabilities_the_first_class_comes_first():
    scores = set_scores(np.full((1, 4), 0.25), penalty=0.0)
    np.testing.assert_allclose(scores, [[0.125, 0.375, 0.625, 0.875]])


@pytest.mark.parametrize(("num_items", "level"), [(9, 0.9), (10, 0.9), (99, 0.9), (250, 0.95)])
def test_the_quantile_is_the_least_that_ranks_high_enough(num_items, level):
    scores = np.random.default_rng(num_items).random(num_items)
    found = conformal_quantile(scores, level)
    if num_items == 9:
        assert found == scores.max()
    enough = [s for s in scores if (scores <= s).sum() >= level * (num_items + 1) - 1e-9]
    assert found == min(enough)
    assert conformal_quantile(scores[:8], 0.9) is None


@pytest.mark.parametrize(("num_classes", "spread"), [(3, 1.5), (10, 2.0)])
def test_two_hundred_resplits_keep_the_promise_within_a_point(num_classes, spread):
    probabilities, labels = simulated(2000, num_classes, spread)
    rng, held = np.random.default_rng(1), []
    for _ in range(200):
        order = rng.permutation(len(labels))
        known, new = order[:700], order[700:]
        sets = fit_prediction_sets(probabilities[known], labels[known], class_items=10**6)
        held.append(set_coverage(sets.members(probabilities[new]), labels[new]).value)
    assert abs(np.mean(held) - 0.9) < 0.01


def test_by_class_each_class_is_covered():
    """One threshold for all covers a class that the network neglects far less than promised."""
    probabilities, labels = simulated(9000, 3, 1.5)
    shifted = probabilities * [1.0, 1.0, 0.2]
    shifted /= shifted.sum(1, keepdims=True)
    known, new = slice(0, 4000), slice(4000, None)

    def by_class(class_items):
        sets = fit_prediction_sets(shifted[known], labels[known], class_items=class_items)
        members = sets.members(shifted[new])
        return [float(members[labels[new] == k, k].mean()) for k in range(3)], sets.own

    together, none = by_class(10**6)
    apart, all_of_them = by_class(50)
    assert min(together) < 0.8 and not any(none)
    assert all(abs(share - 0.9) < 0.025 for share in apart) and all(all_of_them)


def test_a_class_of_few_items_takes_the_threshold_of_all():
    probabilities, labels = simulated(400, 3, 1.5)
    few = np.flatnonzero(labels == 2)[20:]
    probabilities, labels = np.delete(probabilities, few, 0), np.delete(labels, few)
    sets = fit_prediction_sets(probabilities, labels)
    scores = set_scores(probabilities)[np.arange(len(labels)), labels]
    assert sets.own == (True, True, False)
    assert sets.thresholds[2] == conformal_quantile(scores, 0.9)
    assert sets.num_items == len(labels)


def test_too_few_items_give_none_and_no_set_is_empty():
    probabilities, labels = simulated(50, 3, 1.5)
    assert fit_prediction_sets(probabilities[:8], labels[:8]) is None
    strict = PredictionSets(thresholds=(0.0,) * 3, own=(False,) * 3, level=0.9, num_items=9)
    members = strict.members(probabilities)
    assert (members.sum(1) == 1).all()
    assert members[np.arange(50), probabilities.argmax(1)].all()


def test_a_class_without_a_threshold_is_in_every_set():
    probabilities, _ = simulated(20, 3, 1.5)
    sets = PredictionSets(thresholds=(0.2, None, 0.2), own=(False,) * 3, level=0.9, num_items=9)
    assert sets.members(probabilities)[:, 1].all()


def test_an_item_has_the_same_set_alone_and_after_json():
    probabilities, labels = simulated(300, 5, 2.0)
    sets = fit_prediction_sets(probabilities, labels)
    again = PredictionSets.from_json(json.loads(json.dumps(sets.to_json())))
    assert again == sets
    whole = sets.members(probabilities)
    for row, members in zip(probabilities, whole, strict=True):
        np.testing.assert_array_equal(again.members(row[None])[0], members)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ArgumentError, match="one label an item"):
        fit_prediction_sets(np.full((10, 2), 0.5), np.zeros(9, np.int64))


@pytest.mark.parametrize("num_classes", [3, 10])
def test_scores_and_sets_are_those_of_mapie_with_its_random_shares(mapie_sets, num_classes):
    """MAPIE draws the share of a class's own probability: with its draws, to 1e-6."""
    scores_of = pytest.importorskip("mapie.conformity_scores").APSConformityScore()
    probabilities, labels = simulated(900, num_classes, 2.0)
    known, new = slice(0, 400), slice(400, None)

    def shares(count):
        return 1 - np.random.RandomState(0).uniform(size=count)[:, None]

    scores_of.set_external_attributes(classes=np.arange(num_classes), random_state=0)
    expected = scores_of.get_conformity_scores(labels[known], probabilities[known], labels[known])
    scores = set_scores(probabilities[known], penalty=0.0, share=shares(400))
    true_scores = scores[np.arange(400), labels[known]]
    np.testing.assert_allclose(true_scores, expected[:, 0], atol=1e-6, rtol=0)

    theirs = mapie_sets(
        probabilities[known],
        labels[known],
        probabilities[new],
        "aps",
        include_last_label="randomized",
    )
    scores = set_scores(probabilities[new], penalty=0.0, share=shares(500))
    ours = scores <= conformal_quantile(true_scores, 0.9)
    ours[np.arange(500), probabilities[new].argmax(1)] |= ~ours.any(1)
    differs = (ours != theirs).any(1)
    # MAPIE leaves some sets empty; ours hold the most probable class.
    assert not theirs[differs].any()


@pytest.mark.parametrize(("num_classes", "spread"), [(3, 1.5), (10, 2.0), (10, 3.0)])
def test_sets_are_no_larger_than_those_of_mapie(mapie_sets, num_classes, spread):
    """Of the scores with cumulated probabilities, MAPIE's own default and its random one."""
    probabilities, labels = simulated(3000, num_classes, spread)
    known, new = slice(0, 1000), slice(1000, None)
    sets = fit_prediction_sets(probabilities[known], labels[known], class_items=10**6)
    size = sets.members(probabilities[new]).sum(1).mean()
    for score, last in (
        ("aps", True),
        ("raps", True),
        ("aps", "randomized"),
        ("raps", "randomized"),
    ):
        theirs = mapie_sets(
            probabilities[known], labels[known], probabilities[new], score, include_last_label=last
        )
        assert size <= theirs.sum(1).mean()
