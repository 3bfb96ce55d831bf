"""Steps of a fit whose results are kept, so that a resumed fit goes on from the same."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from safetensors.torch import load, save
from torch import Tensor

from striate.errors import RunError
from striate.files import read_sealed_json, sealed_json, sha256, write_atomic
from striate.run.folder import CHECKPOINTS, RunFolder
from striate.train.strategy import Strategy

T = TypeVar("T")

_FILE: Final = f"{CHECKPOINTS}/steps.json"


def clear_steps(folder: RunFolder) -> None:
    """Delete everything large that a finished fit kept; also where it was killed before it did so."""
    record = folder.path / _FILE
    for path in record.parent.glob("*"):
        if path != record and path.is_file():
            path.unlink()


class Steps:
    """Results by name in the run folder; each is computed once, however often the run is killed.

    Args:
        folder: Folder of the run.
        options: The options that decide the result.
        resume: Whether to go on from what is there.
        say: Told in one line where a file is damaged and made again.
        strategy: The processes of the fit; all take each step, and the writer's result counts.

    Attributes:
        keep: Whether the results of further steps are kept.

    Raises:
        RunError: The folder holds a run already, or one with other options, or its record of the
            steps is damaged.
    """

    def __init__(
        self,
        folder: RunFolder,
        options: Mapping[str, Any],
        *,
        resume: bool,
        say: Callable[[str], object] | None = None,
        strategy: Strategy | None = None,
    ) -> None:
        self.keep = True
        self.folder, self._say = folder, say or (lambda line: None)
        self._strategy = strategy = strategy or Strategy()
        self._path = folder.path / _FILE
        self._path.parent.mkdir(exist_ok=True)
        is_new = strategy.share(not self._path.exists())
        self._entries: dict[str, Any] = {"options": dict(options), "seconds": {}, "steps": {}}
        if is_new:
            self._write()
            return
        if not resume:
            raise RunError(
                f"run folder {str(folder.path)!r} holds a run already",
                fix="go on with it by `resume=True`, or choose another folder with `out=`",
            )
        entries = read_sealed_json(self._path.read_bytes())
        if entries is None:
            raise RunError(
                f"{str(self._path)!r} is not what the fit wrote",
                fix="start again with another `out=`",
            )
        self._entries = entries
        self._compare(options)

    def step(self, name: str, make: Callable[[], T]) -> T:
        """The result of a step, from `make` where there is none yet.

        Args:
            name: Name of the step.
            make: Computes the result, which must fit in JSON.
        """
        steps = self._entries["steps"]
        if name in steps:
            kept: T = steps[name]
            return kept
        # The detour through JSON makes the first run see what a resumed one will see.
        result: T = self._strategy.share(json.loads(json.dumps(make(), allow_nan=False)))
        if self.keep:
            steps[name] = result
            self._write()
        return result

    def tensors(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of a step; a file that is damaged is made again."""
        path = self._path.with_name(f"{name}.safetensors")
        steps = self._entries["steps"]
        data = path.read_bytes() if name in steps and path.exists() else b""
        is_whole = data != b"" and sha256(data) == steps[name]
        if self._strategy.agree(not is_whole):
            if data and not is_whole:
                self._say(f"{path} is not what the fit wrote: made again")
            data = save({key: tensor.contiguous() for key, tensor in make().items()})
            if self._strategy.is_writer:
                write_atomic(path, data)
            self._strategy.barrier()
            data = data if self._strategy.is_writer else path.read_bytes()
            steps[name] = sha256(data)
            self._write()
        return load(data)

    def timed(self, phase: str, work: Callable[[], T]) -> T:
        """Do some work and add its seconds to those of the phase."""
        began = time.monotonic()
        try:
            return work()
        finally:
            seconds = self._entries["seconds"]
            seconds[phase] = seconds.get(phase, 0.0) + time.monotonic() - began
            self._write()

    def seconds(self, phase: str) -> float:
        """Seconds that the phase has taken so far, over all attempts that were not killed."""
        return float(self._entries["seconds"].get(phase, 0.0))

    def clear(self) -> None:
        """Delete everything large: of a finished fit nothing is gone on with."""
        clear_steps(self.folder)

    def _compare(self, options: Mapping[str, Any]) -> None:
        before = self._entries["options"]
        now = json.loads(json.dumps(dict(options)))
        changed = [
            f"{name} was {before.get(name)!r}, is {value!r}"
            for name, value in now.items()
            if before.get(name) != value
        ]
        if changed:
            raise RunError(
                f"cannot resume {str(self.folder.path)!r}",
                why="; ".join(changed),
                fix="resume with the options it began with, or choose another folder with `out=`",
            )

    def _write(self) -> None:
        if self._strategy.is_writer:
            write_atomic(self._path, sealed_json(self._entries))
