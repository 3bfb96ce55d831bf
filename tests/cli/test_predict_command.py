"""`striate predict`: lines, the CSV file, and errors."""

import csv
import re

import numpy as np


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
        for name in probe_run.classes:
            np.testing.assert_allclose(float(answer[name]), float(row[name]), atol=1e-5, rtol=0)


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
    assert code == 0 and out.startswith(f"{good}: ") and out.count("\n") == 1
    assert err == f"skipped {tmp_path / 'bad.png'}: not an image\n"


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
