import numpy as np
import pytest

from striate.data.prepare import join_groups
from striate.data.source import Item
from striate.errors import ArgumentError, DataError


def images_of(photographs, count=60):
    return {f"{n:02}.png": ("ab"[n % 2], p) for n, p in enumerate(photographs(count))}


def test_a_source_becomes_a_data_set(prepare_images, array_source, photographs):
    images = images_of(photographs)
    images["broken.png"] = ("a", None)
    images["copy.png"] = ("b", images["01.png"][1])
    dataset = prepare_images(array_source(images), 32, seed=1)
    assert dataset.classes == ("a", "b")
    assert len(dataset.items) == len(dataset.store) == len(dataset.sha256) == 61
    assert [skip.id for skip in dataset.skipped] == ["broken.png"]
    assert not dataset.user_split
    labels = [dataset.classes[k] for k in dataset.target.values]
    assert labels == [item.label for item in dataset.items]
    one, copy = dataset.ids(range(61)).index("01.png"), 60
    assert dataset.duplicate_groups[one] == dataset.duplicate_groups[copy]
    assert dataset.splits[one] == dataset.splits[copy]
    assert {note.code for note in dataset.notes} == {"duplicates", "few-test-items"}
    parts = [len(dataset.indices(name)) for name in ("train", "val", "test")]
    assert sum(parts) == 61
    assert min(parts) >= 8


def test_the_same_seed_gives_the_same_data_set(prepare_images, array_source, photographs):
    images = images_of(photographs)
    first, again, other = (
        prepare_images(array_source(images), 32, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.splits, again.splits)
    assert (first.splits != other.splits).any()


def test_leaks_across_the_users_split_are_kept_and_told(prepare_images, array_source, photographs):
    images = images_of(photographs)
    images["59.png"] = ("b", images["01.png"][1])
    items = [
        Item(id=name, label=label, split="test" if n >= 40 else "train")
        for n, (name, (label, _)) in enumerate(images.items())
    ]
    source = array_source(images, items=tuple(items))
    dataset = prepare_images(source, 32)
    assert dataset.user_split
    assert (dataset.splits[40:] == "test").all()
    assert set(dataset.splits[:40]) == {"train", "val"}
    (note,) = [n for n in dataset.notes if n.code == "duplicate-across-splits"]
    assert note.ids == ("01.png", "59.png")


def test_too_many_broken_files_are_refused(prepare_images, array_source, photographs):
    images = images_of(photographs)
    for name in ("00.png", "01.png", "02.png", "03.png"):
        images[name] = (images[name][0], None)
    with pytest.raises(DataError, match="empty file"):
        prepare_images(array_source(images), 32)


def test_items_without_a_label_are_left_out(prepare_images, array_source, photographs):
    images = images_of(photographs)
    images["00.png"] = (None, images["00.png"][1])
    dataset = prepare_images(array_source(images), 32)
    assert not dataset.skipped and "00.png" not in {item.id for item in dataset.items}
    (note,) = (note for note in dataset.notes if note.code == "unlabelled")
    assert note.ids == ("00.png",) and "1 items have no label" in note.message


def test_however_many_have_no_label_the_others_are_used(prepare_images, array_source, photographs):
    images = images_of(photographs)
    for name in list(images)[:20]:
        images[name] = (None, images[name][1])
    dataset = prepare_images(array_source(images), 32)
    assert len(dataset.items) == len(images) - 20


def test_bad_fractions_are_refused_before_anything_is_read(prepare_images, array_source, tmp_path):
    source = array_source({"a.png": ("a", None)})
    with pytest.raises(ArgumentError):
        prepare_images(source, 32, fractions=(1, 1, 1))
    assert not list(tmp_path.iterdir())


def test_copies_and_the_users_groups_are_joined():
    groups = [None, "x", "x", "y", None, "y"]
    items = tuple(Item(id=f"{n}", group=group) for n, group in enumerate(groups))
    copies = np.array([0, 0, 1, 2, 3, 4])
    # 0 is a copy of 1, which is of x, as 2 is; 3 and 5 are of y.
    assert join_groups(copies, items).tolist() == [0, 0, 0, 1, 2, 1]
    alone = tuple(Item(id=f"{n}") for n in range(6))
    assert join_groups(copies, alone).tolist() == copies.tolist()


def test_groups_that_the_users_split_tears_apart_are_told(
    prepare_images, array_source, photographs
):
    images = images_of(photographs, 24)
    items = [
        Item(id=name, label=label, split="test" if n >= 16 else "train", group=f"p{n // 5}")
        for n, (name, (label, _)) in enumerate(images.items())
    ]
    dataset = prepare_images(array_source(images, items=tuple(items)), 32)
    (note,) = (note for note in dataset.notes if note.code == "group-across-splits")
    assert "tears 1 group of 5 apart: p3 are" in note.message and len(note.ids) == 5
