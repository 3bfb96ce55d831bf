"""Decoding in processes of its own: a file that hangs or crashes a decoder costs one item.

A `Decoder` is a child process that decodes one file at a time. It is an ordinary program talking
over its standard input and output, not a `multiprocessing` worker: nothing of the parent is
forked (torch's threads would not survive it) or imported (a script without a `__main__` guard
works), and no object is pickled. One that is over its time is killed; the next file gets a new
one.

On the wire, little-endian:

- request: length of the path, size wanted (0 for full size), then the path's bytes
- answer: length of a JSON head, length of the pixels, then both. The head is `{"skip": reason}`
  or `{"shape", "sha256", "notes"}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.readers.image import DEFAULT_LIMITS, DecodeLimits, decode_image
from striate.data.source import Item, Note, Reading, Skip, Source, UnreadableItem
from striate.errors import MachineError

_REQUEST: Final = struct.Struct("<II")
_ANSWER: Final = struct.Struct("<IQ")
_READY: Final = b"+"
_START_SECONDS: Final = 60.0
_PIPE_BYTES: Final = 2**20
"""Capacity of a pipe, where the system lets one choose: a decoded photo in one go."""

_PROGRAM: Final = """
import json, sys
sys.path[:], limits = json.loads(sys.argv[1])
from striate.data.sandbox import serve
serve(limits)
"""

_READ_AHEAD: Final = 4
"""Items read ahead of the consumer, per worker."""


def read_all(
    source: Source,
    items: Iterable[Item],
    size: int | None,
    workers: int | None = None,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> Iterator[tuple[Item, Reading | Skip]]:
    """Read items in their order, skipping those that cannot be read.

    Image files are decoded in child processes, so that one that hangs or crashes a decoder is
    skipped like any other; items without a file are read in this process.

    Args:
        source: what the items belong to.
        items: items of `source.listing`.
        size: the shorter side wanted, in pixels (see `Source.read`).
        workers: child processes; one for each core where it is not said.
        limits: what is refused.
    """
    workers = workers or available_cores()
    pool = DecoderPool(limits)
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
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read(source: Source, item: Item, size: int | None, pool: DecoderPool) -> Reading | Skip:
    path = source.path(item)
    try:
        if path is None or source.kind != "image":
            return source.read(item, size)
        reading = pool.decode(path, size)
    except UnreadableItem as error:
        return Skip(id=item.id, reason=error.reason)
    return replace(reading, notes=tuple(replace(n, ids=(item.id,)) for n in reading.notes))


class DecoderPool:
    """Decoders, one for each thread that asks at the same time, and a watch over their time.

    Args:
        limits: what is refused; `limits.seconds` is the time for one file.
    """

    def __init__(self, limits: DecodeLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._all: set[_Decoder] = set()
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="decoder-watch", daemon=True).start()

    def decode(self, path: Path, size: int | None = None) -> Reading:
        """What `decode_image` returns, computed in a child process.

        Raises:
            UnreadableItem: as `decode_image`; the decoder crashed; or it was over its time.
            MachineError: no child process can be started.
        """
        decoder = self._take()
        try:
            return decoder.decode(path, size)
        finally:
            self._give_back(decoder)

    def close(self) -> None:
        """End the child processes; what they are at is lost."""
        self._closed.set()
        with self._lock:
            decoders, self._all = self._all, set()
            self._idle = []
        for decoder in decoders:
            decoder.end()

    def _take(self) -> _Decoder:
        with self._lock:
            while self._idle:
                decoder = self._idle.pop()
                if decoder.alive():
                    return decoder
                self._all.discard(decoder)
                decoder.end()
            decoder = _Decoder(self.limits)
            self._all.add(decoder)
            return decoder

    def _give_back(self, decoder: _Decoder) -> None:
        with self._lock:
            if decoder.alive() and not self._closed.is_set():
                self._idle.append(decoder)
                return
            self._all.discard(decoder)
        decoder.end()

    def _watch(self) -> None:
        while not self._closed.wait(min(0.25, self.limits.seconds / 4)):
            with self._lock:
                decoders = list(self._all)
            for decoder in decoders:
                decoder.stop_if_late()


class _Decoder:
    """One child process; used by one thread at a time."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._late = False
        # -S: the parent's search path is handed over, so looking for packages is not repeated.
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _PROGRAM, json.dumps([_search_path(), asdict(limits)])],
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

    def decode(self, path: Path, size: int | None) -> Reading:
        if not self._ready:
            self._wait_until_ready()
        name = os.fsencode(path.absolute())
        self._set_deadline(self._limits.seconds)
        try:
            self._requests.write(_REQUEST.pack(len(name), size or 0) + name)
            self._requests.flush()
            head_length, pixel_length = _ANSWER.unpack(self._receive(_ANSWER.size).tobytes())
            head = json.loads(self._receive(head_length).tobytes())
            pixels = self._receive(pixel_length)
        except (OSError, EOFError):
            self._process.wait()
            if self._late:
                raise UnreadableItem(f"the decoder took over {self._limits.seconds:g} s") from None
            raise UnreadableItem(
                f"the decoder crashed (exit status {self._process.returncode})"
            ) from None
        finally:
            self._set_deadline(None)
        if "skip" in head:
            raise UnreadableItem(head["skip"])
        return Reading(
            array=pixels.reshape(head["shape"]),
            sha256=head["sha256"],
            notes=tuple(Note(**note) for note in head["notes"]),
        )

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop_if_late(self) -> None:
        with self._lock:
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._late = True
                self._process.kill()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with contextlib.suppress(OSError):  # half a request is left, and nobody to read it
            self._requests.close()

    def _wait_until_ready(self) -> None:
        self._set_deadline(_START_SECONDS)
        try:
            self._receive(len(_READY))
        except (OSError, EOFError):
            self._process.wait()
            raise MachineError(
                "the decoding process did not start",
                why=f"{sys.executable} left with exit status {self._process.returncode}",
            ) from None
        finally:
            self._set_deadline(None)
        self._ready = True

    def _set_deadline(self, seconds: float | None) -> None:
        with self._lock:  # not while the watch is about to kill
            self._deadline = None if seconds is None else time.monotonic() + seconds

    def _receive(self, length: int) -> NDArray[np.uint8]:
        buffer: NDArray[np.uint8] = np.empty(length, np.uint8)
        if self._answers.readinto(buffer.data) != length:  # type: ignore[attr-defined]
            raise EOFError
        return buffer


def _search_path() -> list[str]:
    """Where the child finds packages; first this one, however it was installed."""
    return [str(Path(__file__).parents[2]), *sys.path]


def serve(limits: dict[str, float]) -> None:
    """Decode what is asked for on standard input until it ends: the child's whole life.

    Args:
        limits: the fields of a `DecodeLimits`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what ends on Ctrl-C
    allowed = DecodeLimits(**limits)  # type: ignore[arg-type]
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not land among the answers
    answers.write(_READY)
    answers.flush()
    while header := requests.read(_REQUEST.size):
        name_length, size = _REQUEST.unpack(header)
        path = Path(os.fsdecode(requests.read(name_length)))
        head, pixels = _answer(path, size or None, allowed)
        encoded = json.dumps(head).encode()
        answers.write(_ANSWER.pack(len(encoded), len(pixels)) + encoded)
        answers.write(pixels)
        answers.flush()


def _answer(
    path: Path, size: int | None, limits: DecodeLimits
) -> tuple[dict[str, object], bytes | memoryview]:
    try:
        reading = decode_image(path, size=size, limits=limits)
    except UnreadableItem as error:
        return {"skip": error.reason}, b""
    head: dict[str, object] = {
        "shape": reading.array.shape,
        "sha256": reading.sha256,
        "notes": [
            {"code": note.code, "message": note.message, "severity": note.severity}
            for note in reading.notes
        ],
    }
    return head, reading.array.reshape(-1).data
