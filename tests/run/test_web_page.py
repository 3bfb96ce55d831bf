"""The page that runs an exported file in the browser: its folder, and its answers in Chromium."""

import contextlib
import functools
import http.server
import io
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.cli.main import run as command
from striate.errors import EngineError, MachineError, OptionError
from striate.files import sha256_file
from striate.metrics.deciding.decision import Decision
from striate.progress import Progress
from striate.run.deployment import onnx_web, web
from striate.run.deployment.web import export_page
from striate.tasks import task_named
from striate.tasks.classification.scoring import ClassCalibration
from striate.tasks.multilabel.scoring import LabelCalibration

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NODE = shutil.which("node")
PAGE = Path(web.__file__).with_name("page")


def small_runtime(root, patch):
    """Small files in the place of onnxruntime-web's, in a working folder of its own."""
    folder = root / "node_modules" / onnx_web.PACKAGE / "dist"
    folder.mkdir(parents=True)
    for name in onnx_web.FILES:
        (folder / name).write_text(name)
    sums = {name: onnx_web.sha256(name.encode()) for name in onnx_web.FILES}
    patch.setattr(onnx_web, "FILES", sums)
    patch.chdir(root)
    return folder


@pytest.fixture
def fake_runtime(tmp_path, monkeypatch):
    return small_runtime(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def small_run(photos, tmp_path_factory):
    """A run with a network that is traced at once, and whose answers are not all near 0 or 1."""
    layers = "[conv8-relu]x2 - gap - fc10"
    options = {"method": "scratch", "model": layers, "epochs": 1, "image_size": 64}
    return striate.fit(photos, out=tmp_path_factory.mktemp("runs") / "s", device="cpu", **options)


@pytest.fixture(scope="module")
def exported(small_run, tmp_path_factory):
    """The page of a run, and what the command said of it."""
    root = tmp_path_factory.mktemp("web")
    out, printed = root / "page", io.StringIO()
    arguments = ["export", str(small_run.folder.path), "--to", "web", "--out", str(out), "--json"]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        small_runtime(root, patch)
        assert command(arguments) == 0
    return out, json.loads(printed.getvalue())


def test_the_folder_holds_all_that_the_page_needs(small_run, exported):
    out, told = exported
    there = {str(path) for path in out.rglob("*") if path.is_file()}
    assert set(told["files"]) == there
    card = json.loads((out / "card.json").read_text())
    assert card["classes"] == list(small_run.classes) and card["outputs"][1]["name"]
    kept = json.loads((out / "files.json").read_text())["files"]
    for name in kept:
        assert (out / name).is_file(), name
    for path in out.glob("*.mjs"):
        for target in re.findall(r'from "\./(.+?)"', path.read_text()):
            assert target in kept, target
    text = "".join(path.read_text() for path in [*out.glob("*.mjs"), out / "index.html"])
    assert "http://" not in text and "https://" not in text  # nothing is asked of anybody


def test_what_is_the_users_stays(small_run, fake_runtime, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    with pytest.raises(OptionError, match="choose a new folder"):
        export_page(small_run, out=tmp_path / "mine")
    assert (tmp_path / "mine" / "index.html").read_text() == "mine"


def test_a_run_of_no_pictures_has_no_page(small_run, fake_runtime, tmp_path, monkeypatch):
    inputs = type(small_run.predictor.inputs)
    monkeypatch.setattr(inputs, "exported", property(lambda self: None))
    with pytest.raises(EngineError, match="takes no 8-bit pictures"):
        export_page(small_run, out=tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_another_runtime_is_refused(fake_runtime, tmp_path, monkeypatch, own_cache):
    assert onnx_web.runtime_folder(Progress(quiet=True)).samefile(fake_runtime)
    (fake_runtime / "ort.wasm.min.mjs").write_text("changed")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MachineError, match=r"npm is not installed.*npm install onnxruntime-web@"):
        onnx_web.runtime_folder(Progress(quiet=True))


def test_npm_fetches_it_once(fake_runtime, tmp_path, monkeypatch):
    import tarfile

    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    archive = tmp_path / "p.tgz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(fake_runtime, "package/dist")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "npm"
    script.write_text(f"#!/bin/sh\ncp {archive} .\necho x >> {tmp_path}/asked\n")
    script.chmod(0o755)
    shutil.rmtree(tmp_path / "node_modules")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    for _ in range(2):
        folder = onnx_web.runtime_folder(Progress(quiet=True))
        assert {path.name for path in folder.iterdir()} == set(onnx_web.FILES)
    assert (tmp_path / "asked").read_text() == "x\n"


@pytest.mark.skipif(NODE is None, reason="the script is run by node")
def test_the_page_reduces_as_pillow_does(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (23, 31, 3)).astype(np.uint8)
    program = f"""
    import {{ reduced }} from {json.dumps((PAGE / "picture.mjs").as_uri())};
    const data = Uint8Array.from({pixels.ravel().tolist()});
    const made = reduced({{ data, height: 23, width: 31 }}, 3, 23, 30);
    console.log(JSON.stringify([made.height, made.width, Array.from(made.data)]));
    """
    (tmp_path / "p.mjs").write_text(program)
    done = subprocess.run([NODE, tmp_path / "p.mjs"], capture_output=True, text=True, check=True)
    height, width, values = json.loads(done.stdout)
    expected = np.asarray(Image.fromarray(pixels).reduce(3, box=(0, 0, 30, 23)))
    np.testing.assert_array_equal(np.reshape(values, (height, width, 3)), expected)


@pytest.mark.skipif(NODE is None, reason="the script is run by node")
def test_the_page_decides_by_cost_and_by_thresholds(tmp_path):
    shares = [[0.2, 0.8, 0.0], [0.09, 0.91, 0.0], [0.3, 0.3, 0.4], [0.04, 0.0, 0.96]]
    classes = ["10", "9", "café"]  # a browser puts keys that are numbers first
    decision = Decision(weights=(9.0, 1.0, 1.0), of_class=0, cost_unknown=0.5)
    calibrations = {
        "plain": ClassCalibration(),
        "costs": ClassCalibration(decision=decision),
        "recall": ClassCalibration(decision=Decision(weights=(9.0, 1.0, 1.0), recall=0.9)),
        "labels": LabelCalibration(scale=(1.0,) * 3, bias=(0.0,) * 3, thresholds=(0.25, 0.7, 0.35)),
    }
    cards = {
        name: {"classes": classes, "outputs": calibration.outputs(classes)}
        for name, calibration in calibrations.items()
    }
    program = f"""
    import {{ decided, inWords }} from {json.dumps((PAGE / "decision.mjs").as_uri())};
    const cards = {json.dumps(cards)}, shares = {shares};
    const all = (f) => Object.fromEntries(
      Object.entries(cards).map(([name, card]) => [name, shares.map((row) => f(card, row))]));
    console.log(JSON.stringify([all(decided), all(inWords)]));
    """
    (tmp_path / "p.mjs").write_text(program)
    done = subprocess.run([NODE, tmp_path / "p.mjs"], capture_output=True, text=True, check=True)
    found, words = json.loads(done.stdout)
    for name, calibration in calibrations.items():
        task = task_named("multilabel" if name == "labels" else "classification")
        outputs = torch.from_numpy(calibration.outputs_of(np.array(shares)))
        said = task.predictions("abcd", outputs, calibration, tuple(classes))
        known = (
            {key: one.to_json().get(key) for key in row}
            for row, one in zip(found[name], said, strict=True)
        )
        assert found[name] == list(known)
        assert all(row for row in found[name])
    assert words["plain"] == ["9", "9", "café", "café"]
    assert words["costs"] == [
        "I don't know (10?)",
        "I don't know (9?)",
        "I don't know (10?)",
        "café",
    ]
    assert words["recall"] == ["10", "9", "10", "café"]
    assert words["labels"] == ["9", "9", "10, café", "café"]


def pictures(run, folder):
    """Test items, PNG and JPEG, and odd files made of one."""
    found = sorted(Path(run.record.data).rglob("*.*"))[::7]
    picture = Image.open(found[0]).convert("RGB").resize((90, 70))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=exif, quality=95)
    picture.convert("L").save(folder / "grey.png")
    alpha = picture.copy()
    alpha.putalpha(picture.convert("L"))
    alpha.save(folder / "alpha.png")
    picture.resize((17, 11)).save(folder / "tiny.png")
    picture.resize((1000, 700)).save(folder / "large.png")
    picture.resize((1001, 703)).save(folder / "large.jpg", quality=95)
    return [*found, *sorted(folder.iterdir())]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_chromium_answers_as_predict_also_without_a_network(small_run, exported, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    runtime = Path(__file__).parents[2] / "node_modules" / onnx_web.PACKAGE / "dist"
    if not runtime.is_dir():
        pytest.skip(f"no network in tests: npm install {onnx_web.PACKAGE}@{onnx_web.VERSION}")
    out, odd = Path(shutil.copytree(exported[0], tmp_path / "page")), tmp_path / "odd"
    odd.mkdir()
    for name, digest in onnx_web.FILES.items():
        shutil.copyfile(runtime / name, out / "onnxruntime" / name)
        assert sha256_file(out / "onnxruntime" / name) == digest
    files = pictures(small_run, odd)
    expected = [one.probabilities for one in small_run.predict([str(path) for path in files])]
    handler = functools.partial(Quiet, directory=str(out))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    apart = {}
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context().new_page()
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        page.wait_for_selector("body[data-ready]", timeout=120_000)
        for path, wanted in zip(files, expected, strict=True):
            values = answer_of(page, path)
            assert int(np.argmax(values)) == int(np.argmax(wanted)), path.name
            apart[path.name] = float(np.abs(np.array(values) - wanted).max())
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        server.shutdown()
        server.server_close()
        page.reload()
        page.wait_for_selector("body[data-ready]", timeout=120_000)
        values = answer_of(page, files[0])
        assert np.abs(np.array(values) - expected[0]).max() <= 1e-3
        browser.close()
    assert not problems
    print(json.dumps(apart, indent=1), file=sys.stderr)
    # A large JPEG is decoded by Pillow at a fraction of its size, which no browser does.
    assert {
        name: value for name, value in apart.items() if value > 1e-3 and name != "large.jpg"
    } == {}
    assert apart["large.jpg"] < 0.05


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def answer_of(page, path):
    """What the page says of a file: its newest answer."""
    count = page.locator("section.answer").count()
    page.set_input_files("#files", str(path))
    page.wait_for_function(
        "n => document.querySelectorAll('section.answer[data-values], section.answer[data-error]')"
        ".length > n",
        arg=count,
        timeout=120_000,
    )
    section = page.locator("section.answer").first
    assert section.get_attribute("data-error") is None
    assert section.locator(".verdict").inner_text() in section.locator("table").inner_text()
    return json.loads(section.get_attribute("data-values"))
