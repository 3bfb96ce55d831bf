"""`striate predict`: lines, the CSV file, and errors."""

import csv
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from striate.cli.runs import _standard_input


@pytest.fixture
def standard_input(monkeypatch):
    """A function that puts bytes into standard input."""

    def put(content):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return put


def test_a_line_an_input(call, probe_run, photos):
    inputs = [photos / "disc" / "01.png", photos / "stripes" / "02.png"]
    code, out, _ = call("predict", probe_run.folder.path, *inputs)
    assert code == 0
    lines = out.splitlines()
    labels = [prediction.label for prediction in probe_run.predict(inputs)]
    for line, path, label in zip(lines, inputs, labels, strict=True):
        assert re.fullmatch(rf"{re.escape(str(path))}: {label} \d+\.\d%", line)


def test_top_shows_more_classes(call, probe_run, photos):
    path = photos / "disc" / "01.png"
    _, out, _ = call("predict", probe_run.folder.path, path, "--top", 3)
    names = re.findall(r"(disc|square|stripes) \d+\.\d%", out.removeprefix(f"{path}:"))
    assert names == [name for name, _ in probe_run.predict(path)[0].top(3)]


def test_csv_agrees_with_predictions_csv(call, probe_run, photos, tmp_path):
    target = tmp_path / "answers.csv"
    code, out, _ = call("predict", probe_run.folder.path, photos, "--csv", target)
    assert (code, out) == (0, f"60 predictions written to {target}\n")
    with target.open(newline="") as file:
        answers = {row["item"]: row for row in csv.DictReader(file)}
    assert len(answers) == 60
    for row in probe_run.folder.read_csv("predictions.csv"):
        answer = answers[str(photos / row["item"])]
        assert answer["prediction"] == row["prediction"]
        for name in [f"p_{name}" for name in probe_run.classes]:
            np.testing.assert_allclose(float(answer[name]), float(row[name]), atol=1e-5, rtol=0)


def test_no_csv_replaces_a_file_of_the_users(call, probe_run, photos, tmp_path):
    run, picture = probe_run.folder.path, photos / "disc" / "01.png"
    mine = tmp_path / "mine.csv"
    mine.write_text("path,notes\na.png,from the lab book\n")
    before = {path: path.read_bytes() for path in (mine, picture, run / "predictions.csv")}
    for target in before:
        code, _, err = call("predict", run, picture, "--csv", target)
        assert code == 2 and err.startswith(f"striate: --csv {target}: ") and err.count("\n") == 1
    for other in (photos, picture):
        assert call("predict", run, other, "--csv", photos / "disc" / "02.png")[0] == 2
    assert before == {path: path.read_bytes() for path in before}
    answers = tmp_path / "answers.csv"
    for _ in range(2):  # an earlier output is replaced
        assert call("predict", run, picture, "--csv", answers)[0] == 0


def test_an_array_file(call, probe_run, draw, tmp_path):
    np.save(tmp_path / "two.npy", np.stack([draw("disc", 1), draw("stripes", 2)]))
    code, out, _ = call("predict", probe_run.folder.path, tmp_path / "two.npy")
    assert code == 0
    assert [line.split(": ")[0] for line in out.splitlines()] == [
        f"{tmp_path / 'two.npy'}[{number}]" for number in range(2)
    ]


def test_one_bad_file_does_not_stop_the_others(call, probe_run, photos, tmp_path):
    (tmp_path / "bad.png").write_text("<html>")
    good = photos / "disc" / "01.png"
    code, out, err = call("predict", probe_run.folder.path, tmp_path / "bad.png", good)
    assert code == 2 and out.startswith(f"{good}: ") and out.count("\n") == 1
    assert err == f"cannot read {tmp_path / 'bad.png'}: not an image\n"
    code, out, err = call("predict", probe_run.folder.path, tmp_path / "bad.png", good, "--json")
    bad, other = json.loads(out)["predictions"]
    assert (code, err) == (2, "")
    assert bad == {"item": str(tmp_path / "bad.png"), "reason": "not an image"}
    assert other["label"] == "disc"
    table = tmp_path / "answers.csv"
    assert (
        call("predict", probe_run.folder.path, tmp_path / "bad.png", good, "--csv", table)[0] == 2
    )
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["prediction"] for row in rows] == ["", "disc"]


def test_json_holds_what_python_gives(call, probe_run, photos):
    path = photos / "disc" / "01.png"
    code, out, _ = call("predict", probe_run.folder.path, path, "--json")
    (found,) = json.loads(out)["predictions"]
    assert code == 0
    assert found == probe_run.predict(path)[0].to_json()
    assert set(found["probabilities"]) == set(probe_run.classes)


def test_standard_input_holds_one_file(call, probe_run, photos, standard_input):
    standard_input((photos / "disc" / "01.png").read_bytes())
    code, out, _ = call("predict", probe_run.folder.path, "-")
    assert code == 0 and out.count("\n") == 1
    assert ": disc " in out


def test_standard_input_holds_names(call, probe_run, photos, standard_input):
    names = [str(photos / "disc" / "01.png"), str(photos / "stripes" / "02.png")]
    standard_input("\n".join(names).encode() + b"\n\n")
    code, out, _ = call("predict", probe_run.folder.path, "-")
    assert code == 0
    assert [line.split(": ")[0] for line in out.splitlines()] == names


def test_standard_input_may_not_be_empty(refused, probe_run, standard_input):
    standard_input(b"\n")
    assert "standard input is empty" in refused("predict", probe_run.folder.path, "-")


def test_errors(refused, probe_run, photos, tmp_path):
    path = probe_run.folder.path
    image = photos / "disc" / "01.png"
    assert "file not found" in refused("predict", path, tmp_path / "missing.png")
    assert f"did you mean '{path}'?" in refused("predict", path.with_name("prob"), image)
    assert "--top" in refused("predict", path, image, "--top", 0)
    line = refused("predict", path, image, "--csv", tmp_path / "no" / "x.csv", code=3)
    assert str(tmp_path / "no" / "x.csv") in line


def test_a_newline_in_a_name_keeps_to_one_line(call, probe_run, photos, tmp_path):
    odd = tmp_path / "two\nlines.png"
    odd.write_bytes((photos / "disc" / "01.png").read_bytes())
    _, out, _ = call("predict", probe_run.folder.path, odd)
    assert out.count("\n") == 1 and r"two\nlines.png: " in out


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\ufeffa.png\r\nb c.png\r\n".encode(), ["a.png", "b c.png"]),  # of PowerShell
        (b"a.png\0new\nline.png\0", ["a.png", "new\nline.png"]),  # of find -print0
        (b"acc,gyro\n0.1,0.2\n", [b"acc,gyro\n0.1,0.2\n"]),
        (b"CCO\nC(C)N\n", ["CCO", "C(C)N"]),
        (b"\x89PNG\0", [b"\x89PNG\0"]),
    ],
)
def test_standard_input_as_other_programs_write_it(content, expected, standard_input):
    standard_input(content)
    assert _standard_input() == expected


def test_names_with_commas_are_names(standard_input, tmp_path):
    (tmp_path / "a,b.png").touch()
    standard_input(f"{tmp_path / 'a,b.png'}\n".encode())
    assert _standard_input() == [str(tmp_path / "a,b.png")]
