"""Manifests whose columns other tools have named."""

import pytest
from PIL import Image

from striate.data.layouts import open_source
from striate.data.unlabelled import open_inputs
from striate.errors import DataError


@pytest.fixture
def manifest(tmp_path):
    """A function that writes a manifest of eight pictures with these columns."""

    def write(header, *columns):
        rows = []
        for number in range(8):
            Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
            fields = [f"{number}.png", *(column[number % len(column)] for column in columns)]
            rows.append(",".join(fields))
        path = tmp_path / "table.csv"
        path.write_text("\n".join([header, *rows]))
        return path

    return write


@pytest.mark.parametrize(
    "header", ["image,class", "filename,category", "Image_Path,Class_Name", "img_file,label"]
)
def test_other_names_of_path_and_label_are_understood_and_said(header, manifest):
    listing = open_source(manifest(header, ("cat", "dog"))).listing
    assert [(item.id, item.label) for item in listing.items][:2] == [
        ("0.png", "cat"),
        ("1.png", "dog"),
    ]
    (note,) = (note for note in listing.notes if note.code == "column-meaning")
    assert note.message.startswith(f"columns were read: {header.split(',')[0].lower()} as path")


def test_patients_are_groups_and_subsets_are_splits(manifest):
    path = manifest(
        "path,label,patient_id,subset", ("a", "b"), ("p1", "p1", "p2", "p2"), ("train", "test", "")
    )
    items = open_source(path).listing.items
    assert [item.group for item in items][:3] == ["p1", "p1", "p2"]
    assert [item.split for item in items][:3] == ["train", "test", None]


def test_a_column_whose_fields_are_no_splits_stays_what_it_is(manifest):
    items = open_source(manifest("path,label,set", ("a", "b"), ("red", "blue"))).listing.items
    assert {item.split for item in items} == {None}


def test_a_known_name_wins_and_two_other_names_are_refused(manifest):
    source = open_source(manifest("path,label,class", ("a", "b"), ("x", "y")))
    assert {item.label for item in source.listing.items} == {"a", "b"}
    with pytest.raises(DataError, match="has no column path"):
        open_source(manifest("image,filename,label", ("0.png",), ("a", "b")))


def test_a_table_of_what_is_to_be_predicted_is_understood_alike(manifest):
    source = open_inputs([str(manifest("filename"))], "image", 3)
    assert len(source.listing.items) == 8


def test_a_table_of_series_is_told_as_one_and_not_listed_whole(tmp_path):
    names = [f"t{number}" for number in range(100)]
    (tmp_path / "wide.csv").write_text(f"label,{','.join(names)}\n1,{','.join(['0.5'] * 100)}\n")
    with pytest.raises(DataError, match="and 89 more; if each row is a series, save them as X"):
        open_source(tmp_path / "wide.csv")
