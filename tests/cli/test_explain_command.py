"""`striate explain`: pictures, lines, and errors."""

import re

import numpy as np
import pytest
from PIL import Image

from striate.explain import EXPLANATIONS
from striate.explain.drawing import MARGIN

COSTLY = ("integrated-gradients", "occlusion")  # many passes for a picture


@pytest.fixture
def explain(call, probe_run, tmp_path):
    return lambda *arguments: call("explain", probe_run.folder.path, *arguments, "--out", tmp_path)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(m, marks=[pytest.mark.slow] if m in COSTLY else [])
        for m in EXPLANATIONS.names()
    ],
)
def test_a_picture_and_a_line_an_input(method, explain, probe_run, photos, tmp_path):
    inputs = [photos / "disc" / "01.png", photos / "stripes" / "01.png"]
    code, out, err = explain(*inputs, "--method", method)
    assert code == 0 and "skipped" not in err
    answers = [prediction.label for prediction in probe_run.predict(inputs)]
    names = [f"01-{method}.png", f"01-{method}-2.png"]
    for line, path, answer, name in zip(out.splitlines(), inputs, answers, names, strict=True):
        place = (
            re.escape(f"{path}: {answer}")
            + rf" \d+\.\d%; evidence for {answer} \((checked: |no evidence)[^)]*\): "
            + re.escape(str(tmp_path / name))
        )
        assert re.fullmatch(place, line)
        with Image.open(tmp_path / name) as picture:
            assert picture.width == 2 * 256 + 3 * MARGIN
            page = np.asarray(picture).astype(int)
        left, right = (page[MARGIN:, start:][:256, :256] for start in (MARGIN, 256 + 2 * MARGIN))
        with Image.open(path) as original:
            assert np.array_equal(left[::4, ::4], np.asarray(original))
        assert np.ptp(right, axis=-1).max() > 60  # the heat is in colour
        below = page[256 + 2 * MARGIN :]
        assert len(below) > 80 and np.ptp(below, axis=-1).max() > 60  # caption and colour scale
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([".striate", *names])


def test_another_class_can_be_asked_for(explain, photos, tmp_path):
    one, method = photos / "disc" / "01.png", ("--method", "gradcam")
    _, out, _ = explain(one, *method, "--target", "stripes")
    assert re.search(rf"; evidence for stripes \(.*\): {tmp_path / '01-gradcam.png'}", out)
    of_stripes = (tmp_path / "01-gradcam.png").read_bytes()
    explain(one, *method, "--target", "disc")
    assert (tmp_path / "01-gradcam.png").read_bytes() != of_stripes


def test_items_of_an_array_and_odd_names(explain, draw, photos, tmp_path):
    np.save(tmp_path / "two.npy", np.stack([draw("disc", 1), draw("stripes", 2)]))
    odd = tmp_path / "-a <b>\n.png"
    odd.write_bytes((photos / "disc" / "01.png").read_bytes())
    code, out, _ = explain(tmp_path / "two.npy", f"{odd}", "--method", "gradcam")
    assert code == 0 and out.count("\n") == 3
    names = {path.name for path in tmp_path.glob("*-gradcam.png")}
    assert names == {"two.npy_0-gradcam.png", "two.npy_1-gradcam.png", "a_b-gradcam.png"}


def test_one_bad_file_does_not_stop_the_others(explain, photos, tmp_path):
    (tmp_path / "bad.png").write_text("<html>")
    one = photos / "disc" / "01.png"
    code, out, err = explain(tmp_path / "bad.png", one, "--method", "gradcam")
    assert code == 0 and out.count("\n") == 1
    assert err == f"skipped {tmp_path / 'bad.png'}: not an image\n"


def test_errors(refused, probe_run, photos, tmp_path):
    path, image = probe_run.folder.path, photos / "disc" / "01.png"
    (tmp_path / "bad.png").write_bytes(b"")
    assert "file not found" in refused("explain", path, tmp_path / "missing.png")
    assert f"did you mean '{path}'?" in refused("explain", path.with_name("prob"), image)
    assert "did you mean 'gradcam'?" in refused("explain", path, image, "--method", "grad-cam")
    assert "did you mean 'disc'?" in refused("explain", path, image, "--target", "disk")
    out = ("--out", tmp_path / "bad.png")
    assert str(tmp_path / "bad.png") in refused("explain", path, image, *out)


def test_nothing_that_can_be_read_is_an_error(call, probe_run, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    code, out, err = call("explain", probe_run.folder.path, tmp_path / "bad.png", "--out", tmp_path)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "striate: not one input can be read: empty file"


def test_an_input_is_never_replaced(explain, photos, tmp_path):
    folder = tmp_path / "cats-gradcam.png"
    folder.write_bytes((photos / "disc" / "01.png").read_bytes())
    first = tmp_path / "cats.png"
    first.write_bytes((photos / "disc" / "02.png").read_bytes())
    code, _, err = explain(first, folder, "--method", "gradcam")
    assert code == 2 and "is one of the inputs; choose another name" in err
    assert folder.read_bytes() == (photos / "disc" / "01.png").read_bytes()


def test_nodes_are_named_after_their_graph(call, refused, tmp_path):
    run, club = tmp_path / "run", "sample:karate-club"
    assert call("fit", club, "--out", run, "--epochs", "1")[0] == 0
    asked = ("explain", run, club, "8", "33", "--method", "occlusion", "--out", tmp_path / "out")
    code, out, _ = call(*asked)
    assert code == 0
    for line, node in zip(out.splitlines(), ("8", "33"), strict=True):
        path = tmp_path / "out" / f"{node}-occlusion.svg"
        place = rf"{node}: (Mr. Hi|Officer) \d+\.\d%; evidence for \1: {re.escape(str(path))}"
        assert re.fullmatch(place, line)
        drawn = path.read_text()
        assert f'font-weight="bold">{node}</text>' in drawn
        said = re.search(r">Prediction: (.*?)</text>.*>Evidence for: (.*?)</text>", drawn)
        assert said[1] in line and said[2] in (
            "Mr. Hi (method: occlusion)",
            "Officer (method: occlusion)",
        )
    unknown = refused("explain", run, club, "8", "34", "--out", tmp_path)
    assert unknown.startswith("unknown node of sample:karate-club '34'; did you mean ")
    assert "is no graph of nodes; name the graph" in refused("explain", run, "33")
    assert "unknown class 'Hi'" in refused("explain", run, club, "33", "--target", "Hi")
