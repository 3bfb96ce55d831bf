"""Corrected labels: a table that a fit takes, and never one of the user's files."""

import pytest

from striate.data.layouts.layout import open_source
from striate.data.readers.tables.patch import patched
from striate.data.snapshot import from_json
from striate.errors import ArgumentError, OptionError
from striate.explorer.data.corrections import Corrections


@pytest.fixture(scope="module")
def items(probe_run):
    return from_json(probe_run.folder.read_json("data.lock.json")).items


def labels(photos, path):
    return {i.id: i.label for i in patched(open_source(str(photos)), path).listing.items}


def test_a_fit_takes_what_was_corrected(probe_run, items, photos, tmp_path):
    path = tmp_path / "patch.csv"
    corrections = Corrections(probe_run, items, path)
    before = {item.id: item.label for item in open_source(str(photos)).listing.items}
    other = next(name for name in probe_run.classes if name != items[0].label)
    corrections.correct(0, other)
    corrections.correct(1, "")
    corrections.correct(2, other)
    document = corrections.correct(2, None)
    assert [(e["item"], e["label"]) for e in document["corrections"]] == [(0, other), (1, "")]
    assert document["path"] == str(path)
    expected = {**before, items[0].id: other}
    del expected[items[1].id]
    assert labels(photos, path) == expected
    again = Corrections(probe_run, items, path)
    assert again.document() == document
    again.correct(3, "")
    assert items[0].id in path.read_text() and len(labels(photos, path)) == len(before) - 2


@pytest.mark.parametrize(
    ("number", "label", "message"),
    [(-1, "disc", "item -1"), (9999, "", "item 9999"), (0, "no class", "knows no such class")],
)
def test_what_is_no_correction_is_refused(probe_run, items, tmp_path, number, label, message):
    corrections = Corrections(probe_run, items, tmp_path / "patch.csv")
    with pytest.raises(ArgumentError, match=message):
        corrections.correct(number, label)
    assert not (tmp_path / "patch.csv").exists()


def test_without_a_path_nothing_is_saved(probe_run, items):
    corrections = Corrections(probe_run, items)
    assert corrections.document() == {"path": None, "corrections": []}
    with pytest.raises(ArgumentError, match="patch_out"):
        corrections.correct(0, "")


def test_no_file_of_the_users_is_replaced(probe_run, items, photos, tmp_path):
    notes = tmp_path / "notes.csv"
    notes.write_text("id,label\na,b\n")
    picture = next(photos.rglob("*.png"))
    for path in (notes, picture, probe_run.folder.path / "predictions.csv"):
        content = path.read_bytes()
        with pytest.raises(OptionError, match="patch_out"):
            Corrections(probe_run, items, path)
        assert path.read_bytes() == content
    with pytest.raises(OptionError, match="patch_out"):
        Corrections(probe_run, items, tmp_path)
