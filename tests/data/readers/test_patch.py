"""Corrections of labels from a table."""

import numpy as np
import pytest

from striate.data.layouts import ArraySource
from striate.data.readers.tables.patch import patched
from striate.errors import DataError
from striate.files import csv_text

IMAGES = np.arange(6 * 64, dtype=np.uint8).reshape(6, 8, 8)


@pytest.fixture
def source():
    return ArraySource(IMAGES, labels=list("aabbcc"))


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "labels-to-check.csv"
        path.write_text(text)
        return path

    return write


def test_labels_are_corrected_and_items_left_out(source, table):
    changed = patched(source, table("id,label,was\n1,b,a\n4,,c\n"))
    labels = {item.id: item.label for item in changed.listing.items}
    assert labels == {"0": "a", "1": "b", "2": "b", "3": "b", "5": "c"}
    assert changed.listing.notes[-1].message.startswith("1 labels corrected and 1 items left out")
    assert [item.label for item in source.listing.items] == list("aabbcc")
    last = changed.listing.items[-1]
    assert np.array_equal(changed.read(last).array, source.read(last).array)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,label\n9,b\n", "1 items are not in the data: 9"),
        ("id,label\n1,b\n1,c\n", "1 items are named twice: 1"),
        ("item,label\n1,b\n", "no column id"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(text, said, source, table):
    with pytest.raises(DataError, match=said):
        patched(source, table(text))


def test_names_and_labels_that_were_escaped_are_taken_back(table):
    source = ArraySource(IMAGES, labels=["-1", "-1", "=x", "=x", "'tis", "'tis"])
    rows = [("0", "=x"), ("2", "-1"), ("4", "-1"), ("5", "'tis")]
    changed = patched(source, table(csv_text(["id", "label"], rows)))
    labels = [item.label for item in changed.listing.items]
    assert labels == ["=x", "-1", "-1", "=x", "-1", "'tis"]
    by_hand = patched(source, table("id,label\n0,'tis\n"))
    assert by_hand.listing.items[0].label == "'tis"
