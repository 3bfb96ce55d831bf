"""A run's network in files for other engines, written once into the cache and checked there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from striate.engines import Engine, Session, load_engines
from striate.errors import EngineError, UnknownNameError
from striate.files import (
    read_sealed_json,
    sealed_json,
    sha256,
    sha256_file,
    storage_error,
    user_cache_folder,
    write_atomic,
)
from striate.progress import Progress
from striate.run.deployment.answering import deployment_of
from striate.run.deployment.check import Check, compare_answers
from striate.run.opened import OpenedRun

ENGINES: Final = ("onnx", "openvino")
"""Engines that may answer in torch's place, by the names that `striate export` has for them."""

FOLDER: Final = "engines"
"""Of the cache."""

_CHECK: Final = "check.json"


def digest(*facts: Any) -> str:
    """A name for a file of the cache that follows from facts fit for JSON."""
    return sha256(json.dumps(facts, sort_keys=True).encode())[:32]


def identity(run: OpenedRun) -> dict[str, Any]:
    """Everything of a run that its answers depend on."""
    record = run.record
    return {
        "weights": record.model.sha256,
        "network": [record.model.name, record.model.options],
        "preprocessing": record.preprocessing,
        "calibration": record.calibration,
    }


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The versions of some packages; empty for those that are not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found


@dataclass(frozen=True)
class EngineFile:
    """A run's network for one engine, in the cache.

    Attributes:
        run: The run.
        engine: Reads the file.
    """

    run: OpenedRun
    engine: Engine

    @classmethod
    def of(cls, run: OpenedRun, name: str) -> EngineFile:
        """The file for an engine by its name.

        Raises:
            UnknownNameError: There is no such engine, or it cannot take torch's place.
        """
        if name not in ENGINES:
            raise UnknownNameError("engine", name, ("auto", "torch", *ENGINES))
        return cls(run, load_engines().get(name))

    @cached_property
    def folder(self) -> Path:
        """Where the file lies, or will lie; another run or version has another place."""
        packages = versions(("striate", "torch", *self.engine.packages))
        key = digest(identity(self.run), self.engine.name, packages)
        return user_cache_folder() / FOLDER / key

    @property
    def path(self) -> Path:
        """The file itself."""
        return self.folder / f"model{self.engine.suffix}"

    def check(self) -> Check | None:
        """How its answers compare with torch's; None where it was not written yet, or is damaged."""
        try:
            kept = read_sealed_json((self.folder / _CHECK).read_bytes()) or {}
            sums = {name: sha256_file(self.folder / name) for name in kept["files"]}
            return Check(**kept["check"] | {"beside": ()}) if sums == kept["files"] else None
        except (KeyError, OSError, TypeError):
            return None

    def written(self, progress: Progress) -> Check:
        """Write the file unless it is there, and compare its answers with the run's.

        Args:
            progress: Told of the work.

        Raises:
            MissingExtraError: The engine is not installed.
            EngineError: The engine cannot take the network.
            StorageError: The cache cannot be written.
        """
        self.engine.require()
        found = self.check()
        if found is not None and self.path.is_file():
            return found
        progress.say(f"writing the network for {self.engine.reader}, once")
        on_cpu = OpenedRun(self.run.folder.path, device="cpu")
        deployment = deployment_of(on_cpu, features=True)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".part-") as part:
                self.engine.write(deployment, Path(part) / self.path.name)
                session = self.engine.load(Path(part) / self.path.name)
                found = compare_answers(session, on_cpu, deployment.example, progress)
                del session
                sums = {file.name: sha256_file(file) for file in Path(part).iterdir()}
                for name in sums:
                    (Path(part) / name).replace(self.folder / name)
        except OSError as error:
            raise storage_error(self.folder, 0, error) from None
        write_atomic(self.folder / _CHECK, sealed_json({"files": sums, "check": asdict(found)}))
        return found

    def session(self, progress: Progress) -> Session:
        """The file, ready to answer; it is written first where it is not there.

        Args:
            progress: Told of the work.

        Raises:
            EngineError: The engine cannot take the network, or answers otherwise than torch.
            MissingExtraError: The engine is not installed.
            StorageError: The cache cannot be written.
        """
        found = self.written(progress)
        if not found.agrees:
            raise EngineError(
                f"{self.engine.reader} answers otherwise",
                why=found.as_text(),
                fix="use `engine='torch'`",
            )
        return self.loaded()

    def loaded(self) -> Session:
        """The file that lies there, ready to answer.

        Raises:
            EngineError: It cannot be read.
        """
        return self.engine.load(self.path)
