"""`striate fit` as it is called: exit codes, one line an error, what is printed where."""

import shutil
import sys

import pytest

from striate.cli import main
from striate.run.folder import RunFolder

CPU = ("--device", "cpu")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


def test_a_fit_prints_its_result_to_standard_output_and_its_progress_beside_it(call, photos, out):
    options = ("--out", out, "--method", "probe", "--image-size", 32, *CPU)
    code, said, told = call("fit", photos, *options)
    assert code == 0
    assert said.splitlines()[0] == "test items: 9"
    assert said.splitlines()[-1] == f"report: {out / 'report.html'}"
    assert "data: 60 items in 3 classes (disc 20, square 20, stripes 20)" in told
    assert "baseline after" in told and "validation accuracy" in told
    assert RunFolder.open(out).record().config["image_size"] == 32


def test_fault_29_no_such_folder(refused, photos):
    line = refused("fit", photos.with_name("fotos"))
    assert "file not found" in line and f"did you mean '{photos}'?" in line


def test_fault_30_a_file_where_a_folder_is_needed(refused, photos):
    line = refused("fit", photos / "disc" / "01.png")
    assert str(photos / "disc" / "01.png") in line and "DATA/CLASS/IMAGE" in line


def test_fault_31_no_images(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    line = refused("fit", tmp_path / "empty")
    assert line.startswith(f"no images in {tmp_path / 'empty'}") and "DATA/CLASS/IMAGE" in line


def test_fault_32_one_class(refused, photos, tmp_path):
    shutil.copytree(photos / "disc", tmp_path / "one" / "disc")
    line = refused("fit", tmp_path / "one", "--method", "probe")
    assert f"{tmp_path / 'one'} has 1 class ('disc')" in line and "two or more" in line


def test_faults_62_66_and_a_finished_run(refused, photos, probe_run, tmp_path):
    (tmp_path / "file").touch()
    line = refused("fit", photos, "--out", tmp_path / "file" / "run", *CPU, code=3)
    assert "cannot write to the run folder" in line and "--out" in line
    with RunFolder.create(tmp_path / "run").locked():
        line = refused("fit", photos, "--out", tmp_path / "run", *CPU)
        assert "is in use by process" in line
    line = refused("fit", photos, "--out", probe_run.folder.path, *CPU)
    assert "holds a finished run; choose another folder with --out" in line


def test_fault_74_cuda_without_a_gpu(refused, photos, out, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    line = refused("fit", photos, "--out", out, "--device", "cuda", code=3)
    assert "device 'cuda' is not there: torch sees no CUDA GPU; use --device cpu" in line


def test_fault_75_weights_that_are_neither_cached_nor_to_be_had(
    refused, photos, out, tmp_path, monkeypatch
):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    line = refused("fit", photos, "--out", out, "--model", "resnet18", *CPU, code=3)
    assert "no pretrained weights of resnet18 can be had" in line
    assert "is not cached" in line and "get them with: " in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--time", "soon"), "--time soon: it is no duration; write 90s, 10m or 1h"),
        (("--epochs", "0"), "--epochs 0: it must be at least 1"),
        (("--method", "finetuen"), "unknown method 'finetuen'; did you mean 'finetune'?"),
        (("--model", "resnet81", *CPU), "unknown model 'resnet81'; did you mean 'resnet18'"),
        (("--device", "gpu"), "unknown device 'gpu'; did you mean 'cuda'?"),
    ],
)
def test_a_wrong_value_names_what_is_allowed(options, said, refused, photos, out):
    assert said in refused("fit", photos, "--out", out, *options)


@pytest.mark.parametrize("debug", [False, True])
def test_debug_shows_the_traceback(debug, monkeypatch, capsys, tmp_path):
    arguments = ["striate", "fit", str(tmp_path / "nowhere"), *(["--debug"] if debug else [])]
    monkeypatch.setattr(sys, "argv", arguments)
    if debug:
        with pytest.raises(ValueError, match="file not found"):
            main.main()
    else:
        with pytest.raises(SystemExit) as left:
            main.main()
        assert left.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
