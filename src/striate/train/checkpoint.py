"""Checkpoints that survive a kill, a full disk and flipped bits.

A checkpoint is one file, `NUMBER-SHA256.safetensors`, whose name holds the checksum of its content.
It is written whole or not at all; the plain values stand in its metadata. Training goes on while a
thread serializes, hashes and writes a state, which is a copy.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from striate.errors import RunError, StorageError
from striate.files import write_atomic
from striate.typing import PathLike

NUM_KEPT: Final = 2
"""Checkpoints kept: the last, and the one before it in case the last is damaged."""

_NAME: Final = re.compile(r"(\d{6})-([0-9a-f]{64})\.safetensors")


@dataclass(frozen=True, kw_only=True)
class State:
    """A moment of a training run.

    Attributes:
        tensors: Contiguous copies on the CPU, by dotted name.
        values: Plain values, fit for JSON.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any] = field(default_factory=dict)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under a prefix, without it."""
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}

    def first_not_finite(self) -> str | None:
        """The name of a tensor that holds NaN or Inf; None where all are finite."""
        bad = (name for name, t in self.tensors.items() if not bool(torch.isfinite(t).all()))
        return next(bad, None)


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: The folder, which is made where it is missing.
        say: Told in one line what a user should know.
        interval: Seconds after which a checkpoint is due within an epoch.
        clock: Gives the time in seconds.
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
        self._say, self._interval, self._clock = say, interval, clock
        self._saved_at = clock()
        self._damaged: set[Path] = set()
        self._writing: _Writing | None = None

    def due(self) -> bool:
        """Whether the last save is longer ago than the interval, and none is still being written.

        Raises:
            StorageError: The last save has failed.
        """
        if self._writing is not None and not self._writing.is_alive():
            self.wait()
        return self._writing is None and self._clock() - self._saved_at >= self._interval

    def save_behind(self, state: State) -> None:
        """Write a checkpoint while training goes on, once the one before is written.

        Args:
            state: Is not changed any more; it is kept until it is written.

        Raises:
            StorageError: The one before could not be written; earlier checkpoints stay.
        """
        self.wait()
        self._saved_at = self._clock()
        self._writing = _Writing(lambda: self.save(state))
        self._writing.start()

    def wait(self) -> None:
        """Wait for what is being written.

        Raises:
            StorageError: It could not be written; earlier checkpoints stay.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.join()
            if writing.error is not None:
                raise writing.error

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """A block of work, at whose end, whatever that is, all is written.

        Raises:
            StorageError: It could not be; an error of the work itself comes before that.
        """
        try:
            yield
        except BaseException:
            if self._writing is not None:
                self._writing.join()
            raise
        self.wait()

    def save(self, state: State) -> None:
        """Write a checkpoint and make it durable; then drop all but the last two.

        Raises:
            StorageError: There is no space, or the system could not write; earlier checkpoints
                stay.
        """
        assert state.first_not_finite() is None, "a checkpoint must be finite"
        values = json.dumps(state.values, allow_nan=False)
        data = save(dict(state.tensors), metadata={"values": values})
        paths = self._paths()
        number = int(paths[-1].name[:6]) + 1 if paths else 1
        path = self.folder / f"{number:06d}-{_digest(data)}.safetensors"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
        except (OSError, StorageError) as error:
            path.unlink(missing_ok=True)  # it may be there, but not durable
            raise StorageError(
                f"the checkpoint {path} was not saved",
                why=error.why if isinstance(error, StorageError) else str(error),
                fix=("the one before it is intact; " if paths else "")
                + "mend the disk and use `resume=True`",
            ) from error
        self._saved_at = self._clock()
        self._prune()

    def load_latest(self) -> State | None:
        """The last checkpoint that is whole; None where there was never one.

        Raises:
            RunError: There are checkpoints, and all are damaged.
        """
        self.wait()
        paths = self._paths()
        for path in reversed(paths):
            data = path.read_bytes()
            if path.name == f"{path.name[:6]}-{_digest(data)}.safetensors":
                header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
                return State(
                    tensors=load(data), values=json.loads(header["__metadata__"]["values"])
                )
            self._damaged.add(path)
            self._say(f"checkpoint {path}: checksum mismatch; trying the one before")
        if paths:
            raise RunError(
                f"no checkpoint in {self.folder} is whole", fix="start again without `resume=True`"
            )
        return None

    def _paths(self) -> list[Path]:
        """The checkpoints, the last one at the end."""
        return sorted(p for p in self.folder.glob("*.safetensors") if _NAME.fullmatch(p.name))

    def _prune(self) -> None:
        """Drop all but the last whole checkpoints, and what a kill left half written."""
        kept = [path for path in self._paths() if path not in self._damaged][-NUM_KEPT:]
        for path in self.folder.iterdir():
            if _NAME.search(path.name) and path not in kept:
                path.unlink(missing_ok=True)


class _Writing(threading.Thread):
    """A thread that writes one checkpoint, and keeps what went wrong."""

    def __init__(self, write: Callable[[], None]) -> None:
        super().__init__(name="checkpoint")
        self.error: BaseException | None = None
        self._write = write

    def run(self) -> None:
        try:
            self._write()
        except BaseException as error:
            self.error = error


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def named(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of several parts, the part's name before each."""
    return {
        f"{part}.{name}": value
        for part, tensors in parts.items()
        for name, value in tensors.items()
    }


def snapshot(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU."""
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }


@torch.no_grad()
def restore(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy saved tensors into the network's own, bit for bit.

    Raises:
        RunError: They are of another network.
    """
    own = network.state_dict(keep_vars=True)
    if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in tensors.items()}:
        raise RunError(
            "the checkpoint is of another network", fix="resume with the model it began with"
        )
    for name, value in own.items():
        value.copy_(tensors[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's moments and counters as `<number of the parameter>.<name>`."""
    states = optimizer.state_dict()["state"]
    return {f"{i}.{key}": value for i, state in states.items() for key, value in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put saved moments and counters back.

    Moments take the layout of their parameter, as torch makes them: another layout may round
    otherwise, which `load_state_dict` does not heed.
    """
    optimizer.state.clear()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, value in tensors.items():
        number, key = name.split(".", 1)
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=value.dtype).detach().copy_(value)
        else:  # the step counter, which stays on the CPU unless the optimizer is fused
            fused = optimizer.defaults.get("fused")
            value = value.to(parameter.device if fused else "cpu", copy=True)
        optimizer.state[parameter][key] = value
