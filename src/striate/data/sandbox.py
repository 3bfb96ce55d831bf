"""Decoding in processes of its own: a file that hangs or crashes a decoder costs one item.

A `Decoder` is a child process that decodes one file at a time. It is an ordinary program talking
over its standard input and output, not a `multiprocessing` worker: nothing of the parent is
forked (torch's threads would not survive it) or imported (a script without a `__main__` guard
works), and no object is pickled: the parent names a function of a module, which the child
imports. A process that is over its time is killed, unless a busy machine has left it no time to
work; the next file gets a new one.

On the wire, little-endian:

- request: length of a JSON head, length of the file's content (0 where the head has its path),
  then both. The head is `{"module", "function", "path", "size"}`, without a size for full size.
- answer: length of a JSON head, length of the array's bytes, then both. The head is
  `{"skip": reason, "cause": word}`, `{"missing": [package, extra]}` or
  `{"shape", "dtype", "sha256", "spacing", "notes"}`.

Whatever a decoder or a reader raises on one item is that item's skip, with the exception's type
where no reader means to raise it. What a decoder writes to the terminal goes nowhere.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data.source import (
    UNREADABLE,
    Decoding,
    Item,
    Note,
    Reading,
    Skip,
    Source,
    TooLargeItem,
    UnreadableItem,
)
from striate.errors import DataError, MachineError, MissingExtraError

DECODE_SECONDS: Final = 10.0
"""The time in which a child process must decode one file."""

_LENGTHS: Final = struct.Struct("<IQ")
_STARVED: Final = 6
"""A process that gets little time on a processor, for others are busy, has so many times as long."""

_WANTING: Final = "RD"
_USER_TIME: Final = 10
_READY: Final = b"+"
_START_SECONDS: Final = 60.0
_PIPE_BYTES: Final = 2**20
"""The capacity of a pipe, where the system lets one choose: a decoded photo in one go."""

_PROGRAM: Final = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from striate.data.sandbox import serve
serve()
"""

_READ_AHEAD: Final = 4
"""Items read ahead of the consumer, per worker."""


def read_all(
    source: Source,
    items: Iterable[Item],
    size: int | None,
    workers: int | None = None,
    seconds: float = DECODE_SECONDS,
) -> Generator[tuple[Item, Reading | Skip], None, None]:
    """Read items in their order, skipping those that cannot be read.

    Files whose reader says so are decoded in child processes, so that one that hangs or crashes a
    decoder is skipped like any other; all other items are read by threads of this process.

    Args:
        source: The source that the items belong to.
        items: Items of `source.listing`.
        size: The shorter side wanted, in pixels (see `Source.read`).
        workers: The number of items read at the same time; one for each core by default.
        seconds: The time in which a child process must decode one file.
    """
    workers = workers or available_cores()
    pool = DecoderPool(seconds)
    with ThreadPoolExecutor(workers) as threads:
        pending: deque[tuple[Item, Future[Reading | Skip]]] = deque()
        try:
            for item in items:
                pending.append((item, threads.submit(_read, source, item, size, pool)))
                if len(pending) > _READ_AHEAD * workers:
                    done, future = pending.popleft()
                    yield done, future.result()
            while pending:
                done, future = pending.popleft()
                yield done, future.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            pool.close()


def available_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read(source: Source, item: Item, size: int | None, pool: DecoderPool) -> Reading | Skip:
    """Read one item, or say why it is left out."""
    try:
        return read_item(source, item, size, pool)
    except MachineError:
        raise
    except UnreadableItem as error:
        return Skip(id=item.id, reason=error.reason)


def read_item(source: Source, item: Item, size: int | None, pool: DecoderPool) -> Reading:
    """Read one item, its notes naming it.

    Args:
        source: The source that the item belongs to.
        item: One of `source.listing`.
        size: The shorter side wanted, in pixels (see `Source.read`).
        pool: The processes that decode it where its reader says so.

    Raises:
        UnreadableItem: It cannot be read, whatever its reader raised.
        MissingExtraError: Reading it needs a package that is not installed.
        MachineError: No child process can be started.
    """
    try:
        decoding = source.isolated(item, size)
        if decoding is not None:
            reading = pool.decode(decoding)
        else:
            with np.errstate(all="ignore"):  # numbers that overflow are told by the reading
                reading = source.read(item, size)
    except (MachineError, UnreadableItem):
        raise
    except DataError as error:
        raise UnreadableItem(str(error)) from None
    except Exception as error:
        raise UnreadableItem.because_of(error) from error
    return replace(reading, notes=tuple(replace(note, ids=(item.id,)) for note in reading.notes))


class DecoderPool:
    """Decoders, one for each thread that asks, and a watch over their time.

    Args:
        seconds: The time in which each must decode one file.
        max_bytes: The most bytes of an item that it gives; any number by default.
    """

    def __init__(self, seconds: float = DECODE_SECONDS, max_bytes: int | None = None) -> None:
        self._seconds, self._max_bytes = seconds, max_bytes
        self._own = threading.local()
        self._all: list[_Decoder] = []
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="decoder-watch", daemon=True).start()

    def decode(self, decoding: Decoding) -> Reading:
        """What the decoding of a file gives, computed in a child process.

        Raises:
            UnreadableItem: The decoding raises anything, crashes, is over its time, or gives more
                bytes than are taken.
            MissingExtraError: The decoding needs a package that is not installed.
            MachineError: No child process can be started.
        """
        decoder: _Decoder | None = getattr(self._own, "decoder", None)
        if decoder is None or not decoder.alive():
            decoder = self._own.decoder = _Decoder(self._seconds, self._max_bytes)
            self._all.append(decoder)
        try:
            return decoder.decode(decoding)
        finally:
            if self._closed.is_set() or not decoder.alive():
                decoder.end()
                self._all.remove(decoder)

    def close(self) -> None:
        """End the child processes; what they are at is lost."""
        self._closed.set()
        for decoder in list(self._all):
            decoder.end()

    def _watch(self) -> None:
        while not self._closed.wait(min(0.25, self._seconds / 4)):
            for decoder in list(self._all):
                decoder.stop_if_late()


class _Decoder:
    """One child process; used by one thread at a time."""

    def __init__(self, seconds: float, max_bytes: int | None) -> None:
        self._seconds, self._max_bytes = seconds, max_bytes
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._watched: float | None = None
        self._spent_before = 0.0
        self._late = False
        # -S: the parent's search path is handed over, so looking for packages is not repeated.
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _PROGRAM, json.dumps(_search_path())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE_BYTES,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        self._ready = False

    def decode(self, decoding: Decoding) -> Reading:
        if not self._ready:
            self._wait_until_ready()
        decode, content, size, patience = decoding
        seconds = self._seconds * patience
        request: dict[str, Any] = {"module": decode.__module__, "function": decode.__qualname__}
        if isinstance(content, Path):
            request["path"], content = os.fspath(content.absolute()), b""
        if size is not None:
            request["size"] = size
        try:
            with self._within(seconds):
                _send(self._requests, request, content)
                head_length, length = _LENGTHS.unpack(self._receive(_LENGTHS.size).tobytes())
                head = json.loads(self._receive(head_length).tobytes())
                if self._max_bytes is not None and length > self._max_bytes:
                    self._process.kill()  # what it sends cannot be skipped
                    self._process.wait()
                    raise TooLargeItem(
                        f"it expands to {length} bytes, over the limit of {self._max_bytes}"
                    )
                values = self._receive(length)
        except (OSError, EOFError):
            self._process.wait()
            if self._late:
                raise UnreadableItem(f"the decoder took over {seconds:g} s") from None
            raise UnreadableItem(
                f"the decoder crashed (exit status {self._process.returncode})"
            ) from None
        if "missing" in head:
            raise MissingExtraError(*head["missing"])
        if "skip" in head:
            raise UNREADABLE[head["cause"]](head["skip"])
        return Reading(
            array=values.view(head["dtype"]).reshape(head["shape"]),
            sha256=head["sha256"],
            spacing=tuple(head["spacing"]),
            notes=tuple(Note(**note) for note in head["notes"]),
        )

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop_if_late(self) -> None:
        with self._lock:
            if self._deadline is None:
                return
            if self._deadline != self._watched:
                self._watched, self._spent_before = self._deadline, self._use().seconds
            late = time.monotonic() - self._deadline
            if late > 0 and not (late < (_STARVED - 1) * self._seconds and self._starves()):
                self._late = True
                self._process.kill()

    def _starves(self) -> bool:
        """Whether it would go on, but other work leaves it little time on a processor."""
        use = self._use()
        return use.wanted and use.seconds - self._spent_before < self._seconds / 2

    def _use(self) -> ProcessorUse:
        return processor_use(self._process.pid)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with contextlib.suppress(OSError):  # half a request is left, and nobody to read it
            self._requests.close()

    def _wait_until_ready(self) -> None:
        try:
            with self._within(_START_SECONDS):
                self._receive(len(_READY))
        except (OSError, EOFError):
            self._process.wait()
            raise MachineError(
                "the decoding process did not start",
                why=f"{sys.executable} left with exit status {self._process.returncode}",
            ) from None
        self._ready = True

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            with self._lock:  # not while the watch is about to kill
                self._deadline = None

    def _receive(self, length: int) -> NDArray[np.uint8]:
        buffer: NDArray[np.uint8] = np.empty(length, np.uint8)
        if self._answers.readinto(buffer.data) != length:  # type: ignore[attr-defined]  # a buffered pipe
            raise EOFError
        return buffer


class ProcessorUse(NamedTuple):
    """How a process uses the processor.

    Attributes:
        wanted: Whether it wants to go on, on a processor or the disk, and waits for nothing else.
        seconds: Seconds on a processor so far.
    """

    wanted: bool
    seconds: float


def processor_use(process: int) -> ProcessorUse:
    """How a process uses the processor; not at all where the system does not tell."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ProcessorUse(False, 0.0)
    state, *numbers = stat.rpartition(")")[2].split()
    user, system = map(int, numbers[_USER_TIME : _USER_TIME + 2])
    return ProcessorUse(state in _WANTING, (user + system) / os.sysconf("SC_CLK_TCK"))


def _search_path() -> list[str]:
    """Where the child finds packages; first this one, however it was installed."""
    return [str(Path(__file__).parents[2]), *sys.path]


def _send(file: IO[bytes], head: dict[str, Any], content: bytes | memoryview) -> None:
    encoded = json.dumps(head).encode()
    file.write(_LENGTHS.pack(len(encoded), len(content)) + encoded)
    file.write(content)
    file.flush()


def serve() -> None:
    """Decode what is asked for on standard input until it ends: the child's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what ends on Ctrl-C
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not land among the answers
    answers.write(_READY)
    answers.flush()
    while header := requests.read(_LENGTHS.size):
        head_length, length = _LENGTHS.unpack(header)
        request = json.loads(requests.read(head_length))
        _send(answers, *_answer(request, requests.read(length)))


def _answer(request: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes | memoryview]:
    decode = getattr(importlib.import_module(request["module"]), request["function"])
    options = {"size": request["size"]} if "size" in request else {}
    try:
        reading: Reading = decode(
            Path(request["path"]) if "path" in request else content, **options
        )
        array = np.ascontiguousarray(reading.array)
    except DataError as error:
        return {"skip": str(error), "cause": getattr(error, "cause", UnreadableItem.cause)}, b""
    except MissingExtraError as error:
        return {"missing": [error.package, error.extra]}, b""
    except Exception as error:
        reason = UnreadableItem.because_of(error).reason
        return {"skip": reason, "cause": UnreadableItem.cause}, b""
    head = {
        "shape": array.shape,
        "dtype": array.dtype.str,
        "sha256": reading.sha256,
        "spacing": reading.spacing,
        "notes": [
            {"code": note.code, "message": note.message, "severity": note.severity}
            for note in reading.notes
        ],
    }
    return head, array.reshape(-1).view(np.uint8).data
