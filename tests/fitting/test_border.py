"""A mark in a corner is told of in the report and beside each explanation."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.explorer.subjects.run_subject import RunSubject
from striate.fitting.check.border import border_followed
from striate.progress import Progress


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """Noise of two classes, one of which has a light square in the top left corner."""
    root = tmp_path_factory.mktemp("data") / "marked"
    rng = np.random.default_rng(0)
    for name in ("with", "without"):
        (root / name).mkdir(parents=True)
        for number in range(30):
            pixels = rng.integers(0, 160, (48, 48, 3)).astype(np.uint8)
            if name == "with":
                pixels[2:10, 2:10] = 250
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def marked_run(marked, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "marked"
    return striate.fit(marked, out=out, method="probe", time="1h", image_size=48, device="cpu")


def test_the_report_says_what_the_model_follows_and_what_to_do(marked_run):
    told = {one.label: one for one in marked_run.report.followed}
    assert told["with"].part == "top left corner"
    assert told["with"].share > 0.5 > told["with"].otherwise + 0.25
    assert told["with"].num_turned > told["with"].num_items / 2 > 6
    issues = [one for one in marked_run.report.data_issues if one.code == "follows-border"]
    assert issues and all("top left corner" in one.message for one in issues)
    page = (marked_run.folder.path / "report.html").read_text()
    assert "The model follows what is in the top left corner" in page
    assert "crop or cover it in all images and fit again" in page


def test_explanations_say_it_too(marked_run, marked, capsys):
    (found,) = marked_run.explain(marked / "with" / "0.png", progress=Progress())
    assert "the model follows what is in the top left corner" in found.check
    assert found.check in found.as_line()
    assert "crop or cover it in all images" in "".join(capsys.readouterr())
    assert any("top left corner" in note for note in RunSubject(marked_run.folder.path).notes)


def test_clean_pictures_are_silent(probe_run):
    assert probe_run.report.followed == ()
    assert "follows-border" not in {issue.code for issue in probe_run.report.data_issues}


def context_of(num_items, classes=2, per_second=1e6):
    labels = np.arange(num_items) % classes
    store = SimpleNamespace(take=lambda indices: indices)
    dataset = SimpleNamespace(
        classes=tuple("abcdefgh"[:classes]),
        store=store,
        indices=lambda part: np.arange(num_items) if part == "test" else np.arange(0),
    )
    return SimpleNamespace(
        dataset=dataset,
        kind=SimpleNamespace(has_border=True),
        objective=SimpleNamespace(
            values=labels, membership=lambda indices: labels[indices, None] == np.arange(classes)
        ),
        options=SimpleNamespace(seed=0),
        predicted_per_second=per_second,
    )


def test_what_is_not_looked_at_is_said():
    few, slow = context_of(20), context_of(60, per_second=2.0)
    candidate = SimpleNamespace(
        predictor=SimpleNamespace(
            inputs=SimpleNamespace(
                batch_size=8, inputs=lambda read: torch.zeros(len(read), 1, 8, 8)
            ),
            answers=lambda some: torch.tensor([[0.0, 1.0]]).expand(len(some), 2),
        ),
        calibration=SimpleNamespace(answers=lambda outputs: outputs),
    )
    for context, why in ((few, "it takes 14 items of a class"), (slow, "no time for 60")):
        found, (note,) = border_followed(context, candidate, 1.0)
        assert found == () and why in note.message and note.code == "border-not-examined"
    few.kind.has_border = False
    assert border_followed(few, candidate, 1.0) == ((), ())
