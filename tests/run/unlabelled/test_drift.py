"""`drift`: changed and foreign items are told, like ones are not, and what a run must keep for it."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image, ImageFilter

import striate
from striate.errors import DataError, RunError, UnknownNameError
from striate.run.folder import HELD_OUT, RunFolder
from striate.run.unlabelled.checks import differences
from striate.run.unlabelled.page import drift_page

NUM = 48
SHAPES = ("disc", "square", "stripes")


@pytest.fixture(scope="module")
def new(tmp_path_factory, draw):
    """A function: a folder of new pictures like those of `photos`, each changed by a function."""
    root = tmp_path_factory.mktemp("new")

    def make(name, change=lambda picture: picture):
        folder = root / name
        if not folder.is_dir():
            folder.mkdir()
            for number in range(NUM):
                size = (64, 64) if number % 4 else (96, 84)
                picture = change(Image.fromarray(draw(SHAPES[number % 3], 100 + number, *size)))
                if number % 5 == 0:
                    picture.resize((240, 280)).save(folder / f"{number:02d}.jpg", quality=95)
                else:
                    picture.save(folder / f"{number:02d}.png")
        return folder

    return make


@pytest.fixture(scope="module")
def alike(probe_run, new):
    return probe_run.drift(new("like"))


def test_like_items_are_told_alike(alike, probe_run):
    assert not alike.drifted
    assert alike.verdict.startswith("No drift")
    assert (alike.num_items, alike.num_skipped) == (NUM, 0)
    assert alike.num_known == sum(probe_run.report.split_sizes.values())
    assert {check.name for check in alike.checks} == {
        "features", "unknown", "predictions", "plain-figures",
    }  # fmt: skip
    assert not alike.differences
    assert [row.name for row in alike.classes] == list(probe_run.classes)
    assert sum(row.count for row in alike.classes) == NUM


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("blurred", lambda p: p.filter(ImageFilter.GaussianBlur(2)), "less sharp"),
        ("dark", lambda p: p.point(lambda value: value // 3), "darker"),
    ],
)
def test_changed_items_are_told_with_what_changed(probe_run, new, name, change, says):
    result = probe_run.drift(new(name, change))
    assert result.drifted
    assert says in result.verdict
    assert "striate" in result.verdict
    assert result.told_apart > 0.9


def test_the_time_of_a_change_is_told(probe_run, new, tmp_path):
    like, dark = new("like"), new("dark", lambda p: p.point(lambda value: value // 3))
    rows = [(path, f"2026-01-{1 + i // 2:02d}") for i, path in enumerate(sorted(like.iterdir()))]
    rows += [(path, f"2026-03-{1 + i // 2:02d}") for i, path in enumerate(sorted(dark.iterdir()))]
    order = np.random.default_rng(0).permutation(len(rows))
    lines = ["path,date", *(f"{rows[i][0]},{rows[i][1]}" for i in order)]
    (tmp_path / "new.csv").write_text("\n".join(lines))
    result = probe_run.drift(tmp_path / "new.csv")
    assert result.time == "date"
    assert [window.found for window in result.windows] == [False, False, True, True]
    assert result.windows[2].first == "2026-03-01"
    assert "2026-03-01" in result.verdict
    page = drift_page(probe_run, result)
    assert "Over time, by date" in page and "<polyline" in page
    assert not probe_run.drift(tmp_path / "new.csv", time="none").windows


def test_a_time_that_cannot_be_read_is_an_error(probe_run, new, tmp_path):
    paths = sorted(new("like").iterdir())[:2]
    (tmp_path / "new.csv").write_text(f"path,date\n{paths[0]},2026-01-01\n{paths[1]},soon\n")
    with pytest.raises(DataError, match=r"line 3: date 'soon' is neither a date nor a number"):
        probe_run.drift(tmp_path / "new.csv")
    with pytest.raises(UnknownNameError, match="taken"):
        probe_run.drift(tmp_path / "new.csv", time="taken")
    with pytest.raises(DataError, match="no column 'date'"):
        probe_run.drift(new("like"), time="date")


def test_one_item_gives_an_answer_that_says_how_little_it_is(probe_run, new):
    result = probe_run.drift(next(iter(sorted(new("like").iterdir()))))
    assert result.num_items == 1
    assert "only a strong change can be seen" in result.notes[0]


def test_the_document_has_all_that_the_page_has(alike, probe_run):
    document = alike.as_json()
    assert document["drifted"] is False
    assert {"checks", "classes", "windows", "strangest", "differences", "level"} <= set(document)
    page = drift_page(probe_run, alike)
    assert "No drift" in page and "By class" in page


def test_a_run_of_an_earlier_version_says_so(probe_run, tmp_path, new):
    folder = RunFolder(shutil.copytree(probe_run.folder.path, tmp_path / "run"))
    (folder.path / HELD_OUT).unlink()
    folder.write_record(folder.record())
    with pytest.raises(RunError, match="keeps no held-out items"):
        striate.load(folder.path).drift(new("like"))


def test_the_held_out_items_are_the_test_items_first(probe_run):
    kept = probe_run.held_out
    rows = [row for row in probe_run.folder.read_csv("predictions.csv") if row["split"] == "test"]
    assert len(kept.outputs) == len(kept.novelty) == len(rows)
    assert kept.novelty == pytest.approx([float(row["novelty"]) for row in rows], abs=1e-4)
    assert HELD_OUT in probe_run.folder.checksums()


@pytest.mark.slow
def test_of_a_trained_network_only_items_that_it_has_not_learnt_from(tuned_run):
    splits = tuned_run.report.split_sizes
    assert len(tuned_run.held_out.features) == splits["test"] + splits["val"]


def test_a_figure_without_an_exact_p_value_is_compared_without_a_warning():
    """Of 60 and 60 values SciPy has none for this difference."""
    known = np.r_[0, 0, np.arange(1, 59)] / 60
    found, p_value = differences({"length": known}, {"length": np.arange(1, 61) / 60})
    assert not found and p_value == pytest.approx(1)


def encoded(draw, number, change):
    """A new picture like those of `photos`, as the bytes of a file."""
    size = (64, 64) if number % 4 else (96, 84)
    picture = change(Image.fromarray(draw(SHAPES[number % 3], number, *size)))
    out = io.BytesIO()
    if number % 5 == 0:
        picture.resize((240, 280)).save(out, "JPEG", quality=95)
    else:
        picture.save(out, "PNG")
    return out.getvalue()


def photograph(picture):
    """A smooth picture of the same size and of about the same colours, of no known class."""
    small = picture.resize((4, 4), Image.Resampling.BOX)
    return small.resize(picture.size, Image.Resampling.BICUBIC)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        pytest.param(lambda p: p, 0, 2, id="like"),
        pytest.param(lambda p: p.filter(ImageFilter.GaussianBlur(2)), 19, 20, id="blurred"),
        pytest.param(lambda p: p.point(lambda value: value // 2), 19, 20, id="darkened"),
        pytest.param(photograph, 19, 20, id="foreign"),
    ],
)
def test_of_twenty_trials_changes_are_told_and_like_items_are_not(
    probe_run, draw, change, least, most
):
    flagged = [
        probe_run.drift(
            [encoded(draw, 1000 + 60 * trial + number, change) for number in range(60)], seed=trial
        ).drifted
        for trial in range(20)
    ]
    assert least <= sum(flagged) <= most
