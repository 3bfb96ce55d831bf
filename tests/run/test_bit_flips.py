"""Faults 64: no bit of what a run leaves, or goes on from, changes without a word."""

import json
import random
import shutil
import warnings
from functools import partial

import numpy as np
import pytest
import torch

import striate
from striate.data.stores.pixels import PixelStore
from striate.data.stores.store import Built
from striate.errors import RunError, RunWarning
from striate.fitting.steps import Steps
from striate.run.checksums import CHECKSUMS, checksum_lines, read_checksums
from striate.run.folder import FILES, MODEL, NOVELTY, PREDICTIONS, REPORT_HTML, RunFolder
from striate.train.checkpoint import CheckpointStore, State
from striate.transfer.frozen import _is_whole, _write

QUICK, ALL = 4, 1000


@pytest.fixture(
    params=[QUICK, pytest.param(ALL, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def flips(request):
    """A function: flips one random bit of a file after the other, and mends it again."""

    def each(path):
        whole, draws = path.read_bytes(), random.Random(path.name)
        for _ in range(request.param):
            place = draws.randrange(8 * len(whole))
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << place % 8
            path.write_bytes(damaged)
            yield place
        path.write_bytes(whole)

    return each


@pytest.fixture
def copied(tuned_run, tmp_path):
    """A copy of a finished run, with a file on novelty, for which its items are too few."""
    folder = RunFolder(shutil.copytree(tuned_run.folder.path, tmp_path / "run"))
    folder.write_arrays(NOVELTY, {"numbers": np.arange(3.0)})
    folder.write_record(folder.record())
    return folder.path


def said_of(path, weights=True):
    """What is said of a run when it is loaded, and its weights; an empty text for nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run = striate.load(path, device="cpu")
            if weights:
                run.predictor  # noqa: B018
        except RunError as error:
            return str(error)
    return "\n".join(str(one.message) for one in caught)


@pytest.mark.parametrize("name", [*FILES, CHECKSUMS])
def test_fault_64_each_flipped_bit_of_a_run_is_told_in_a_line_with_the_files_name(
    name, copied, flips
):
    assert said_of(copied) == ""
    for place in flips(copied / name):
        said = said_of(copied, weights=name == MODEL)
        assert str(copied / name) in said, (name, place)
        assert len(said.splitlines()) == 1


def test_what_is_read_of_a_changed_file_is_an_error_that_says_how_to_go_on(copied):
    text = (copied / PREDICTIONS).read_text()
    (copied / PREDICTIONS).write_text(text.replace("disc", "disk", 1))
    with pytest.warns(RunWarning, match=r"predictions\.csv' is not what the run wrote"):
        run = striate.load(copied, device="cpu")
    with pytest.raises(RunError, match=f"restore it, or delete {CHECKSUMS} beside it"):
        run.folder.read_csv(PREDICTIONS)
    (copied / CHECKSUMS).unlink()
    with pytest.warns(RunWarning, match=f"has no {CHECKSUMS}"):
        run = striate.load(copied, device="cpu")
    assert run.folder.read_csv(PREDICTIONS)


def test_a_missing_file_is_told(copied):
    (copied / REPORT_HTML).unlink()
    with pytest.warns(RunWarning, match=r"report\.html' is missing"):
        striate.load(copied)


def test_a_run_of_an_earlier_version_loads_with_a_note(copied):
    (copied / CHECKSUMS).unlink()
    assert "damage to its files would not be noticed" in said_of(copied)


def test_other_programs_can_check_a_run(tuned_run):
    lines = (tuned_run.folder.path / CHECKSUMS).read_text().splitlines()
    assert [line.split("  ")[1] for line in lines[:-1]] == sorted({*FILES} - {NOVELTY})
    assert lines[-1].startswith("#")  # a comment for sha256sum


def test_checksums_are_what_was_written_or_none():
    content = checksum_lines({"b": "0" * 64, "a": "f" * 64})
    assert read_checksums(content) == {"a": "f" * 64, "b": "0" * 64}
    assert read_checksums(content[:-1]) is read_checksums(content + b"\n") is None
    assert read_checksums(b"") is None


def test_fault_64_each_flipped_bit_of_the_steps_is_told(tmp_path, flips):
    folder = RunFolder.create(tmp_path)
    options = {"seed": 0, "time": 1e-05, "name": "é"}
    Steps(folder, options, resume=False).step("epochs", lambda: 7)
    path = tmp_path / "checkpoints" / "steps.json"
    for _ in flips(path):
        with pytest.raises(RunError, match=r"steps\.json' is not what the fit wrote; start again"):
            Steps(folder, options, resume=True)
    assert Steps(folder, options, resume=True).step("epochs", lambda: 8) == 7
    assert json.loads(path.read_text())["steps"] == {"epochs": 7}


def test_fault_64_each_flipped_bit_of_features_is_told_and_made_again(tmp_path, flips):
    folder, told, value = RunFolder.create(tmp_path), [], {"x": torch.arange(30.0)}
    Steps(folder, {}, resume=False).tensors("features", lambda: value)
    for _ in flips(tmp_path / "checkpoints" / "features.safetensors"):
        told.clear()
        again = Steps(folder, {}, resume=True, say=told.append).tensors("features", lambda: value)
        assert torch.equal(again["x"], value["x"])
        assert len(told) == 1
        assert "features.safetensors is not what the fit wrote: made again" in told[0]


def test_fault_64_each_flipped_bit_of_a_checkpoint_is_told(tmp_path, flips):
    told = []
    store = CheckpointStore(tmp_path, say=told.append)
    for number in range(2):
        store.save(State(tensors={"x": torch.full((20,), float(number))}, values={"n": number}))
    last = max(tmp_path.glob("*.safetensors"))
    for _ in flips(last):
        told.clear()
        found = CheckpointStore(tmp_path, say=told.append).load_latest()
        assert found.values == {"n": 0}
        assert told == [f"checkpoint {last}: checksum mismatch; trying the one before"]


def test_fault_64_each_flipped_bit_of_the_cache_of_pixels_is_told(
    array_source, photographs, tmp_path, flips
):
    images = {f"{number}": ("a", image) for number, image in enumerate(photographs(3))}
    source = array_source(images)
    build = partial(PixelStore.build, source, source.listing.items, 8, tmp_path)
    built: Built = build()
    for _ in flips(built.store.path):
        with pytest.raises(striate.errors.DataError, match="cache") as caught:
            PixelStore(built.store.path)
        assert str(built.store.path) in str(caught.value)


def test_fault_64_each_flipped_bit_of_stored_maps_is_told(tmp_path, flips):
    path = tmp_path / "maps.bin"
    parts = [torch.randn(2, 3, 5).bfloat16(), torch.randn(1, 3, 5).bfloat16()]
    _write(path, parts, 90)
    assert _is_whole(path, 90)
    for _ in flips(path):
        assert not _is_whole(path, 90)


def test_fault_64_the_list_of_the_data_is_checked_on_resume(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("striate.fitting.fit.methods_to_try", _stop)
    options = {"method": "probe", "image_size": 32, "device": "cpu", "out": tmp_path / "run"}
    for _ in range(2):
        with pytest.raises(striate.errors.StoppedError):
            striate.fit(photos, **options, resume=True)
    path = tmp_path / "run" / "data.lock.json"
    path.write_text(path.read_text().replace('"name"', '"nama"'))
    with pytest.raises(RunError, match=r"data\.lock\.json' is not what the fit wrote; restore it"):
        striate.fit(photos, **options, resume=True)


def _stop(context):
    raise striate.errors.StoppedError
