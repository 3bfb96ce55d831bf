"""Files damaged at random: each is read, or left out with a reason; nothing hangs or prints."""

import io
import time
import wave
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts.layout import open_source
from striate.data.sandbox import read_all
from striate.data.source import Reading, Skip
from striate.data.unlabelled import open_inputs
from striate.errors import DataError

SLOW = 5
"""How many times the 2,000 files of the quick tests the slow ones try."""

SECONDS = 10.0
INTERESTING = np.array([0, 1, 0x7F, 0x80, 0xFF, *b'\n,;"-0x.\\'], np.uint8)
SMILES = ("c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O", "[Na+].[Cl-]", "C1CC1C#N")


def damaged(content, rng):
    """A file with one to four faults of these kinds: bits, bytes, a cut, a copy, a hole, a swap."""
    data = np.frombuffer(content, np.uint8).copy()
    for _ in range(rng.integers(1, 5)):
        if not len(data):
            break
        start, stop = np.sort(rng.integers(0, len(data) + 1, 2))
        match rng.integers(7):
            case 0:
                data[rng.integers(len(data))] ^= np.uint8(1 << rng.integers(8))
            case 1:
                data[rng.integers(len(data), size=4)] = rng.integers(0, 256, 4)
            case 2:
                data[rng.integers(len(data))] = rng.choice(INTERESTING)
            case 3:
                data = data[:stop]
            case 4:
                data = np.concatenate([data[:stop], data[start:stop][:64], data[stop:]])
            case 5:
                data = np.concatenate([data[:start], data[stop:]])
            case 6:
                # Lengths and counts stand in heads.
                head = min(64, len(data))
                data[rng.integers(head, size=2)] = rng.choice(INTERESTING, 2)
    return data.tobytes()


def pictures(rng):
    image = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    for image_format in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "ICO", "TGA", "PPM"):
        out = io.BytesIO()
        image.save(out, image_format)
        yield f".{image_format.lower()}", out.getvalue()


def sounds(rng):
    for channels, width in ((1, 1), (1, 2), (2, 2), (1, 3)):
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(width)
            file.setframerate(8000)
            file.writeframes(rng.bytes(200 * channels * width))
        yield ".wav", out.getvalue()


def tables(rng):
    rows = rng.normal(size=(30, 2)).round(4).tolist()
    lines = "\n".join(f"{number},{a},{b}" for number, (a, b) in enumerate(rows))
    yield ".csv", f"time,x,y\n{lines}\n".encode()
    yield ".csv", f"time;x;y\n{lines}\n".replace(",", ";").encode("utf-16")
    yield ".tsv", lines.replace(",", "\t").encode()


def arrays(rng):
    for array in (
        rng.normal(size=(2, 50)).astype(np.float32),
        rng.integers(0, 9, (1, 40)).astype(">i2"),
        rng.normal(size=60),
    ):
        out = io.BytesIO()
        np.save(out, array)
        yield ".npy", out.getvalue()


FILES = {
    "image": (pictures, "image", 500),
    "sound": (sounds, "signal", 500),
    "table": (tables, "signal", 200),
    "array": (arrays, "signal", 300),
}


@pytest.fixture(params=[1, pytest.param(SLOW, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def times(request):
    """How many times as many files are tried."""
    return request.param


def answers_of(source):
    """What became of each item, and the longest time that one took."""
    found, longest, began = {}, 0.0, time.monotonic()
    for item, answer in read_all(source, source.listing.items, None, 1):
        now = time.monotonic()
        found[item.id], longest, began = answer, max(longest, now - began), now
    return found, longest


def check(answers, longest):
    assert longest < SECONDS
    for name, answer in answers.items():
        assert isinstance(answer, Reading | Skip), name
        if isinstance(answer, Skip):
            assert answer.reason.strip(), name
        elif answer.array.dtype.kind == "f":
            assert np.isfinite(answer.array).all(), name
    kinds = Counter(type(answer) for answer in answers.values())
    assert min(kinds[Reading], kinds[Skip]) > 0.02 * len(answers), "neither all read nor none"


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_read_or_left_out_with_a_reason(name, times, tmp_path, capfd):
    make, kind, count = FILES[name]
    rng = np.random.default_rng(7)
    whole = list(make(rng))
    paths = []
    for number in range(count * times):
        suffix, content = whole[number % len(whole)]
        paths.append(tmp_path / f"{number}{suffix}")
        paths[-1].write_bytes(damaged(content, rng))
    answers, longest = answers_of(open_inputs(paths, kind))
    assert len(answers) == len(paths)
    check(answers, longest)
    assert capfd.readouterr() == ("", "")


def test_damaged_smiles_are_read_or_left_out_with_a_reason(times, capfd):
    pytest.importorskip("rdkit")
    rng = np.random.default_rng(8)
    texts = [damaged(SMILES[n % len(SMILES)].encode(), rng) for n in range(300 * times)]
    given = [text.decode("latin-1") for text in texts]
    answers, longest = answers_of(open_inputs([text for text in given if text.strip()], "graph"))
    check(answers, longest)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_manifest_is_read_or_refused_in_a_line(times, tmp_path, capfd):
    rng = np.random.default_rng(9)
    for number in range(8):
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(tmp_path / f"{number}.png")
    rows = "".join(f"{number}.png,{'ab'[number % 2]},train\n" for number in range(8))
    content = f"path,label,split\n{rows}".encode()
    refused = 0
    for number in range(200 * times):
        path = tmp_path / "data.csv"
        path.write_bytes(damaged(content, rng))
        try:
            source = open_source(path)
        except DataError as error:
            refused += 1
            assert str(path) in str(error), number
            assert len(str(error).splitlines()) == 1
            continue
        assert source.listing.items or source.listing.skipped
    assert 0 < refused < 200 * times
    assert capfd.readouterr() == ("", "")
