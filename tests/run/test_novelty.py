"""Novelty in a run: what the fit wrote is what the run says, and a run may have none."""

import shutil

import numpy as np
import pytest

import striate
from striate.errors import RunError
from striate.run.folder import CHECKSUMS, NOVELTY, RunFolder


@pytest.fixture(scope="module")
def rows(probe_run):
    return [row for row in probe_run.folder.read_csv("predictions.csv") if row["split"] == "test"]


@pytest.fixture
def copied(probe_run, tmp_path):
    return RunFolder(shutil.copytree(probe_run.folder.path, tmp_path / "run"))


def test_a_run_says_of_a_file_what_the_fit_wrote_of_it(probe_run, rows, photos):
    found = probe_run.predict([photos / row["item"] for row in rows])
    for prediction, row in zip(found, rows, strict=True):
        assert prediction.novelty == pytest.approx(float(row["novelty"]), abs=1e-3)
        assert str(prediction.unknown).lower() == row["unknown"]
        assert prediction.unknown == (prediction.novelty > 0)


def test_the_report_counts_the_unknown_test_items(probe_run, rows):
    figures = probe_run.report.novelty
    flagged = [row for row in rows if row["unknown"] == "true"]
    assert figures.flagged.value == len(flagged) / len(rows)
    assert set(figures.strangest) == {row["item"] for row in flagged}
    splits = probe_run.report.split_sizes
    assert figures.num_items == splits["train"] + splits["val"]
    assert figures.false_alarms == 0.05


def test_a_line_of_an_unknown_item_says_so(probe_run):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (prediction,) = probe_run.predict(noise)
    assert prediction.novelty is not None
    assert ("unknown" in prediction.as_text()) == prediction.unknown
    assert prediction.to_json()["unknown"] is prediction.unknown


def test_a_run_without_the_file_predicts_as_before(copied, rows, photos):
    (copied.path / NOVELTY).unlink()
    copied.write_record(copied.record())
    run = striate.load(copied.path)
    assert run.novelty_detector is None
    (prediction,) = run.predict(photos / rows[0]["item"])
    assert (prediction.novelty, prediction.unknown) == (None, None)
    assert prediction.label == rows[0]["prediction"]
    assert "novelty" not in prediction.to_json()


def test_a_damaged_file_is_an_error_that_names_it(copied, photos, rows):
    (copied.path / NOVELTY).write_bytes(b"no tensors")
    (copied.path / CHECKSUMS).unlink()
    with pytest.warns(striate.errors.RunWarning):
        run = striate.load(copied.path)
    with pytest.raises(RunError, match=NOVELTY):
        run.predict(photos / rows[0]["item"])
