import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import OptionError, RunError, StoppedError, StorageError
from striate.files import csv_text, size_text, write_atomic
from striate.run.folder import RunFolder, next_folder


def test_json_round_trip_and_nan_is_refused(tmp_path):
    folder = RunFolder.create(tmp_path / "a" / "run")
    folder.write_json("x.json", {"é": [1, None]})
    assert folder.read_json("x.json") == {"é": [1, None]}
    with pytest.raises(ValueError, match="Out of range"):
        folder.write_json("x.json", float("nan"))
    assert folder.read_json("x.json") == {"é": [1, None]}
    assert sorted(p.name for p in folder.path.iterdir()) == [".striate", "x.json"]


def test_a_folder_with_the_users_files_is_no_run_folder(tmp_path):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(RunError, match=r"no run's, as report.html; choose a new folder"):
        RunFolder.create(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html"]
    RunFolder.create(tmp_path / "new").write_json("x.json", 1)
    RunFolder.create(tmp_path / "new")  # it is known again
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "data.lock.json").write_text("{}")
    RunFolder.create(tmp_path / "old")


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), min_size=2, max_size=2
    )
)
def test_csv_round_trips_any_text(tmp_path_factory, cells):
    folder = RunFolder.create(tmp_path_factory.mktemp("run"))
    folder.write_csv("x.csv", ["a", "b"], [cells])
    assert folder.read_csv("x.csv") == [dict(zip("ab", cells, strict=True))]


@pytest.mark.parametrize("cell", ["=cmd()", "+1", "-1", "@SUM(A1)", "\tx"])
def test_fault_28_no_cell_is_a_formula(cell):
    line = csv_text(["x"], [[cell]]).splitlines()[1]
    assert line.lstrip('"').startswith("'")


def test_fault_26_names_that_are_not_utf_8_are_written_readably():
    assert "a\\udcff.png" in csv_text(["x"], [["a\udcff.png"]])


def test_fault_61_disk_full_leaves_the_old_file_and_says_needs_and_free(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_atomic(path, b"old")

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"needs 3 B, .* free"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_fault_62_output_not_writable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write to the run folder .*`out=`"):
        RunFolder.create(tmp_path / "file" / "run")


def test_fault_66_two_runs_in_one_folder(tmp_path):
    folder = RunFolder.create(tmp_path)
    with folder.locked():
        code = (
            "import sys, pathlib; from striate.run.folder import RunFolder\n"
            "with RunFolder(pathlib.Path(sys.argv[1])).locked(): pass"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
        )
    assert f"in use by process {os.getpid()}" in done.stderr
    with folder.locked():
        pass


def test_a_refused_fit_takes_its_new_folder_back(tmp_path):
    with pytest.raises(OptionError), RunFolder.begun(tmp_path / "runs" / "a-1") as folder:
        folder.write_json("data.lock.json", {})
        raise OptionError("method", "kernel")
    assert list(tmp_path.iterdir()) == []
    given = tmp_path / "given"
    given.mkdir()
    with pytest.raises(OptionError), RunFolder.begun(given) as folder:
        (folder.path / "checkpoints").mkdir()
        raise OptionError("method", "kernel")
    assert list(given.iterdir()) == []


@pytest.mark.parametrize("error", [StoppedError(), ValueError("a fault"), StorageError("full")])
def test_only_a_refused_fit_takes_its_folder_back(error, tmp_path):
    with pytest.raises(type(error)), RunFolder.begun(tmp_path / "run") as folder:
        folder.write_json("x.json", 1)
        raise error
    assert (tmp_path / "run" / "x.json").is_file()


@pytest.mark.parametrize("name", ["checkpoints/features.safetensors", "run.json"])
def test_what_was_computed_outlives_a_refusal(name, tmp_path):
    with pytest.raises(RunError), RunFolder.begun(tmp_path / "run") as folder:
        (folder.path / "checkpoints").mkdir()
        (folder.path / name).touch()
        raise RunError("the processes see different data")
    assert (tmp_path / "run" / name).is_file()
    with pytest.raises(RunError), RunFolder.begun(tmp_path / "run"):
        raise RunError("of other data")
    assert (tmp_path / "run" / name).is_file()


def test_a_missing_run_suggests_the_nearest(tmp_path):
    (tmp_path / "photos-1").mkdir()
    (tmp_path / "photos-1" / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"did you mean .*photos-1"):
        RunFolder.open(tmp_path / "photos-2")


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(RunError, match="`resume=True`"):
        RunFolder.open(tmp_path)


def test_a_damaged_record_names_the_file_and_the_field(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"format": "x"}))
    with pytest.raises(RunError, match=r"run\.json.*format"):
        RunFolder.open(tmp_path).record()


def test_next_folder_counts_on(tmp_path):
    assert next_folder(tmp_path, "a").name == "a-1"
    (tmp_path / "a-1").mkdir()
    assert next_folder(tmp_path, "a").name == "a-2"


def test_size_text():
    assert [size_text(n) for n in (0, 1500, 2.5e12)] == ["0 B", "1.5 kB", "2.5 TB"]


def test_arrays_come_back_whatever_their_order_in_memory(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    rows = np.arange(6, dtype=np.int8).reshape(2, 3)
    folder.write_arrays("some.safetensors", {"rows": rows, "columns": np.asfortranarray(rows)})
    found = folder.read_arrays("some.safetensors")
    np.testing.assert_array_equal(found["rows"], rows)
    np.testing.assert_array_equal(found["columns"], rows)
