"""`benchmarks/fuzz_sources.py` with few files of each kind, and what it once found."""

import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from striate.data.readers.audio import read_sound
from striate.data.readers.nifti import read_nifti
from striate.data.readers.npy import opened_npz
from striate.data.readers.reader import READERS
from striate.data.readers.video import read_video
from striate.data.readers.volume import canonical, read_npy_volume
from striate.data.sandbox import read_all
from striate.data.source import Skip, UnreadableItem
from striate.data.unlabelled import open_inputs

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "fuzz_sources.py"
NEEDED = {"sound": "soundfile", "nifti": "nibabel", "dicom": "pydicom", "video": "av", "smiles": "rdkit"}  # fmt: skip
QUICK, MANY = 36, 2000


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_sources", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARK.parent))  # it imports fuzz_files
        patch.setitem(sys.modules, "fuzz_sources", module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        yield module


@pytest.mark.parametrize(
    "count", [QUICK, pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
@pytest.mark.parametrize("name", ["image", "sound", "table", "nifti", "dicom", "video", "array", "smiles"])  # fmt: skip
def test_damaged_files_are_read_or_left_out_without_a_word(fuzz, name, count, tmp_path, capfd):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    begun = tmp_path / "begun"
    if name == fuzz.TEXTS:
        result = fuzz.read_one_by_one(list(fuzz.damaged_smiles(count, 3)), "graph", begun)
    else:
        paths = []
        for number, (suffix, content) in enumerate(fuzz.damaged_files(name, count, 3)):
            paths.append(tmp_path / f"{number}{suffix}")
            paths[-1].write_bytes(content)
        result = fuzz.read_one_by_one(paths, fuzz.SUBJECTS[name].kind, begun)
    assert result.broken == {}
    assert result.read + sum(result.left_out.values()) == count
    assert result.read > 0
    assert result.left_out
    assert capfd.readouterr() == ("", "")


def test_the_same_seed_damages_alike_and_another_otherwise(fuzz):
    one, again, other = (list(fuzz.damaged_files("table", 8, seed)) for seed in (0, 0, 1))
    assert one == again != other


def test_what_breaks_the_promise_is_told(fuzz, tmp_path, monkeypatch):
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for path in paths:
        np.save(path, np.zeros((2, 3, 4)))

    def read(source, item, size, pool):
        if Path(item.id).name == "b.npy":
            raise ZeroDivisionError("no")
        error = UnreadableItem("no")
        error.reason = "one\ntwo"
        raise error

    monkeypatch.setattr("striate.data.sandbox.read_item", read)
    result = fuzz.read_one_by_one(paths, "volume", tmp_path / "begun")
    told = {Path(item).name: why for item, why in result.broken.items()}
    assert told["b.npy"] == "ZeroDivisionError: no"
    assert "several lines" in told["a.npy"]


def test_numbers_too_large_for_float32_are_not_finite(tmp_path, capfd):
    path = tmp_path / "a.npy"
    np.save(path, np.full((2, 3, 4), 1e300))
    with (
        np.errstate(all="ignore"),
        pytest.raises(UnreadableItem, match="not finite, the first inf"),
    ):
        read_npy_volume(path)
    source = open_inputs([path], "volume")
    ((_, answer),) = read_all(source, source.listing.items, None, 1)
    assert isinstance(answer, Skip)
    assert capfd.readouterr() == ("", "")


def test_only_sound_that_is_not_plain_is_decoded_in_another_process(fuzz, tmp_path):
    pytest.importorskip("soundfile")
    reader = READERS.get("sound")
    apart = []
    for number, (suffix, content) in enumerate(
        fuzz.SUBJECTS["sound"].make(np.random.default_rng(0))
    ):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(content)
        if reader.decoding(path, None) is not None:
            apart.append(number)
    # Five plain widths, floats, a packed WAV, RF64, FLAC, Ogg and MP3.
    assert apart == [6, 8, 9, 10]


def test_what_soundfile_says_is_told_without_an_address():
    pytest.importorskip("soundfile")
    with pytest.raises(UnreadableItem) as caught:
        read_sound(b"fLaC" + bytes(40))
    assert "0x" not in caught.value.reason


def test_a_damaged_nifti_header_is_mended_or_refused_silently(fuzz, tmp_path, capfd):
    pytest.importorskip("nibabel")
    _, whole = next(fuzz.SUBJECTS["nifti"].make(np.random.default_rng(0)))
    content = bytearray(whole)
    content[344:348] = b"\1\2\3\4"  # the magic string
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    try:
        read_nifti(path)
    except UnreadableItem as error:
        assert "magic" in error.reason
    assert capfd.readouterr() == ("", "")
    logger = logging.getLogger("nibabel.global")
    assert not logger.disabled, "others may still read what nibabel says"


MEMORY = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from fuzz_sources import _memory
before = _memory(peak=False)
_memory(peak=True)
block = np.ones(40_000_000)
del block
print(_memory(peak=True) - before, _memory(peak=True) - before)
"""


def test_memory_that_a_file_takes_is_measured():
    # In a process of its own, whose children do not come and go.
    command = [sys.executable, "-c", MEMORY, str(BENCHMARK.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, again = map(int, done.stdout.split())
    assert first > 300_000_000
    assert again < 300_000_000, "the peak is that since the last time"


def test_an_error_of_ffmpeg_is_not_taken_for_one_of_the_disk(fuzz, tmp_path):
    av = pytest.importorskip("av")
    _, whole = next(fuzz.SUBJECTS["video"].make(np.random.default_rng(0)))
    path = tmp_path / "a.mp4"
    path.write_bytes(whole)
    with pytest.MonkeyPatch.context() as patch:

        def fails(*args, **options):
            raise av.error.PermissionError(1, "Operation not permitted", None)

        patch.setattr(av, "open", fails)
        with pytest.raises(UnreadableItem, match="damaged video file: PermissionError"):
            read_video(path)


def test_a_video_in_an_unknown_coding_is_told(fuzz):
    pytest.importorskip("av")
    _, whole = next(fuzz.SUBJECTS["video"].make(np.random.default_rng(0)))
    with pytest.raises(UnreadableItem, match="coding that the installed PyAV does not know"):
        read_video(whole.replace(b"avc1", b"zzz9"))


def test_a_damaged_archive_is_told_as_one(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, volume=np.zeros((2, 3, 4)))
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\5\6")
    content[at + 12 : at + 16] = b"\xff\xff\xff\x7f"  # the length of the list of files
    path.write_bytes(content)
    with pytest.raises(UnreadableItem, match="damaged archive"), opened_npz(path):
        pass


@pytest.mark.parametrize("units", [0, 2, 5])
def test_units_that_nobody_knows_are_taken_for_millimetres(units, fuzz, tmp_path):
    pytest.importorskip("nibabel")
    _, whole = next(fuzz.SUBJECTS["nifti"].make(np.random.default_rng(0)))
    content = bytearray(whole)
    content[123] = units
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    assert read_nifti(path).spacing == (3, 2, 2)


def test_an_orientation_that_leaves_out_an_axis_is_told():
    pytest.importorskip("nibabel")
    affine = np.array([[1e6, 1e6, 0, 0], [0, 1e-10, 0, 0], [0, 0, 1e6, 0], [0, 0, 0, 1]])
    with pytest.raises(UnreadableItem, match="makes a plane"):
        canonical(np.zeros((2, 3, 4)), affine)
