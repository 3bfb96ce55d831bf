"""What a fit has found and decided so far, kept so that a resumed fit goes on from the same."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from safetensors.torch import load, save
from torch import Tensor

from striate.errors import RunError
from striate.files import write_atomic
from striate.run.folder import CHECKPOINTS, RunFolder

_FILE: Final = f"{CHECKPOINTS}/ledger.json"


class Ledger:
    """Results by topic in the run folder; each is computed once, however often the run is killed.

    Args:
        folder: of the run.
        choices: the options that decide the result.
        resume: go on from what is there.

    Raises:
        RunError: the folder holds another run already, or one with other options.
    """

    def __init__(self, folder: RunFolder, choices: Mapping[str, Any], *, resume: bool) -> None:
        self.folder = folder
        self._path = folder.path / _FILE
        self._path.parent.mkdir(exist_ok=True)
        self._entries: dict[str, Any] = {"choices": dict(choices), "seconds": {}}
        if not self._path.exists():
            self._write()
            return
        if not resume:
            raise RunError(
                f"run folder {str(folder.path)!r} holds a run already",
                fix="go on with it by --resume, or choose another folder with --out",
            )
        self._entries = folder.read_json(_FILE)
        self._compare(choices)

    def decide(self, topic: str, make: Callable[[], Any]) -> Any:
        """The result on a topic, from `make` where there is none yet; it must fit in JSON."""
        if topic not in self._entries:
            # The detour through JSON makes the first run see what a resumed one will see.
            self._entries[topic] = json.loads(json.dumps(make(), allow_nan=False))
            self._write()
        return self._entries[topic]

    def tensors(self, topic: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The same for tensors; a file that is damaged is made again."""
        path = self._path.with_name(f"{topic}.safetensors")
        if topic in self._entries and path.exists():
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == self._entries[topic]:
                return load(data)
        data = save({name: tensor.contiguous() for name, tensor in make().items()})
        write_atomic(path, data)
        self._entries[topic] = hashlib.sha256(data).hexdigest()
        self._write()
        return load(data)

    def timed(self, phase: str, work: Callable[[], Any]) -> Any:
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

    def _compare(self, choices: Mapping[str, Any]) -> None:
        before = self._entries["choices"]
        now = json.loads(json.dumps(dict(choices)))
        changed = [
            f"{name} was {before.get(name)!r}, is {value!r}"
            for name, value in now.items()
            if before.get(name) != value
        ]
        if changed:
            raise RunError(
                f"cannot resume {str(self.folder.path)!r}",
                why="; ".join(changed),
                fix="resume with the options it began with, or choose another --out",
            )

    def _write(self) -> None:
        self.folder.write_json(_FILE, self._entries)
