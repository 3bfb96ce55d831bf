"""Reading through child processes: order, cleanliness, and calls from anywhere."""

import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import sandbox
from striate.data.layouts import ArraySource
from striate.data.readers.image import decode_image
from striate.data.sandbox import DecoderPool, ProcessorUse, processor_use, read_all, read_item
from striate.data.source import (
    Decoding,
    Item,
    Listing,
    MemorySource,
    Reading,
    Skip,
    TooLargeItem,
    UnreadableItem,
)
from striate.data.unlabelled import open_inputs
from striate.errors import MachineError, MissingExtraError


def images(folder: Path, count: int) -> list[Path]:
    paths = []
    for number in range(count):
        paths.append(folder / f"{number:03}.png")
        Image.new("L", (8 + number, 8), number).save(paths[-1])
    return paths


@pytest.mark.parametrize("workers", [1, 3])
def test_answers_come_in_order_and_equal_reading_in_process(tmp_path: Path, workers: int) -> None:
    paths = images(tmp_path, 30)
    paths[11].write_bytes(b"no image")
    source = open_inputs(paths)
    answers = list(read_all(source, source.listing.items, 4, workers))
    assert [item for item, _ in answers] == list(source.listing.items)
    for number, (item, answer) in enumerate(answers):
        if number == 11:
            assert answer == Skip(id=item.id, reason="not an image")
            continue
        here = source.read(item, 4)
        assert isinstance(answer, Reading)
        np.testing.assert_array_equal(answer.array, here.array)
        assert (answer.sha256, answer.notes) == (here.sha256, here.notes)


def test_notes_name_their_item(tmp_path: Path) -> None:
    (path,) = images(tmp_path, 1)
    path.rename(path.with_suffix(".jpg"))
    source = open_inputs([path.with_suffix(".jpg")])
    ((item, answer),) = read_all(source, source.listing.items, None, 1)
    assert isinstance(answer, Reading)
    assert [(note.code, note.ids) for note in answer.notes] == [("format-mismatch", (item.id,))]


def test_arrays_are_read_without_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    arrays = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
    source = ArraySource(arrays, [0, 1, 0, 1])
    for number, (_, answer) in enumerate(read_all(source, source.listing.items, None, 2)):
        assert isinstance(answer, Reading)
        np.testing.assert_array_equal(answer.array[0], arrays[number])


def children() -> set[int]:
    """Live child processes of this one."""
    pids = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for path in pids for pid in path.read_text().split()}


def test_no_process_and_no_thread_is_left(tmp_path: Path) -> None:
    source = open_inputs(images(tmp_path, 30))
    before, threads = children(), threading.active_count()
    answers = read_all(source, source.listing.items, None, 2)
    next(answers)
    assert len(children() - before) == 2
    answers.close()  # the consumer gave up in the middle
    assert children() == before
    assert len(list(read_all(source, source.listing.items, None, 2))) == 30
    assert children() == before
    assert threading.active_count() <= threads + 2  # watches that are about to notice the end


def test_a_child_that_cannot_start_is_the_machines_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_PROGRAM", "import sys; sys.exit(3)")
    source = open_inputs(images(tmp_path, 1))
    with pytest.raises(MachineError, match=r"did not start.*exit status 3"):
        list(read_all(source, source.listing.items, None, 1))


def test_a_stopped_decoder_is_replaced(tmp_path: Path) -> None:
    from striate.data.source import UnreadableItem

    (path,) = images(tmp_path, 1)
    pool = DecoderPool(seconds=0.5)
    try:
        pool.decode(Decoding(decode_image, path))
        os.kill(pool._own.decoder._process.pid, signal.SIGSTOP)
        with pytest.raises(UnreadableItem, match=r"took over 0\.5 s"):
            pool.decode(Decoding(decode_image, path))
        assert pool.decode(Decoding(decode_image, path)).array.shape == (3, 8, 8)
    finally:
        pool.close()


def test_on_a_busy_machine_a_decoder_has_more_time(tmp_path: Path, monkeypatch) -> None:
    """It is stopped for twice its time, as one that other work leaves no processor."""
    (path,) = images(tmp_path, 1)
    pool = DecoderPool(seconds=0.5)
    try:
        pool.decode(Decoding(decode_image, path))
        decoder = pool._own.decoder
        monkeypatch.setattr(decoder, "_use", lambda: ProcessorUse(True, 0.0))
        os.kill(decoder._process.pid, signal.SIGSTOP)
        threading.Timer(1.0, os.kill, (decoder._process.pid, signal.SIGCONT)).start()
        assert pool.decode(Decoding(decode_image, path)).array.shape == (3, 8, 8)
    finally:
        pool.close()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell")
def test_the_processor_time_of_a_process_that_wants_it() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "while True: pass"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        end = time.monotonic() + 60
        while processor_use(process.pid).seconds < 0.1 and time.monotonic() < end:
            time.sleep(0.01)
        first, second = processor_use(process.pid), processor_use(process.pid)
        assert first.wanted and second.seconds >= first.seconds >= 0.1
        os.kill(process.pid, signal.SIGSTOP)
        while processor_use(process.pid).wanted and time.monotonic() < end:
            time.sleep(0.01)
        assert not processor_use(process.pid).wanted
    finally:
        process.kill()
        process.communicate()
    assert processor_use(process.pid) == (False, 0.0)


SCRIPT = """
from pathlib import Path
from striate.data.sandbox import read_all
from striate.data.unlabelled import open_inputs
print("script runs")
source = open_inputs([Path("pictures")])
print([type(answer).__name__ for _, answer in read_all(source, source.listing.items, None, 2)])
"""


@pytest.mark.parametrize("how", ["script", "stdin", "-c"])
def test_called_without_a_main_guard_or_a_main_module(tmp_path: Path, how: str) -> None:
    (tmp_path / "pictures").mkdir()
    images(tmp_path / "pictures", 3)
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = {"script": ["script.py"], "stdin": ["-"], "-c": ["-c", SCRIPT]}[how]
    done = subprocess.run(
        [sys.executable, *arguments],
        input=SCRIPT if how == "stdin" else None,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"script runs\n{['Reading'] * 3}\n"
    assert done.stderr == ""


ODD_READERS = """
import os
import striate.data.sandbox as sandbox
import striate.data.readers.image as image
from striate.errors import DataError, MissingExtraError
RAISED = {"key": KeyError("Rows"), "bare": RuntimeError(), "data": DataError("odd", why="so")}
def read(path, **options):
    os.write(2, b"TIFFReadDirectory: Warning, Unknown field\\n")
    if path.stem == "extra": raise MissingExtraError("av", "video")
    raise RAISED[path.stem]
image.read_image = read
sandbox.serve()
"""


def test_whatever_a_reader_raises_is_that_items_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = sandbox._PROGRAM.replace("serve()", "") + ODD_READERS
    monkeypatch.setattr(sandbox, "_PROGRAM", program)
    said = {"key": "KeyError: 'Rows'", "bare": "RuntimeError", "data": "odd: so"}
    for name in (*said, "extra"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    source = open_inputs([tmp_path / f"{name}.png" for name in said])
    answers = [answer for _, answer in read_all(source, source.listing.items, None, 1)]
    assert [a.reason for a in answers if isinstance(a, Skip)] == list(said.values())
    source = open_inputs([tmp_path / "extra.png"])
    with pytest.raises(MissingExtraError, match=r"av is not installed; .*striate\[video\]"):
        list(read_all(source, source.listing.items, None, 1))
    assert capfd.readouterr() == ("", "")


def test_whatever_a_reader_of_this_process_raises_is_that_items_skip() -> None:
    def read(item: Item) -> Reading:
        if item.id == "a":
            raise IndexError("list index out of range")
        return Reading(array=np.zeros((1, 4), np.float32), sha256="")

    items = (Item(id="a"), Item(id="b"))
    source = MemorySource("signal", "odd", Listing(items=items), read)
    (_, first), (_, second) = read_all(source, items, None, 1)
    assert first == Skip(id="a", reason="IndexError: list index out of range")
    assert isinstance(second, Reading)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"<html>", "foreign"),
        (b"%PDF-1.7 " + bytes(200), "foreign"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "damaged"),
        (b"", "damaged"),
        ("bomb", "large"),
    ],
)
def test_the_cause_of_an_unreadable_item_passes_from_the_child(content, cause):
    source = open_inputs([_png_of(20_000, 20_000) if content == "bomb" else content])
    pool = DecoderPool()
    try:
        with pytest.raises(UnreadableItem) as refused:
            read_item(source, source.listing.items[0], 64, pool)
    finally:
        pool.close()
    assert refused.value.cause == cause


def test_what_is_larger_than_is_taken_is_not_received_and_the_next_item_is(monkeypatch):
    contents = []
    for side in (64, 16):
        out = io.BytesIO()
        Image.new("RGB", (side, side)).save(out, "PNG")
        contents.append(out.getvalue())
    source = open_inputs(contents)
    large, small = source.listing.items
    pool = DecoderPool(max_bytes=3 * 16 * 16)
    received = []
    receive = sandbox._Decoder._receive
    monkeypatch.setattr(
        sandbox._Decoder, "_receive", lambda self, n: received.append(n) or receive(self, n)
    )
    try:
        with pytest.raises(TooLargeItem, match="expands to 12288 bytes, over the limit of 768"):
            read_item(source, large, None, pool)
        assert max(received) < 12288
        assert read_item(source, small, None, pool).array.nbytes == 768
    finally:
        pool.close()


def _png_of(width, height):
    """A PNG that says it is so large, without the pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_decoders_that_ended_are_forgotten():
    pool = DecoderPool()
    for _ in range(2):
        with pytest.raises(UnreadableItem, match="crashed"):
            pool.decode(Decoding(exec, b"import os; os.abort()"))
    assert pool._all == []
    pool.close()
