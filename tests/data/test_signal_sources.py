"""Signals in files, arrays and .ts files: what is read, and what is refused."""

import gzip
import io
import struct
import sys
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

from striate.data.layouts import ArraySource, open_source
from striate.data.layouts.ts import read_ts
from striate.data.readers.reader import kind_of_files, reader_named
from striate.data.samples.sample import SAMPLES
from striate.data.source import Reading, UnreadableItem, load_formats
from striate.data.unlabelled import open_inputs
from striate.errors import DataError, MissingExtraError

load_formats()


def tone(length: int = 400, channels: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wave_ = np.sin(np.arange(length) * rng.uniform(0.05, 0.3, (channels, 1)))
    return (0.8 * wave_).astype(np.float32)


def write_wav(path: Path, signal: np.ndarray, rate: int = 8000, width: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.round(signal.T * (2 ** (8 * width - 1) - 1)).astype("<i8")
    data = whole[..., None].view(np.uint8).reshape(*whole.shape, 8)[..., :width]
    if width == 1:
        data = (whole + 128).astype(np.uint8)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(signal.shape[0])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.ascontiguousarray(data).tobytes())
    return path


def read(path: Path) -> Reading:
    reader = reader_named(path)
    assert reader is not None
    return reader.read(path)


def reason(path: Path) -> str:
    with pytest.raises(UnreadableItem) as caught:
        read(path)
    assert "\n" not in caught.value.reason
    return caught.value.reason


def refusal(data: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_source(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- sound ---


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_equals_soundfile(tmp_path: Path, width: int, channels: int) -> None:
    soundfile = pytest.importorskip("soundfile")
    path = write_wav(tmp_path / "a.wav", tone(channels=channels), width=width)
    reading = read(path)
    theirs, rate = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_allclose(reading.array, theirs.T, atol=1e-7)
    assert reading.array.dtype == np.float32 and reading.spacing == (1 / rate,)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_wav_of_floats_and_flac(tmp_path: Path, subtype: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", tone(channels=2).T, 16000, subtype=subtype)
    soundfile.write(tmp_path / "b.flac", tone(channels=2).T, 16000)
    for name in ("a.wav", "b.flac"):
        reading = read(tmp_path / name)
        np.testing.assert_allclose(reading.array, tone(channels=2), atol=2e-5)
        assert reading.spacing == (1 / 16000,)


def test_flac_without_soundfile_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.flac").write_bytes(b"fLaC and more")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match=r"striate\[signal\]"):
        read(tmp_path / "a.flac")


def test_fault_53_wrong_length_in_a_wav_header(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone())
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 10**6)
    path.write_bytes(content)
    assert "promises 1000000 bytes" in reason(path)
    path.write_bytes(content[: len(content) // 2])
    assert "there are" in reason(path)


@pytest.mark.parametrize("length", [0, 2**32 - 1, 2**32 - 37, 0x7FFFF000])
def test_wav_of_a_stream_goes_to_the_end_of_the_file(tmp_path: Path, length: int) -> None:
    path = write_wav(tmp_path / "a.wav", tone())
    whole = read(path).array
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", length)
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path).array, whole)
    path.write_bytes(content[:-1])  # stopped within a sample
    assert read(path).array.shape[1] == whole.shape[1] - 1


def test_wav_of_no_channels_is_refused_by_its_header(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone())
    content = bytearray(path.read_bytes())
    at = content.index(b"fmt ") + 8
    content[at : at + 16] = struct.pack("<HHIIHH", 1, 0, 8000, 0, 0, 0)
    path.write_bytes(content)
    assert "header of 0 channels" in reason(path)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_bytes_of_mp3_without_tags_are_a_sound(rate: int) -> None:
    soundfile = pytest.importorskip("soundfile")
    buffer = io.BytesIO()
    soundfile.write(buffer, tone()[0], rate, format="MP3")
    content = buffer.getvalue()
    assert content[0] == 0xFF and content[1] & 0xE0 == 0xE0  # the head of a frame
    source = open_inputs([content], "signal", 1)
    (item,) = source.listing.items
    assert source.read(item).spacing == (1 / rate,)


def test_wav_of_no_samples_with_tags_behind_is_no_stream(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone()[:, :0])
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert reason(path) == "no samples"


@pytest.mark.parametrize("behind", [b"LIST\xff\0\0\0INFO", b"id3 \x40\0\0\0ID3", b"\0\0\0"])
def test_wav_whose_tags_are_cut_off(tmp_path: Path, behind: bytes) -> None:
    path = write_wav(tmp_path / "a.wav", tone())
    whole = read(path).array
    path.write_bytes(path.read_bytes() + behind)
    np.testing.assert_array_equal(read(path).array, whole)


@pytest.mark.parametrize("form", ["RF64", "W64", "WAVEX", "FLAC", "OGG"])
def test_sound_is_told_by_its_content(tmp_path: Path, form: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    samples = (tone().T * 0.5).astype(np.float32)
    subtype = {"OGG": "VORBIS"}.get(form, "PCM_16")
    with (tmp_path / "a.wav").open("wb") as file:
        soundfile.write(file, samples, 8000, format=form, subtype=subtype)
    expected, _ = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    np.testing.assert_allclose(read(tmp_path / "a.wav").array, expected.T, atol=1e-4)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"])
def test_wav_of_the_telephone(tmp_path: Path, subtype: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    samples = (tone().T * 0.5).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype=subtype)
    error = read(tmp_path / "a.wav").array[:, : len(samples)] - samples.T
    assert np.abs(error).mean() < 0.05


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"<html>not a sound</html>", "not a WAV file"),
        (b"RIFF\x04\0\0\0WAVE", "without a format"),
    ],
)
def test_wav_that_is_none(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    assert said in reason(tmp_path / "a.wav")


def test_wav_header_of_nonsense(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone())
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", 0)  # the rate
    path.write_bytes(content)
    assert "0 samples a second" in reason(path)


# --- tables and arrays ---


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("head", [True, False])
def test_fault_57_tables_with_bom_and_semicolons(
    tmp_path: Path, delimiter: str, encoding: str, head: bool
) -> None:
    signal = tone(50, 3)
    rows = [delimiter.join(["a", "b", "c"])] if head else []
    rows += [delimiter.join(f"{value:.6f}" for value in row) for row in signal.T]
    (tmp_path / "a.csv").write_bytes("\r\n".join(rows).encode(encoding))
    reading = read(tmp_path / "a.csv")
    np.testing.assert_allclose(reading.array, signal, atol=1e-6)


def test_fault_57_ragged_rows_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2\n3,4\n5\n")
    assert "line 3 has 1 fields and the first has 2" in reason(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,four\n")
    assert "line 3 has 'four', not a number" in reason(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes("1,2\n3,é\n".encode("latin-1"))
    assert "line 2 is not UTF-8" in reason(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("x,y\n")
    assert "no rows of numbers" in reason(tmp_path / "a.csv")


def test_a_decimal_comma_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t;x\n0,0;1,5\n0,5;2,5\n1,0;3,5\n")
    reading = read(tmp_path / "a.csv")
    assert reading.array.tolist() == [[1.5, 2.5, 3.5]] and reading.spacing == (0.5,)


def test_a_column_of_times_must_rise_evenly(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,x\n0,1\n1,2\n2,3\n3,3\n50,3\n")
    assert "equal steps" in reason(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("time,x\n0,1\n2,2\n1,3\n")
    assert "does not rise" in reason(tmp_path / "a.csv")


def test_fault_52_nan_and_inf_name_the_index(tmp_path: Path) -> None:
    signal = tone(50, 2)
    signal[1, 7] = np.nan
    np.save(tmp_path / "a.npy", signal)
    assert "index 7 of channel 1" in reason(tmp_path / "a.npy")
    (tmp_path / "a.csv").write_text("1\n2\ninf\n")
    assert "index 2 of channel 0" in reason(tmp_path / "a.csv")
    X = np.stack([tone(seed=n)[0] for n in range(4)])
    X[2, 5] = np.inf
    np.savez(tmp_path / "d.npz", X=X, y=np.array([0, 1, 0, 1]))
    source = open_source(tmp_path / "d.npz")
    with pytest.raises(UnreadableItem, match="index 5"):
        source.read(source.listing.items[2])


def npy_bytes(shape: tuple[int, ...], held: int) -> bytes:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + bytes(held)


def test_fault_49_npy_header_that_lies(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy_bytes((1, 10**12), 400))
    assert "needs 4000000000000 bytes and there are 400" in reason(tmp_path / "a.npy")


def test_fault_50_object_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    assert "would run code" in reason(tmp_path / "a.npy")
    unequal = np.empty(2, dtype=object)
    unequal[:] = [np.zeros(3), np.zeros(4)]
    np.savez(tmp_path / "d.npz", X=unequal, y=np.array(["a", "b"]))
    assert "Python objects" in refusal(tmp_path / "d.npz")


def test_fault_51_npz_bomb_of_signals(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", npy_bytes((20, 10**6), 80 * 10**6))
    assert (tmp_path / "d.npz").stat().st_size < 200_000
    assert "expands from" in refusal(tmp_path / "d.npz")


def test_what_is_no_signal(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array(["text"]))
    assert "is no signal" in reason(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.zeros((2000, 2)))
    assert "2000 channels" in reason(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.zeros((1, 0)))
    assert "no samples" in reason(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((6, 100), "f4", "signal"),
        ((6, 3, 100), "f4", "signal"),
        ((6, 1, 20), "i2", "signal"),
        ((6, 28, 28), "f4", "image"),
        ((6, 20, 60), "u1", "image"),
        ((6, 3, 12, 12), "f4", "image"),
    ],
)
def test_the_axes_decide_what_an_array_holds(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, kind: str
) -> None:
    np.savez(tmp_path / "d.npz", X=np.zeros(shape, dtype), y=np.arange(6) % 2)
    assert open_source(tmp_path / "d.npz").kind == kind


def test_an_npz_can_say_what_it_holds(tmp_path: Path) -> None:
    X = np.zeros((4, 10, 12), np.float32)
    np.savez(
        tmp_path / "d.npz",
        X=X,
        y=np.arange(4) % 2,
        kind=np.array("signal"),
        sample_rate=np.array(50),
        groups=np.array([1, 1, 2, 2]),
    )
    source = open_source(tmp_path / "d.npz")
    assert source.kind == "signal" and [i.group for i in source.listing.items] == list("1122")
    assert source.read(source.listing.items[0]).spacing == (0.02,)


def test_targets_that_are_not_whole_are_numbers_to_predict(tmp_path: Path) -> None:
    X = np.stack([tone(seed=n)[0] for n in range(4)])
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", np.array([0.5, 1, 2, 3]))
    items = open_source(tmp_path).listing.items
    assert [item.target for item in items] == [0.5, 1, 2, 3]
    assert {item.label for item in items} == {None}
    np.save(tmp_path / "y.npy", np.array([0.0, 1, 0, 1]))
    assert [item.label for item in open_source(tmp_path).listing.items] == list("0101")
    np.save(tmp_path / "y.npy", np.array([0.5, np.nan, 2, 3]))
    assert [item.target for item in open_source(tmp_path).listing.items] == [0.5, None, 2, 3]
    np.save(tmp_path / "y.npy", np.array([0.5, np.inf, 2, 3]))
    assert "target 1" in refusal(tmp_path)


def test_labels_of_another_number(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 3 signals and 2 labels"):
        ArraySource(np.zeros((3, 9)), ["a", "b"], kind="signal")
    with pytest.raises(DataError, match="signals are numbers"):
        ArraySource(np.zeros((3, 9, 2, 2)), ["a", "b", "a"], kind="signal")


# --- folders and manifests ---


def test_a_folder_of_class_folders_with_sounds(tmp_path: Path) -> None:
    for label in ("bell", "horn"):
        for n in range(3):
            write_wav(tmp_path / label / f"{n}.WAV", tone(seed=n))
    (tmp_path / "bell" / "readme.csv").write_text("a table, not a sound\n")
    source = open_source(tmp_path)
    assert source.kind == "signal"
    assert [item.id for item in source.listing.items][:3] == [
        f"bell/{n}.WAV" for n in range(3)
    ] + []
    assert source.path(source.listing.items[0]) == tmp_path / "bell" / "0.WAV"


def test_a_folder_with_more_tables_than_pictures(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "train" / label).mkdir(parents=True)
        (tmp_path / "test" / label).mkdir(parents=True)
        for part in ("train", "test"):
            for n in range(2):
                (tmp_path / part / label / f"{n}.csv").write_text("1\n2\n3\n")
    (tmp_path / "plot.png").write_bytes(b"not placed")
    source = open_source(tmp_path)
    assert source.kind == "signal"
    assert {item.split for item in source.listing.items} == {"train", "test"}
    assert source.read(source.listing.items[0]).array.tolist() == [[1, 2, 3]]


def test_one_kind_of_each_suffix(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.zeros((2, 30)))
    assert kind_of_files([tmp_path / "s.npy"]) == "signal"
    assert kind_of_files([tmp_path / "a.png", tmp_path / "b.wav"]) == "image"
    assert kind_of_files([tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "c.png"]) == "signal"
    assert kind_of_files([tmp_path / "a.unknown"]) == "image"


def test_a_manifest_of_signals_with_targets(tmp_path: Path) -> None:
    for n in range(3):
        write_wav(tmp_path / f"{n}.wav", tone(seed=n))
    (tmp_path / "m.csv").write_text(
        "path,target,split\n0.wav,1.5,train\n1.wav,-2,train\n2.wav,0,test\n"
    )
    source = open_source(tmp_path / "m.csv")
    assert source.kind == "signal"
    assert [(i.target, i.label, i.split) for i in source.listing.items] == [
        (1.5, None, "train"),
        (-2.0, None, "train"),
        (0.0, None, "test"),
    ]
    (tmp_path / "m.csv").write_text("path,target\n0.wav,1.5\n1.wav,inf\n")
    assert "line 3: 'inf' in column target" in refusal(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("path,label,target\n0.wav,a,1\n1.wav,b,2\n")
    listing = open_source(tmp_path / "m.csv").listing
    assert [i.label for i in listing.items] == ["a", "b"]
    assert [note.code for note in listing.notes] == ["target-and-label"]


# --- .ts files ---

HEADER = (
    "#remark\n@problemName Toy\n@timeStamps false\n@univariate {}\n@classLabel true a b\n@data\n"
)


def write_ts(folder: Path, part: str, lines: list[str], header: str = HEADER) -> None:
    text = header.format("true") + "\n".join(lines) + "\n"
    (folder / f"Toy_{part}.ts").write_text(text)


def test_ts_with_its_own_split_channels_and_lengths(tmp_path: Path) -> None:
    write_ts(tmp_path, "TRAIN", ["1,2,3:4,5,6:a", "1,2:3,4:b"])
    write_ts(tmp_path, "TEST", ["7,8,9,10:1,1,1,1:b", "1,1:2,2:a"])
    for data in (tmp_path, tmp_path / "Toy_TRAIN.ts", tmp_path / "Toy_TEST.ts"):
        source = open_source(data)
        items = source.listing.items
        assert [i.label for i in items] == list("abba")
        assert [i.split for i in items] == ["train", "train", "test", "test"]
        assert [source.read(i).array.shape for i in items] == [(2, 3), (2, 2), (2, 4), (2, 2)]
        assert source.read(items[0]).array.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_ts_missing_values(tmp_path: Path) -> None:
    write_ts(tmp_path, "TRAIN", ["1,?,3,5:a", "?,2,3,NaN:b", "?,?,?:a", "1,2:b"])
    write_ts(tmp_path, "TEST", ["1,2:a", "1,2:b"])
    source = open_source(tmp_path)
    first, second, third, *_ = source.listing.items
    assert source.read(first).array.tolist() == [[1, 2, 3, 5]]
    assert source.read(first).notes[0].code == "missing-values"
    # A missing end only says that the series is shorter.
    assert source.read(second).array.tolist() == [[2, 2, 3]]
    with pytest.raises(UnreadableItem, match="not finite"):
        source.read(third)


def test_ts_regression(tmp_path: Path) -> None:
    header = "@problemName Toy\n@targetlabel true\n@data\n"
    write_ts(tmp_path, "TRAIN", ["1,2:0.25", "3,4:-1"], header)
    write_ts(tmp_path, "TEST", ["1,2:1e3"], header)
    items = open_source(tmp_path).listing.items
    assert [(i.target, i.label) for i in items] == [(0.25, None), (-1, None), (1000, None)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["1,2:a", "1,x:b"], "line 8: could not convert string to float: 'x'"),
        (["1,2:a", "1,2"], "line 8: no class"),
        ([], "holds no series"),
    ],
)
def test_ts_that_makes_no_sense(tmp_path: Path, lines: list[str], said: str) -> None:
    write_ts(tmp_path, "TRAIN", lines)
    assert said in refusal(tmp_path / "Toy_TRAIN.ts")


def test_fault_54_mixed_channels_are_a_table(tmp_path: Path) -> None:
    write_ts(tmp_path, "TRAIN", ["1,2:a", "1,2:3,4:b", "1,2:b"])
    assert "1 channel: 2 (as 0, 2); 2 channels: 1 (as 1)" in refusal(tmp_path / "Toy_TRAIN.ts")


def test_ts_that_is_compressed_or_stamped_is_refused(tmp_path: Path) -> None:
    (tmp_path / "A_TRAIN.ts").write_bytes(gzip.compress(b"@data\n1:a\n"))
    assert "does not begin with @" in refusal(tmp_path / "A_TRAIN.ts")
    write_ts(tmp_path, "TRAIN", ["(0,1),(1,2):a"], HEADER.replace("Stamps false", "Stamps true"))
    assert "times beside the values" in refusal(tmp_path / "Toy_TRAIN.ts")


def test_two_data_sets_in_one_folder(tmp_path: Path) -> None:
    write_ts(tmp_path, "TRAIN", ["1,2:a", "2,1:b"])
    (tmp_path / "Other_TRAIN.ts").write_text("@data\n1:a\n")
    assert "several data sets" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["gun-point", "basic-motions", "pickup-gesture", "covid"])
def test_samples_hold_what_they_say(name: str) -> None:
    pytest.importorskip("aeon", exc_type=ImportError)
    sample = SAMPLES.get(name)
    source = sample.open()
    items = source.listing.items
    assert len(items) == sample.num_items and source.name == f"sample:{name}"
    assert {item.split for item in items} == {"train", "test"}
    assert np.isfinite(source.read(items[-1]).array).all()


@pytest.mark.slow  # aeon is slow to import
def test_ts_equals_aeons_reading() -> None:
    aeon = pytest.importorskip("aeon.datasets")
    theirs, answers = aeon.load_japanese_vowels(split="train")
    source = SAMPLES.get("japanese-vowels").open()
    items = [item for item in source.listing.items if item.split == "train"]
    assert [item.label for item in items] == answers.tolist()
    for item, expected in zip(items[::30], theirs[::30], strict=True):
        np.testing.assert_allclose(source.read(item).array, expected, rtol=1e-6)


def test_samples_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="aeon is not installed"):
        SAMPLES.get("gun-point").open()


def test_ts_reads_what_numpy_writes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 2, 40))
    lines = [":".join(",".join(map(repr, map(float, c))) for c in item) + ":a" for item in values]
    write_ts(tmp_path, "TRAIN", lines)
    np.testing.assert_array_equal(np.stack(read_ts(tmp_path / "Toy_TRAIN.ts").arrays), values)


def test_float_io_is_not_changed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, tone(30)[0])
    (tmp_path / "a.npy").write_bytes(buffer.getvalue())
    assert np.array_equal(read(tmp_path / "a.npy").array, tone(30))
