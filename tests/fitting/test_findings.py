"""What `check` finds, in the report of every fit, and what it may cost."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import striate
from striate.fitting.check import in_fit
from striate.fitting.check.examine import MEASURED_ITEMS, item_traits
from striate.progress import Progress


@pytest.fixture(scope="module")
def flawed(photos, tmp_path_factory):
    """The pictures with a blank one, a copy in another class, and borders that give a class away."""
    root = tmp_path_factory.mktemp("data") / "photos"
    shutil.copytree(photos, root)
    Image.new("RGB", (64, 64), (90, 90, 90)).save(root / "disc" / "blank.png")
    shutil.copy(root / "disc" / "01.png", root / "square" / "copy.png")
    for path in (root / "stripes").iterdir():
        pixels = np.array(Image.open(path).convert("RGB"))
        pixels[[0, -1]] = pixels[:, [0, -1]] = 255
        Image.fromarray(pixels).save(path)
    return root


@pytest.fixture(scope="module")
def flawed_run(flawed, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "flawed"
    return striate.fit(flawed, out=out, method="probe", image_size=64, device="cpu")


def test_findings_are_in_the_report_with_what_to_do(flawed_run, flawed):
    issues = {issue.code: issue for issue in flawed_run.report.data_issues}
    assert issues["blank"].ids == ("disc/blank.png",)
    assert {"disc/01.png", "square/copy.png"} <= set(issues["label-conflict"].ids)
    given_away = [
        issue.message for issue in flawed_run.report.data_issues if issue.code == "gives-class-away"
    ]
    said = "The brightness of the border alone tells the class stripes"
    assert any(said in message for message in given_away)
    told = ("blank", "label-conflict", "gives-class-away", "few-test-items", "duplicates")
    assert all(issues[code].advice for code in told)
    page = (flawed_run.folder.path / "report.html").read_text()
    assert f"What to do: {issues['blank'].advice}" in page
    assert "</strong> " in page and not re.search(r"</strong> [a-z]", page)
    found = flawed_run.model_card().partition("What was found in the data:")[2].partition("##")[0]
    assert "\n- " in found and not re.search(r"\n- [a-z]", found)
    assert flawed_run.report.data_command == (
        f"striate check {flawed} --html findings.html --patch-out patch.csv"
    )


def test_clean_pictures_have_no_faults(probe_run):
    codes = {issue.code for issue in probe_run.report.data_issues}
    assert not codes & {"blank", "too-dark", "blurred", "silent", "not-examined"}


def test_measuring_that_would_take_too_long_is_left_out(monkeypatch):
    measured = []
    items = [SimpleNamespace(id=str(n)) for n in range(10 * MEASURED_ITEMS)]
    dataset = SimpleNamespace(items=items, store=items)
    source = SimpleNamespace(path=lambda item: None)

    def measure(reading, path):
        measured.append(reading)
        return {"brightness": 0.5}

    kind = SimpleNamespace(measured=measure)
    quiet = Progress(quiet=True)
    assert item_traits(source, kind, dataset, quiet, seconds=0.0) is None
    assert len(measured) == MEASURED_ITEMS
    traits = item_traits(source, kind, dataset, quiet, seconds=60.0)
    assert traits["brightness"].tolist() == [0.5] * len(items)

    context = SimpleNamespace(
        finishing=False,
        seconds_left=lambda: 1000.0,
        options=SimpleNamespace(seconds=0.0, seed=0),
        source=source, kind=kind, dataset=dataset, progress=quiet,
    )  # fmt: skip
    monkeypatch.setattr(in_fit, "slice_report", lambda context, *of_items: None)
    monkeypatch.setattr(in_fit, "border_followed", lambda context, *of_model: ((), ()))
    found = in_fit.found_in_fit(context, None, None, None, None)
    assert [note.code for note in found.notes] == ["not-examined"]
    assert "striate check" in found.notes[0].advice
