"""Checkpoints that survive a kill, a full disk and flipped bits.

A checkpoint is `<number>.safetensors` and, written after it, `<number>.json`, which holds the plain
values and the SHA-256 of both. Each is written beside its name, made durable and renamed, so the
JSON file is there only once the whole checkpoint is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from striate.errors import RunError, StorageError, StriateError
from striate.train.state import State
from striate.typing import PathLike

KEPT = 2
"""Checkpoints kept: the last, and the one before in case the last is damaged."""


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: made where it is missing.
        say: told in one line what a user should know.
        interval: seconds after which a checkpoint is due within an epoch.
        clock: the time in seconds.
    """

    def __init__(
        self,
        folder: PathLike,
        *,
        say: Callable[[str], None],
        interval: float = 60.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.folder = Path(folder)
        self._say = say
        self._interval = interval
        self._clock = clock
        self._saved_at = clock()
        self._damaged: set[int] = set()

    def due(self) -> bool:
        """Whether the last save is longer ago than the interval."""
        return self._clock() - self._saved_at >= self._interval

    def save(self, state: State) -> None:
        """Write a checkpoint and make it durable; then drop all but the last two.

        Raises:
            StorageError: no space, or the system could not write; earlier checkpoints stay.
        """
        assert state.first_not_finite() is None, "a checkpoint must be finite"
        data = save(dict(state.tensors))
        content = {"sha256": _digest(data), "values": state.values}
        manifest = _encode({"sha256": _digest(_encode(content)), "content": content})
        numbers = self._numbers()
        number = numbers[-1] + 1 if numbers else 1
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_space(len(data) + len(manifest))
            self._write(self._tensors(number), data)
            self._write(self._manifest(number), manifest)
        except OSError as error:
            raise StorageError(
                f"the checkpoint {self._tensors(number)} was not saved",
                why=error.strerror or str(error),
                fix="the one before it is intact; mend the disk and use --resume",
            ) from error
        self._saved_at = self._clock()
        self._prune()

    def load_latest(self) -> State | None:
        """The last checkpoint that is whole; None where there was never one.

        Raises:
            RunError: there are checkpoints, and all are damaged.
        """
        numbers = self._numbers()
        for number in reversed(numbers):
            try:
                return self._load(number)
            except _DamagedError as damage:
                self._damaged.add(number)
                self._say(f"checkpoint {self._tensors(number)}: {damage}; trying the one before")
        if numbers:
            raise RunError(
                f"no checkpoint in {self.folder} is whole", fix="start again without --resume"
            )
        return None

    def _load(self, number: int) -> State:
        try:
            manifest = json.loads(self._manifest(number).read_bytes())
            content = manifest["content"]
            data = self._tensors(number).read_bytes()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _DamagedError("it cannot be read") from error
        same = manifest.get("sha256") == _digest(_encode(content))
        if not same or content.get("sha256") != _digest(data):
            raise _DamagedError("checksum mismatch")
        try:
            return State(tensors=load(data), values=content["values"])
        except (SafetensorError, KeyError) as error:
            raise _DamagedError("it cannot be read") from error

    def _numbers(self) -> list[int]:
        return sorted(int(p.stem) for p in self.folder.glob("*.json") if p.stem.isdigit())

    def _tensors(self, number: int) -> Path:
        return self.folder / f"{number:06d}.safetensors"

    def _manifest(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"

    def _check_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise StorageError(
                f"no space for a checkpoint in {self.folder}",
                why=f"it needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free",
                fix="the last good one is kept; free some space and use --resume",
            )

    def _write(self, path: Path, data: bytes) -> None:
        """All of the file or nothing, and durable on return."""
        temporary = path.with_suffix(path.suffix + ".part")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(self.folder)
        except OSError:
            temporary.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise

    def _prune(self) -> None:
        """Drop all but the last whole checkpoints, and what a kill left half written."""
        kept = [number for number in self._numbers() if number not in self._damaged][-KEPT:]
        for path in self.folder.iterdir():
            number, _, suffix = path.name.partition(".")
            ours = number.isdigit() and suffix.removesuffix(".part") in ("safetensors", "json")
            if ours and (int(number) not in kept or suffix.endswith(".part")):
                path.unlink(missing_ok=True)


class _DamagedError(StriateError):
    """A checkpoint that is not what was written."""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _encode(value: Any) -> bytes:
    """The same bytes for the same values."""
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def _sync_folder(folder: Path) -> None:
    """Make renames durable; systems without open folders (Windows) do so themselves."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
