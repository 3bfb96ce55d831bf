"""Novelty: measures by brute force, false alarms as promised, foreign items found, small files."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from striate.metrics.novelty import (
    MAX_BYTES,
    MAX_COLUMNS,
    MEASURES,
    NEARLY,
    FeaturedItems,
    KnownItems,
    NoveltyDetector,
    evenly,
    fit_novelty,
    is_unknown,
)

WIDTH = 40


def made(num_items, num_classes=4, seed=0, centres=0):
    """Items around the centres of classes, as a network's features might be."""
    rng = np.random.default_rng(seed)
    means = np.abs(np.random.default_rng(centres).normal(size=(num_classes, WIDTH))) * 2
    labels = np.arange(num_items) % num_classes
    features = means[labels] + rng.normal(size=(num_items, WIDTH)) * np.linspace(0.1, 1.0, WIDTH)
    return FeaturedItems(
        features=features.astype(np.float32), groups=np.arange(num_items), strata=labels
    )


@pytest.fixture(scope="module")
def detector():
    return fit_novelty(made(400))


def test_the_measures_are_those_of_brute_force():
    items, new = made(60), made(7, seed=1)
    known = KnownItems.of(items.features, items.strata)

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

    found = known.measures(new.features)
    along, reference = (
        (x - known.shift) * known.scale @ known.axes * known.stretch
        for x in (new.features, items.features)
    )
    middles = np.stack([reference[items.strata == k].mean(0) for k in range(4)])
    for row, direct, turned in zip(found, unit(new.features), along, strict=True):
        nearest = np.sort(np.linalg.norm(direct - unit(items.features), axis=1))[0]
        beside = np.sort(np.linalg.norm(unit(turned) - unit(reference), axis=1))[0]
        angle = 1 - max(unit(turned) @ unit(middle) for middle in middles)
        first, second = np.sort(np.square(turned - middles).sum(1) + NEARLY)[:2]
        # A byte for a feature and float16 along the axes.
        np.testing.assert_allclose(row, [nearest, beside, angle, np.log(first / second)], atol=0.01)


def test_of_items_without_classes_two_measures_count():
    items = made(200)
    found = fit_novelty(
        FeaturedItems(features=items.features, groups=items.groups, strata=np.zeros(200, int))
    )
    assert np.isfinite(found.std[:2]).all() and np.isinf(found.std[2:]).all()
    assert np.isfinite(found.novelty(made(20, seed=1).features)).all()


def test_an_item_between_two_classes_is_found_by_the_middles():
    """It has the features of either class by half: no neighbour is far, no middle is near."""
    rng = np.random.default_rng(0)
    middles = np.eye(6, 12) * 5

    def drawn(rows):
        features = rows + rng.normal(size=rows.shape)
        return features.astype(np.float32)

    labels = np.arange(300) % 6
    detector = fit_novelty(
        FeaturedItems(features=drawn(middles[labels]), groups=np.arange(300), strata=labels)
    )
    known = detector.novelty(drawn(middles[labels]))
    between = detector.novelty(drawn((middles[labels] + middles[(labels + 1) % 6]) / 2))
    assert roc_auc_score(np.repeat([0, 1], 300), np.r_[known, between]) > 0.9


def test_within_classes_no_two_axes_vary_together_and_none_by_more_than_one():
    items = made(1000)
    known = KnownItems.of(items.features, items.strata)
    along = (items.features - known.shift) * known.scale @ known.axes * known.stretch
    within = along - np.stack([along[items.strata == k].mean(0) for k in range(4)])[items.strata]
    together = np.cov(within.T)
    variances = np.diag(together)
    np.testing.assert_allclose(together, np.diag(variances), atol=1e-3)
    # Shrinkage makes much of what varies little.
    assert variances.max() < 1.2 and variances.min() > 0.3


def test_one_in_twenty_known_items_is_flagged():
    """5 % within two points, over twelve draws."""
    flagged = []
    for seed in range(12):
        items = made(400, seed=seed)
        found = fit_novelty(items)
        flagged.append(is_unknown(found.novelty(made(500, seed=200 + seed).features)).mean())
        assert found.num_items == 400
    assert abs(np.mean(flagged) - 0.05) < 0.02


def test_items_of_another_kind_are_found(detector):
    known = detector.novelty(made(300, seed=5).features)
    foreign = detector.novelty(made(300, seed=5, centres=9).features)
    assert roc_auc_score(np.repeat([0, 1], 300), np.r_[known, foreign]) > 0.98
    assert is_unknown(foreign).mean() > 0.9


def test_an_item_is_as_strange_alone(detector):
    features = made(300, seed=6).features
    together = detector.novelty(features)
    for index in (0, 255, 256, 299):
        alone = detector.novelty(features[index : index + 1])
        np.testing.assert_allclose(alone, together[index : index + 1], atol=1e-4)
    assert detector.novelty(features[:0]).shape == (0,)


def test_a_detector_comes_back_from_its_tensors(detector):
    again = NoveltyDetector.from_tensors(detector.tensors())
    features = made(100, seed=7).features
    np.testing.assert_array_equal(again.novelty(features), detector.novelty(features))
    assert (again.threshold, again.num_items) == (detector.threshold, detector.num_items)


def test_features_of_any_size_are_compared_alike(detector):
    """Those of a network may be small: what is stored in few bits must not depend on it."""
    sizes = np.logspace(-6, 3, WIDTH).astype(np.float32)
    items, new = made(400), made(100, seed=7).features
    tiny = FeaturedItems(features=items.features * sizes, groups=items.groups, strata=items.strata)
    known, plain = (KnownItems.of(each.features, each.strata) for each in (tiny, items))
    assert all(np.isfinite(array).all() for array in vars(known).values())
    along, expected = known.measures(new * sizes)[:, 1], plain.measures(new)[:, 1]
    # Only the smallest features feel the 1e-6 that keeps a constant one from being divided by 0.
    np.testing.assert_allclose(along, expected, atol=0.1)
    assert np.corrcoef(along, expected)[0, 1] > 0.95


def test_copies_do_not_make_each_other_known():
    """Each item twice: where copies are no group, the threshold is too low."""
    items = made(200)
    features, strata = np.repeat(items.features, 2, 0), np.repeat(items.strata, 2)
    flagged = []
    for groups in (np.repeat(np.arange(200), 2), np.arange(400)):
        found = fit_novelty(FeaturedItems(features=features, groups=groups, strata=strata))
        flagged.append(is_unknown(found.novelty(made(500, seed=3).features)).mean())
    assert flagged[0] < 0.08 and flagged[1] > 0.11


def test_many_features_of_many_items_take_little_room():
    rng = np.random.default_rng(0)
    items = FeaturedItems(
        features=rng.normal(size=(1500, 5000)).astype(np.float32),
        groups=np.arange(1500),
        strata=np.arange(1500) % 3,
    )
    kept = items.to_compare()
    known = KnownItems.of(kept.features, kept.strata)
    assert known.reference.size <= MAX_BYTES and len(known.columns) == MAX_COLUMNS
    detector = NoveltyDetector(
        known=known,
        mean=np.zeros(MEASURES),
        std=np.ones(MEASURES),
        threshold=0.0,
        false_alarms=0.05,
        num_items=9,
    )
    assert sum(array.nbytes for array in detector.tensors().values()) < 2_000_000


@pytest.mark.parametrize(
    "items",
    [
        made(18),
        FeaturedItems(features=np.ones((50, 3)), groups=np.arange(50), strata=np.zeros(50)),
        FeaturedItems(features=np.ones((50, 0)), groups=np.arange(50), strata=np.zeros(50)),
        FeaturedItems(features=made(50).features, groups=np.zeros(50), strata=made(50).strata),
    ],
    ids=["few items", "constant features", "no features", "one group"],
)
def test_where_nothing_can_be_told_there_is_no_detector(items):
    assert fit_novelty(items) is None


def test_numbers_and_rows_of_labels_are_strata_too():
    items = made(200)
    by_labels = FeaturedItems(
        features=items.features, groups=items.groups, strata=np.eye(4, dtype=bool)[items.strata]
    )
    found, expected = (fit_novelty(each).novelty(items.features) for each in (by_labels, items))
    assert np.corrcoef(found, expected)[0, 1] > 0.99
    all_apart = FeaturedItems(features=items.features, groups=items.groups, strata=np.arange(200))
    assert np.isfinite(fit_novelty(all_apart).novelty(items.features)).all()


def test_a_part_of_many_items_has_every_stratum():
    strata = np.repeat([0, 1, 2], [1000, 50, 3])
    kept = evenly(strata, 60)
    counts = np.bincount(strata[kept])
    assert len(kept) == 60 and counts[2] == 3 and abs(counts[0] - counts[1]) <= 1
    assert (np.diff(kept) > 0).all()
