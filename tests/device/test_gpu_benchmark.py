"""`benchmarks/gpu.sh`, as far as it goes without a GPU."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("gpu", BENCHMARKS / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "gpu", module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        yield module


def made(gpu, name, code, seconds=60.0, **options):
    return gpu.Part(name=name, what=f"<{name}>", command=["-c", code], seconds=seconds, **options)


def test_a_part_that_fails_or_hangs_loses_no_other(gpu, tmp_path):
    table = 'print("| a | b |\\n|---|---|\\n| 1 | <2> |")'
    parts = [
        made(gpu, "broken", "raise SystemExit('no <such> thing')"),
        made(gpu, "endless", "import time; print('begun', flush=True); time.sleep(60)", 1.0),
        made(gpu, "good", table, figures=lambda folder: gpu.tables(folder / "good.txt")),
    ]
    results = gpu.run_all(parts, tmp_path, {"gpu": "none"}, 60)
    assert [result.status for result in results] == ["failed", "ran out of time", "passed"]
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["machine"] == {"gpu": "none"}
    broken, endless, good = written["parts"]
    assert "no <such> thing" in broken["printed"] and endless["printed"] == "begun"
    assert good["figures"] == [["a", "b"], ["1", "<2>"]]
    page = (tmp_path / "page.html").read_text()
    assert "no &lt;such&gt; thing" in page and "<td>&lt;2&gt;</td>" in page


def test_parts_for_which_no_time_is_left_are_told(gpu, tmp_path):
    parts = [made(gpu, name, "pass") for name in ("first", "second")]
    results = gpu.run_all(parts, tmp_path, {}, gpu.SPARE_SECONDS - 1)
    assert {result.status for result in results} == {"no time was left"}
    assert "no time was left" in (tmp_path / "page.html").read_text()


def test_everything_fits_into_nine_minutes(gpu, tmp_path):
    parts = gpu.parts("cuda", False, tmp_path)
    assert sum(part.seconds for part in parts) + gpu.SPARE_SECONDS <= 9 * 60
    for device, quick in (("cuda", False), ("cpu", True)):
        parts = gpu.parts(device, quick, tmp_path)
        assert all(device in part.command for part in parts if part.name != "tests")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(gpu, capsys):
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "torch sees no GPU; --device cpu --quick tries" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(2200)
def test_each_part_runs_on_the_cpu(tmp_path):
    pytest.importorskip("timm")
    command = ["sh", BENCHMARKS / "gpu.sh", "--device", "cpu", "--quick", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    found = json.loads((tmp_path / "results.json").read_text())["parts"]
    assert {part["name"]: part["status"] for part in found} == dict.fromkeys(
        ("tests", "depthwise", "inference", "convnext", "images", "volumes"), "passed"
    ), done.stdout
    figures = {part["name"]: part["figures"] for part in found}
    assert figures["tests"]["failures"] == 0 < figures["tests"]["tests"]
    assert [row["network"] for row in figures["inference"]] == [
        *("resnet50", "convnext_tiny", "efficientnet_b0")
    ]
    assert all(row["largest_difference"] < 1e-4 for row in figures["inference"])
    assert [row[0] for row in figures["convnext"]][1:] == [
        *("torch's convolution", "the same, weights rounded", "with the kernels", "timm")
    ]
    assert figures["images"]["test"]["accuracy"] > 0.5 < figures["volumes"]["test"]["accuracy"]
