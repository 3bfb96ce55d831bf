"""`striate export` and `striate engines` as a user types them."""

import json
import shutil

from striate.cli.main import run
from striate.engines import load_engines


def test_a_file_is_written_into_the_run_folder(probe_run, tmp_path, capsys):
    folder = shutil.copytree(probe_run.folder.path, tmp_path / "run")
    assert run(["export", str(folder), "--to", "pt2"]) == 0
    text = capsys.readouterr().out
    assert str(folder / "export" / "model.pt2") in text
    assert "9 of 9 test items answered the same" in text
    assert "input pixels: uint8 (items, 3, 64, 64)" in text
    assert run(["export", str(folder), "--to", "pt2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == [
        str(folder / "export" / f"model.pt2{end}") for end in ("", ".json")
    ]
    assert document["check"]["same"] == document["check"]["count"] == 9


def test_faults_are_told_in_a_line(probe_run, tmp_path, capsys):
    assert run(["export", str(tmp_path), "--to", "onnx"]) == 2
    assert run(["export", str(probe_run.folder.path), "--to", "onxx"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "no finished run" in first and "did you mean 'onnx'?" in second


def test_engines_are_listed(capsys):
    assert run(["engines"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in load_engines().names())
