import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.source import Item
from striate.data.splits import MAX_HELD_OUT, complete_splits, split
from striate.errors import ArgumentError, DataError
from striate.tasks.classification.target import ClassTarget

SPLITS = ("train", "val", "test")


@st.composite
def grouped_labels(draw):
    """Labels of up to 5 classes in groups of up to 6 items, some of them mixed."""
    seed = draw(st.integers(0, 10_000))
    n = draw(st.integers(1, 300))
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(draw(st.integers(1, 5))))
    labels = rng.choice(len(weights), n, p=weights)
    groups = np.arange(n)
    grouped = rng.random(n) < draw(st.floats(0, 1))
    groups[grouped] = n + rng.integers(0, max(1, n // 3), grouped.sum())
    return labels, groups


@given(grouped_labels(), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_no_group_on_two_sides_and_every_class_in_train(data, seed):
    labels, groups = data
    splits = split(labels, groups, seed=seed)
    assert set(splits) <= set(SPLITS)
    for group in np.unique(groups):
        assert len(set(splits[groups == group])) == 1
    assert set(labels[splits == "train"]) == set(labels)
    np.testing.assert_array_equal(splits, split(labels, groups, seed=seed))


@given(st.lists(st.integers(0, 80), min_size=1, max_size=6), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_without_groups_each_class_is_split_in_proportion(sizes, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(seed).shuffle(labels)
    splits = split(labels, np.arange(len(labels)), seed=seed)
    for number, size in enumerate(sizes):
        counts = [int((splits[labels == number] == name).sum()) for name in SPLITS]
        for count, fraction in zip(counts, (0.7, 0.15, 0.15), strict=True):
            # Whole items, and at least one in each part of a class of three.
            assert abs(count - fraction * size) < 2
        if size >= 3:
            assert min(counts) > 0
        if size == 2:
            assert counts == [1, 0, 1]


@given(grouped_labels(), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_sizes_are_near_the_fractions(data, seed):
    labels, groups = data
    splits = split(labels, groups, seed=seed)
    largest = np.unique(groups, return_counts=True)[1].max()
    classes = len(set(labels.tolist()))
    for name, fraction in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
        slack = (1 + largest) * (1 + classes)
        assert abs((splits == name).sum() - fraction * len(labels)) <= slack


def test_groups_of_equal_size_meet_the_fractions():
    labels = np.tile([0, 0, 1, 1, 1], 200)
    splits = split(labels, np.arange(1000) // 5, seed=3)
    assert [(splits == name).sum() for name in SPLITS] == [700, 150, 150]


def test_another_seed_gives_another_split():
    labels, groups = np.zeros(100, int), np.arange(100)
    assert (split(labels, groups, seed=0) != split(labels, groups, seed=1)).any()


def test_a_fraction_of_zero_gets_nothing():
    labels = np.arange(60) % 3
    splits = split(labels, np.arange(60), seed=0, fractions=(0.8, 0.2, 0.0))
    assert (splits != "test").all()
    assert (splits == "val").sum() == 12


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_fractions_that_are_none_are_refused(fractions):
    with pytest.raises(ArgumentError, match="add up to 1"):
        split(np.zeros(3, int), np.arange(3), seed=0, fractions=fractions)


def items_of(parts):
    return [Item(id=f"{n}", label="?", split=part) for n, part in enumerate(parts)]


def complete(parts, labels=None, groups=None):
    target = ClassTarget.of(
        ["ab"[k] for k in (np.arange(len(parts)) % 2 if labels is None else labels)]
    )
    groups = np.arange(len(parts)) if groups is None else np.array(groups)
    return complete_splits(items_of(parts), target, groups, seed=0)


def test_a_complete_split_is_kept():
    parts = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    assert complete(parts).tolist() == parts


def test_a_missing_val_is_carved_from_train_and_nothing_else_moves():
    parts = ["train"] * 170 + ["test"] * 30
    splits = complete(parts)
    assert (splits[170:] == "test").all()
    # 0.15 of (0.7 + 0.15), of 85 items in each class.
    assert (splits[:170] == "val").sum() == 30
    assert (splits[:170] == "train").sum() == 140


@pytest.mark.parametrize("given", [None, "test"])
def test_no_more_items_are_held_out_than_are_needed(given):
    """Of 80,000 items 15 % would be 12,000."""
    splits = complete([given] * 4_000 + [given and ""] * 80_000)
    assert (splits == "val").sum() == MAX_HELD_OUT[0] == 5_000
    if given:
        assert (splits[:4000] == "test").all()
        assert (splits == "train").sum() == 75_000
    else:
        assert (splits == "test").sum() == MAX_HELD_OUT[1] == 10_000


def test_a_missing_test_is_carved_from_train():
    splits = complete(["train"] * 85 + ["val"] * 15)
    assert (splits[85:] == "val").all()
    assert (splits[:85] == "test").sum() in (14, 15, 16)


def test_items_without_a_part_go_where_parts_are_missing():
    splits = complete([None] * 100 + ["test"] * 20)
    assert (splits[100:] == "test").all()
    assert set(splits[:100]) == {"train", "val"}


def test_nothing_to_train_on_is_an_error():
    with pytest.raises(DataError, match="no item is in train"):
        complete(["test"] * 4)


def test_a_class_that_train_has_not_is_an_error():
    with pytest.raises(DataError, match="test has classes that train has not: b"):
        complete(["train", "train", "test", "test"], [0, 0, 1, 0])


def codes(labels, splits):
    target = ClassTarget.of(["abc"[k] for k in labels])
    notes = target.split_notes(items_of([None] * len(labels)), np.array(splits))
    return {note.code: note for note in notes}


def test_a_class_of_one_item_is_told():
    labels = [0] * 10 + [1] * 10 + [2]
    splits = split(np.array(labels), np.arange(21), seed=0)
    assert splits[20] == "train"
    note = codes(labels, splits)["single-item-class"]
    assert note.ids == ("20",)
    assert "'c'" in note.message


def test_imbalance_over_a_hundred_is_told():
    at_limit = [0] * 200 + [1] * 50 + [2] * 2
    assert "imbalance" not in codes(at_limit, ["train"] * 252)
    assert "imbalance" in codes([0, *at_limit], ["train"] * 253)


def test_a_class_without_test_items_is_told():
    labels = [0, 0, 1, 1, 2, 2]
    note = codes(labels, ["train", "test", "train", "test", "train", "train"])
    assert "c in test" in note["class-not-in-split"].message


@pytest.mark.parametrize("count", [3, 4, 5])
def test_few_large_groups_leave_no_split_empty(count: int) -> None:
    groups = np.repeat(np.arange(count), 8)
    splits = split(np.arange(len(groups)) % 2, groups, seed=0)
    assert {len(set(splits[groups == group])) for group in range(count)} == {1}
    assert set(splits) == {"train", "val", "test"}


def test_a_group_that_holds_a_class_alone_stays_in_training() -> None:
    groups = np.repeat(np.arange(3), 4)
    splits = split(np.repeat([0, 1, 1], 4), groups, seed=0)
    assert (splits[:4] == "train").all() and "train" in splits[4:]
