"""The run folder: all that a run leaves behind, read and written."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from striate.errors import (
    DeviceError,
    MissingExtraError,
    RunError,
    StorageError,
    UserError,
    WeightsUnavailableError,
    nearest,
)
from striate.files import (
    FileInUseError,
    csv_rows,
    csv_text,
    file_lock,
    holds_output,
    is_half_written,
    mark_output,
    missing_folders,
    remove_empty,
    sha256,
    sha256_file,
    write_atomic,
)
from striate.run.checksums import CHECKSUMS, checksum_lines, read_checksums

T = TypeVar("T")

RUN: Final = "run.json"
LOCK: Final = "data.lock.json"
MODEL: Final = "model.safetensors"
NOVELTY: Final = "novelty.safetensors"
HELD_OUT: Final = "held_out.safetensors"
HISTORY: Final = "history.csv"
PREDICTIONS: Final = "predictions.csv"
REPORT_JSON: Final = "report.json"
REPORT_HTML: Final = "report.html"
CHECKPOINTS: Final = "checkpoints"
LABELS_TO_CHECK: Final = "labels-to-check.csv"
MODEL_CARD: Final = "MODEL_CARD.md"
TEST_OPENINGS: Final = "test-openings.csv"

FILES: Final = (LOCK, MODEL, NOVELTY, HELD_OUT, HISTORY, PREDICTIONS, REPORT_JSON, REPORT_HTML, RUN)
"""The files of a finished run; `SHA256SUMS` holds the checksum of each."""

REFUSALS: Final = (UserError, DeviceError, MissingExtraError, WeightsUnavailableError)
"""Errors after which a fit is begun anew, otherwise than before, and not resumed."""

FORMAT: Final = 2

Search: TypeAlias = Literal["complete", "running", "ended early"]
"""Whether a fit has come to its end, still looks for a better model, or was asked to finish early."""


class ModelRecord(BaseModel):
    """Which network the weights belong to.

    Attributes:
        name: What `create_model` takes.
        options: Further arguments of `create_model`.
        sha256: SHA-256 of the file of the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any]
    sha256: str


class RunRecord(BaseModel):
    """`run.json`: what is needed to use the model, and to know how it came to be.

    `preprocessing` says how an item becomes the network's input, `calibration` how the task makes
    answers of the network's outputs, and `search` whether the fit has ended, is still looking for
    something better, or was asked to finish early and can be gone on with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = FORMAT
    striate: str
    task: str
    kind: str
    data: str
    classes: tuple[str, ...]
    model: ModelRecord
    preprocessing: dict[str, Any]
    calibration: dict[str, Any]
    method: str
    config: dict[str, Any]
    seed: int
    device: str
    versions: dict[str, str]
    command: list[str]
    created: str
    search: Search = "complete"


class RunFolder:
    """A run folder on disk.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make the folder, and make sure that files can be written to it.

        Raises:
            RunError: It holds files that are no run's.
            StorageError: It cannot be made or written.
        """
        try:
            mark_output(path)
            others = sorted(entry.name for entry in path.iterdir() if entry.name[0] != ".")
            if others and not holds_output(path):
                raise RunError(
                    f"cannot write a run to {str(path)!r}",
                    why=f"it holds files that are no run's, as {others[0]}",
                    fix="choose a new folder with `out=`",
                )
            probe = path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StorageError(
                f"cannot write to the run folder {str(path)!r}",
                why=error.strerror or str(error),
                fix="choose another folder with `out=`",
            ) from None
        return cls(path)

    @classmethod
    @contextlib.contextmanager
    def begun(cls, path: Path) -> Iterator[RunFolder]:
        """Make the folder and hold it for a fit.

        A new one goes again where the fit is refused before it has computed anything.

        Raises:
            RunError: It holds files that are no run's, or another process holds it.
            StorageError: It cannot be made or written.
        """
        made = missing_folders(path)
        folder = cls.create(path)
        is_new = all(entry.name[0] == "." for entry in path.iterdir())
        try:
            with folder.locked():
                try:
                    yield folder
                except REFUSALS:
                    if is_new and not folder.holds_work():
                        folder.empty()
                    raise
        except REFUSALS:
            remove_empty(made)
            raise

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A folder that holds a finished run.

        Raises:
            RunError: There is none; the nearest names beside it are suggested.
        """
        if not (path / RUN).is_file():
            raise RunError(
                f"no finished run at {str(path)!r}", why=f"{RUN} is missing", fix=_suggestion(path)
            )
        return cls(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process, and drop what a process that was killed left half written.

        Raises:
            RunError: Another process holds it.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(file_lock(self.path / ".lock"))
            except FileInUseError as error:
                raise RunError(
                    f"run folder {str(self.path)!r} is in use by process {error.owner}",
                    fix="wait for it to end, or choose another folder with `out=`",
                ) from None
            for path in self.path.iterdir():
                if is_half_written(path):
                    path.unlink(missing_ok=True)
            yield

    def record(self) -> RunRecord:
        """The content of `run.json`.

        Raises:
            RunError: It is damaged, or of another version of the format.
        """
        path = self.path / RUN
        try:
            return RunRecord.model_validate_json(self._content(RUN))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise RunError(
                f"cannot read {str(path)!r}", why=f"{where} {first['msg']}".strip()
            ) from None

    def write_record(self, record: RunRecord) -> None:
        """Write `SHA256SUMS` and then `run.json`, the last of a run's files."""
        content = _json(record.model_dump(mode="json"))
        there = [name for name in FILES if (self.path / name).is_file()]
        sums = {name: sha256_file(self.path / name) for name in there} | {RUN: sha256(content)}
        write_atomic(self.path / CHECKSUMS, checksum_lines(sums))
        write_atomic(self.path / RUN, content)

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of the folder.

        Raises:
            RunError: It is missing, damaged or no JSON.
        """
        return self._read(name, json.loads)

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file of the folder; NaN and infinities are refused."""
        write_atomic(self.path / name, _json(content))

    def write_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays by name to a safetensors file of the folder."""
        from safetensors.numpy import save

        # Memory is written as it lies, so that columns would come back as rows.
        ordered = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        write_atomic(self.path / name, save(ordered))

    def read_arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The arrays of a safetensors file of the folder, by name.

        Raises:
            RunError: It is missing, damaged or no safetensors file.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            return load(self._content(name))
        except (OSError, SafetensorError) as error:
            raise RunError(f"cannot read {str(self.path / name)!r}", why=str(error)) from None

    def write_csv(
        self, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        """Write a CSV file of the folder; no cell can be taken for a formula."""
        write_atomic(self.path / name, csv_text(columns, rows).encode())

    def read_csv(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV file of the folder, by column.

        Raises:
            RunError: It is missing, damaged, or not what `write_csv` wrote.
        """
        return self._read(name, csv_rows)

    def _read(self, name: str, parse: Callable[[str], T]) -> T:
        path = self.path / name
        try:
            return parse(self._content(name).decode())
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {str(path)!r}", why=str(error)) from None

    def _content(self, name: str) -> bytes:
        """The bytes of a file, as they were written if there are checksums.

        Raises:
            OSError: It cannot be read.
            RunError: Its checksum is another.
        """
        content = (self.path / name).read_bytes()
        if sha256(content) != (self.checksums() or {}).get(name, sha256(content)):
            raise self.changed(name)
        return content

    def checksums(self) -> dict[str, str] | None:
        """The SHA-256 of each file of a finished run; None where no checksums were written.

        Raises:
            RunError: The checksums are damaged themselves.
        """
        path = self.path / CHECKSUMS
        if not path.is_file():
            return None
        sums = read_checksums(path.read_bytes())
        if sums is None:
            raise self.changed(CHECKSUMS)
        return sums

    def changed(self, name: str) -> RunError:
        """The error of a file that is not what the run wrote."""
        path = self.path / name
        return RunError(
            f"{str(path)!r} {'is not what the run wrote' if path.exists() else 'is missing'}",
            fix=f"restore it, or delete {CHECKSUMS} beside it to use the run as it is",
        )

    def damaged(self) -> list[str]:
        """Names of files that are not what the run wrote; the weights are not looked at.

        They are large, and checked where they are read.

        Raises:
            RunError: The checksums are damaged themselves.
        """
        paths = {self.path / name: digest for name, digest in (self.checksums() or {}).items()}
        return [
            path.name
            for path, digest in paths.items()
            if path.name != MODEL and not (path.is_file() and sha256_file(path) == digest)
        ]

    def holds_work(self) -> bool:
        """Whether there is a model, or something computed with which a resumed fit goes on."""
        return (self.path / RUN).is_file() or any(self.path.rglob("*.safetensors"))

    def empty(self) -> None:
        """Remove all that the folder holds."""
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):  # a lock that is held, where that is not allowed
                    path.unlink()

    def finished(self) -> bool:
        """Whether a run has come to its end in this folder."""
        there = (self.path / RUN).is_file() and (self.path / REPORT_JSON).is_file()
        return there and self.record().search == "complete"


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=True).encode()


def next_folder(parent: Path, name: str) -> Path:
    """The first of `name-1`, `name-2`, ... that is not there yet."""
    return next(path for path in _numbered(parent, name) if not path.exists())


def last_folder(parent: Path, name: str) -> Path:
    """The last of `name-1`, `name-2`, ... that is there; the first where there is none."""
    pairs = pairwise(_numbered(parent, name))
    return next(path for path, following in pairs if not following.exists())


def _numbered(parent: Path, name: str) -> Iterator[Path]:
    return (parent / f"{name}-{number}" for number in count(1))


def run_name(data: str) -> str:
    """A name for the run folder, from that of the data.

    >>> run_name("sample:solar-cells"), run_name("photos/"), run_name("a/b.csv")
    ('solar-cells', 'photos', 'b')
    >>> run_name("."), run_name(".."), run_name(".photos")
    ('run', 'run', 'photos')
    """
    # A name that begins with a dot would hide the run.
    return Path(data.removeprefix("sample:")).stem.lstrip(".") or "run"


def _suggestion(path: Path) -> str:
    if (path / CHECKPOINTS).is_dir():
        return "it was interrupted: go on with the same fit and `resume=True`"
    parent = path.parent
    names = [p.name for p in parent.iterdir() if (p / RUN).is_file()] if parent.is_dir() else []
    near = nearest(path.name, names) or sorted(names)[:3]
    if near:
        return "did you mean " + " or ".join(repr(str(parent / n)) for n in near) + "?"
    return "make one with `striate fit DATA`"
