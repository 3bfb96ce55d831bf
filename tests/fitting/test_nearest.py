"""Beside the worst mistakes the report shows the nearest training items, those of the data page."""

import numpy as np
import pytest
from tests.fitting.test_kinds import blobs, waves, write_pair

import striate
from striate.explorer.data.session import NEIGHBOURS as ON_PAGE
from striate.explorer.data.session import DataSession
from striate.fitting.check import nearest
from striate.fitting.check.nearest import NEIGHBOURS

SCRATCH = {"method": "scratch", "epochs": 1, "model": "[conv8-relu]x2 - gap - fc2"}


def chance(folder, *, items=None, numbers=False):
    """Items whose answers nobody could know, so that there are mistakes."""
    items = waves(60)[0] if items is None else items
    rng = np.random.default_rng(0)
    drawn = rng.permutation(len(items)) % 2
    answers = rng.normal(size=len(items)) if numbers else np.where(drawn, "heads", "tails")
    return write_pair(folder, items, answers)


def check(run):
    """The nearest items of each mistake are those that the data page finds."""
    report = run.report
    page = DataSession(run)
    assert page.job.wait(120) is not None, page.job.state()
    number = {item.id: n for n, item in enumerate(page.items)}
    assert report.worst_mistakes
    found = page.nearest_of([number[mistake.id] for mistake in report.worst_mistakes])
    assert ON_PAGE >= NEIGHBOURS
    for mistake, expected in zip(report.worst_mistakes, found, strict=True):
        assert [near.id for near in mistake.nearest] == [e["name"] for e in expected[:NEIGHBOURS]]
        assert [near.similarity for near in mistake.nearest] == pytest.approx(
            [each["similarity"] for each in expected[:NEIGHBOURS]], abs=1e-3
        )
        for near in mistake.nearest:
            assert page.items[number[near.id]].split == "train"
            assert str(near.label) == page.items[number[near.id]].label
    return (run.folder.path / "report.html").read_text()


@pytest.mark.parametrize("options", [{"method": "probe"}, SCRATCH], ids=["kept", "computed"])
def test_they_are_those_of_the_page(options, tmp_path):
    run = striate.fit(chance(tmp_path / "data"), out=tmp_path / "run", **options)
    html = check(run)
    assert run.report.nearest_among == run.report.split_sizes["train"]
    assert "most like it to the model" in html and "that were compared" not in html
    assert html.count('<ul class="nearest"') == len(run.report.worst_mistakes)


def test_numbers_have_them_with_their_targets(tmp_path):
    data = chance(tmp_path / "data", numbers=True)
    run = striate.fit(data, out=tmp_path / "run", method="probe")
    near = run.report.worst_mistakes[0].nearest
    assert len(near) == NEIGHBOURS and all(type(each.label) is float for each in near)


def test_pictures_show_them_and_volumes_too(photos, tmp_path):
    data = chance(tmp_path / "data", items=blobs(24))
    html = check(striate.fit(data, out=tmp_path / "run", method="probe"))
    assert html.count("<li title=") == html.count('alt="">')


def test_of_folds_no_item_is_its_own_neighbour(tmp_path):
    run = striate.fit(chance(tmp_path / "data"), out=tmp_path / "run", method="probe", folds=2)
    assert run.report.worst_mistakes
    for mistake in run.report.worst_mistakes:
        assert len(mistake.nearest) == NEIGHBOURS
        assert mistake.id not in [near.id for near in mistake.nearest]


def test_where_all_would_take_long_a_part_is_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(nearest, "MAX_NUMBERS", 0)
    run = striate.fit(chance(tmp_path / "data"), out=tmp_path / "run", method="probe")
    assert run.report.nearest_among == 0 and not run.report.worst_mistakes[0].nearest
    width = run.model.num_features
    monkeypatch.setattr(nearest, "MAX_NUMBERS", 10 * width)
    run = striate.fit(chance(tmp_path / "again"), out=tmp_path / "part", method="probe")
    assert run.report.nearest_among == 10
    html = (run.folder.path / "report.html").read_text()
    assert "(of 10 that were compared)" in html
